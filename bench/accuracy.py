"""How exact each algorithm is: admitted of allowed, by two workers of a gateway on one Valkey.

    python -m bench.accuracy [--seconds 10] [--only bucket,window] [--write-docs]

Every case is a plan of its own with three times the demand that it allows, evenly or in bursts.
Exit status 1: a worker had no share of the work, an answer was neither 200 nor 429, or an exact
algorithm admitted more than is allowed or less than 0.999 of it.
"""

import argparse
import asyncio
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Final, NamedTuple

import uvloop

from bench.allowed import ADMITTED, ahead_of_bucket, ahead_of_window, by_bucket, by_window
from bench.document import LIMITS_FIGURES, Section, put
from bench.open_load import Answered, asked, bursty, steady
from bench.processes import cpu_us, pinned, tree
from bench.surroundings import Unfit, free_port, wait_for
from tidegate.config import ConfigError, load

RATES: Final = (1, 10, 1000)
SHAPES: Final = ("steady", "bursty")
OVERLOAD: Final = 3.1
"""Not a whole number, so that no request falls onto the end of a window by design."""
BURST_EVERY_S: Final = 1.13
HIGH: Final = 100
"""A second; rates above are measured one after the other, those below all at once."""
WORKER_SHARE_MIN: Final = 0.05
ENOUGH: Final = 0.999
ENOUGH_DEMAND: Final = 1.5
"""Of the limit: what a run must have sent at least to be one of too much demand."""
PATH: Final = "/try"
CORES: Final = frozenset((0, 1))


@dataclass(frozen=True, slots=True)
class Case:
    algorithm: str
    rate: int
    shape: str

    @property
    def name(self) -> str:
        return f"{self.algorithm}-{self.rate}-{self.shape}"

    @property
    def burst(self) -> int:
        """Of buckets: what flows in between two bursts fits."""
        return 2 * self.rate

    @property
    def quota(self) -> int:
        return 5 * self.rate

    @property
    def limit(self) -> str:
        """As the configuration has it."""
        return ALGORITHMS[self.algorithm].limit.format(case=self)

    def times(self, seconds: float) -> Iterator[float]:
        demand = OVERLOAD * self.rate
        if self.shape == "steady":
            return steady(demand, seconds)
        return bursty(demand, seconds, BURST_EVERY_S)

    def allowed(self, sent: Sequence[float], answered: Sequence[float]) -> tuple[int, int]:
        """Return how many at least and at most: decisions fell into the shortest or the longest
        time that sending and answering leave."""
        if self.algorithm == "quota":
            return (min(self.quota, len(sent)),) * 2
        if self.algorithm == "window":
            fewest = by_window(zip(sent, answered, strict=True), self.rate, 1.0)
            return fewest, by_window(zip(answered, sent, strict=True), self.rate, 1.0)
        shortest = [answered[0], *(max(at, answered[0]) for at in sent[1:])]
        most = int(self.burst + self.rate * (answered[-1] - sent[0]))
        return by_bucket(shortest, self.rate, self.burst), min(most, len(sent))

    def ahead(self, run: Sequence[Answered]) -> float:
        if self.algorithm == "quota":
            return sum(one.status == ADMITTED for one in run) - self.quota
        if self.algorithm == "window":
            return ahead_of_window(run, self.rate, 1.0)
        return ahead_of_bucket(run, self.rate, self.burst)


class Algorithm(NamedTuple):
    label: str
    limit: str
    is_exact: bool = True


ALGORITHMS: Final = {
    "bucket": Algorithm("token bucket", "rate: {case.rate}/s, burst: {case.burst}"),
    "window": Algorithm("sliding window", "rate: {case.rate}/s, algorithm: sliding-window"),
    "quota": Algorithm("calendar quota", "quota: {case.quota}/day"),
    "leased": Algorithm(
        "token bucket, leased",
        "rate: {case.rate}/s, burst: {case.burst}, precision: leased",
        is_exact=False,
    ),
}


class Found(NamedTuple):
    asked: int
    admitted: int
    at_least: int
    at_most: int
    """Allowed, by the times of sending and of answering."""
    ahead: float

    @property
    def ratio(self) -> float:
        """1 where what was admitted is within what is known to be allowed."""
        return self.admitted / min(max(self.admitted, self.at_least), self.at_most)


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench.accuracy", description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--only", default="", help=f"some of {','.join(ALGORITHMS)}")
    parser.add_argument("--write-docs", action="store_true")
    options = parser.parse_args()
    chosen = options.only.split(",") if options.only else built()
    cases = [Case(name, rate, shape) for name in chosen for rate in RATES for shape in SHAPES]
    try:
        found, shares = uvloop.run(measured(cases, options.seconds))
    except Unfit as unfit:
        print(f"bench: {unfit}", file=sys.stderr)
        return 1
    written = table(found) + f"\n\nShares of the workers in the work: {shares}."
    print(written)
    if wrong := objections(found):
        print("\n" + "\n".join(wrong), file=sys.stderr)
        return 1
    if options.write_docs:
        command = f"python -m bench.accuracy --seconds {options.seconds:g}"
        put(LIMITS_FIGURES, Section("accuracy", command, written))
    return 0


def built() -> list[str]:
    """Return the algorithms that this version has."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "one.yaml"
        for name in ALGORITHMS:
            path.write_text(configuration([Case(name, 1, SHAPES[0])], 8000, 9000))
            try:
                load(path)
            except ConfigError as error:
                why = str(error).rpartition(": ")[2]
                print(f"bench: left out {ALGORITHMS[name].label}: {why}", file=sys.stderr)
            else:
                found.append(name)
    return found


async def measured(cases: Sequence[Case], seconds: float) -> tuple[dict[Case, Found], str]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tg-bench-")))
        port, process = _started(stack, folder, cases)
        before = {pid: cpu_us(pid) for pid in workers(process.pid)}
        runs: dict[Case, list[Answered]] = {}

        async def run(case: Case) -> None:
            wide = 64 if case.rate > HIGH else 8
            runs[case] = await asked(port, _request(case), case.times(seconds), wide)

        async with asyncio.TaskGroup() as tasks:
            for case in cases:
                if case.rate <= HIGH:
                    tasks.create_task(run(case))
        for case in cases:
            if case.rate > HIGH:
                await run(case)
        spent = [cpu_us(pid) - used for pid, used in before.items()]
    if len(spent) != 2 or min(spent) < WORKER_SHARE_MIN * sum(spent):
        raise Unfit(f"one of the workers did hardly anything: CPU µs {spent}")
    shares = " and ".join(f"{one / sum(spent):.0%}" for one in spent)
    return {case: judged(case, runs[case]) for case in cases}, shares


def workers(pid: int) -> list[int]:
    return [
        one for one in tree(pid) if b"tidegate.worker" in Path(f"/proc/{one}/cmdline").read_bytes()
    ]


def judged(case: Case, run: Sequence[Answered]) -> Found:
    if odd := {one.status for one in run} - {ADMITTED, 429}:
        raise Unfit(f"{case.name}: answers were {sorted(odd)}")
    lasted_s = max(one.sent_at for one in run) - min(one.sent_at for one in run)
    if len(run) < ENOUGH_DEMAND * case.rate * lasted_s:
        raise Unfit(f"{case.name}: the machine is too busy to send more than is allowed")
    at_least, at_most = case.allowed(
        sorted(one.sent_at for one in run), sorted(one.answered_at for one in run)
    )
    admitted = sum(one.status == ADMITTED for one in run)
    return Found(len(run), admitted, at_least, at_most, case.ahead(run))


def objections(found: dict[Case, Found]) -> list[str]:
    return [
        f"{case.name}: {of}"
        for case, of in found.items()
        if ALGORITHMS[case.algorithm].is_exact and (of.ahead > 0 or of.ratio < ENOUGH)
    ]


def table(found: dict[Case, Found]) -> str:
    lines = [
        "| algorithm | limit | demand | asked | admitted | allowed | admitted/allowed "
        "| over, worst stretch |",
        "| --- | --- | --- | --: | --: | --: | --: | --: |",
    ]
    for case, of in found.items():
        allowed = f"{of.at_least:,}"
        if of.at_most > of.at_least:
            allowed += f"–{of.at_most:,}"
        limit = f"{case.quota:,}/day" if case.algorithm == "quota" else f"{case.rate:,}/s"
        lines.append(
            f"| {ALGORITHMS[case.algorithm].label} | {limit} | {case.shape} | {of.asked:,} | "
            f"{of.admitted:,} | {allowed} | {of.ratio:.4f} | "
            f"{ceil(of.ahead) if of.ahead > 0 else 'never'} |"
        )
    return "\n".join(lines)


def _started(
    stack: ExitStack, folder: Path, cases: Sequence[Case]
) -> tuple[int, subprocess.Popen[bytes]]:
    """Start an upstream and the gateway."""
    port, upstream = free_port(), free_port()
    echo = [sys.executable, "-m", "tidegate", "echo", "--port", str(upstream)]
    stack.enter_context(pinned("echo", echo, cores=CORES, folder=folder, env={}))
    return port, serving(stack, folder, configuration(cases, port, upstream), port)


def serving(stack: ExitStack, folder: Path, text: str, port: int) -> subprocess.Popen[bytes]:
    """Start a gateway of this configuration with two workers and its own Valkey."""
    config = folder / "gateway.yaml"
    config.write_text(text)
    command = [sys.executable, "-m", "tidegate", "serve", "--config", str(config), "--workers", "2"]
    env = {"TIDEGATE_DATA_DIR": str(folder / "data")}
    process = stack.enter_context(pinned("gateway", command, cores=CORES, folder=folder, env=env))
    try:
        wait_for(port, "/health", "the gateway", process)
    except Unfit as unfit:
        log = (folder / "gateway.log").read_text(errors="replace")
        raise Unfit(f"{unfit}\n{log[-2000:]}") from None
    return process


def configuration(cases: Sequence[Case], port: int, upstream: int) -> str:
    plans = "\n".join(f"  {c.name}: {{limits: [{{name: it, {c.limit}}}]}}" for c in cases)
    tenants = "\n".join(
        f"  - {{name: {c.name}, plan: {c.name}, keys: [{{name: it, value: {c.name}}}]}}"
        for c in cases
    )
    return f"""\
version: 1
listen: {{host: 127.0.0.1, port: {port}}}
admin: {{enabled: false}}
access_log: "off"
redis: {{timeout: 5s}}  # the machine is busy with the load: an outage is not what is measured
plans:
{plans}
tenants:
{tenants}
services:
  - name: service
    targets: ["http://127.0.0.1:{upstream}"]
    routes: [{{name: try, paths: [{PATH}]}}]
"""


def _request(case: Case) -> bytes:
    return f"GET {PATH} HTTP/1.1\r\nHost: 127.0.0.1\r\nX-API-Key: {case.name}\r\n\r\n".encode()


if __name__ == "__main__":
    sys.exit(main())
