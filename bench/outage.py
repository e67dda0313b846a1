"""What an outage of the store costs: latencies and admissions before, during and after, by fault.

    python -m bench.outage [--only frozen,slow] [--before 3 --during 5 --after 6] [--write-docs]

Two workers on one Redis; a key with three times the demand that its limit allows. While a fault
lasts nobody may wait longer than for two deadlines of the store, and not at all once the store was
found out. Exit status 1: an answer was another than the mode has, or somebody waited.
"""

import argparse
import asyncio
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from time import perf_counter
from typing import Final, NamedTuple

import uvloop

from bench.allowed import ADMITTED, ahead_of_bucket
from bench.document import LIMITS_FIGURES, Section, put
from bench.faults import FAULTS, Fault, FaultyStore
from bench.open_load import Answered, asked, steady
from bench.processes import pinned
from bench.surroundings import Unfit, free_port, wait_for

RATE: Final = 100
BURST: Final = 100
DEMAND: Final = 300
"""A second."""
WIDE: Final = 64
"""Connections, which the kernel spreads over the workers."""
KEY: Final = "limited"
FOUND_OUT_S: Final = 0.25
"""Two deadlines of the store and what a busy machine adds: from then on nobody waits."""
WAIT_MAX_S: Final = 0.05
SHARE: Final = 0.95
"""Of the requests, beside their half: what is beyond is the busy machine's."""
MODES: Final = ("local", "open", "closed")
EXPECTED: Final = {"local": {200, 429}, "open": {200, 429}, "closed": {200, 429, 503}}


class Phases(NamedTuple):
    """How many seconds each lasts."""

    before: float
    during: float
    after: float


class Row(NamedTuple):
    fault: str
    mode: str
    phases: Phases
    run: Sequence[Answered]
    began_at: float
    """When the fault began."""
    ended_at: float

    def part(self, name: str) -> list[Answered]:
        bounds = {
            "before": (0.0, self.began_at),
            "during": (self.began_at, self.ended_at),
            "found out": (self.began_at + FOUND_OUT_S, self.ended_at),
            "after": (self.ended_at, float("inf")),
        }
        first, last = bounds[name]
        return [one for one in self.run if first <= one.sent_at < last]


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--only", default=",".join(FAULTS))
    for name, seconds in (("before", 3.0), ("during", 5.0), ("after", 6.0)):
        options.add_argument(f"--{name}", type=float, default=seconds)
    options.add_argument("--write-docs", action="store_true")
    given = options.parse_args()
    phases = Phases(given.before, given.during, given.after)
    plan = [(fault, "local") for fault in given.only.split(",")]
    plan += [("frozen", mode) for mode in MODES if mode != "local" and "frozen" in given.only]
    try:
        rows = [uvloop.run(measured(fault, mode, phases)) for fault, mode in plan]
    except Unfit as unfit:
        print(f"bench: {unfit}", file=sys.stderr)
        return 1
    print(table(rows))
    if against := [line for row in rows for line in objections(row)]:
        print("\nInvalid:\n" + "\n".join(against), file=sys.stderr)
        return 1
    if given.write_docs:
        put(LIMITS_FIGURES, Section("outage", "python -m bench.outage --write-docs", table(rows)))
    return 0


async def measured(fault: str, mode: str, phases: Phases) -> Row:
    with tempfile.TemporaryDirectory(prefix="tg-bench-") as made:
        folder = Path(made)
        store = FaultyStore(folder)
        async with store.running(), gateway(folder, store.port, [mode]) as port:
            (row,) = await observed(fault, [mode], phases, store, port)
    return row


async def observed(
    fault: str, modes: Sequence[str], phases: Phases, store: FaultyStore, port: int
) -> list[Row]:
    """Let one fault pass while the gateway's route of each mode is asked."""
    loads = [asyncio.create_task(_loaded(port, mode, sum(phases))) for mode in modes]
    began_at, ended_at = await _suffered(FAULTS[fault], store, phases)
    runs = [await load for load in loads]
    return [
        Row(fault, mode, phases, run, began_at, ended_at)
        for mode, run in zip(modes, runs, strict=True)
    ]


async def _loaded(port: int, mode: str, seconds: float) -> list[Answered]:
    request = f"GET /{mode} HTTP/1.1\r\nHost: 127.0.0.1\r\nX-API-Key: {KEY}\r\n\r\n".encode()
    return await asked(port, request, steady(DEMAND, seconds), WIDE)


async def _suffered(fault: Fault, store: FaultyStore, phases: Phases) -> tuple[float, float]:
    """Let the fault pass; return when it began and when it ended."""
    await asyncio.sleep(phases.before)
    began_at = perf_counter()
    await fault.begin(store, phases.during)
    await asyncio.sleep(phases.during - (perf_counter() - began_at))
    ended_at = perf_counter()
    await fault.end(store)
    return began_at, ended_at


@asynccontextmanager
async def gateway(folder: Path, store_port: int, modes: Sequence[str]) -> AsyncIterator[int]:
    """Run an upstream and a gateway of two workers, with a route for each mode; yield its port."""
    port, upstream = free_port(), free_port()
    config = folder / "outage.yaml"
    config.write_text(configuration(port, upstream, store_port, modes))
    serve = [sys.executable, "-m", "tidegate"]
    everywhere = {0, 1}
    echo = [*serve, "echo", "--port", str(upstream)]
    command = [*serve, "serve", "--config", str(config), "--workers", "2"]
    env = {"TIDEGATE_DATA_DIR": str(folder / "data")}
    with (
        pinned("echo", echo, cores=everywhere, folder=folder, env={}),
        pinned("gateway", command, cores=everywhere, folder=folder, env=env) as process,
    ):
        await asyncio.to_thread(_wait_for, port, process, folder)
        yield port


def _wait_for(port: int, process: subprocess.Popen[bytes], folder: Path) -> None:
    try:
        wait_for(port, "/ready", "the gateway", process)
    except Unfit as unfit:
        log = (folder / "gateway.log").read_text(errors="replace")
        raise Unfit(f"{unfit}\n{log[-2000:]}") from None


def configuration(port: int, upstream: int, store_port: int, modes: Sequence[str]) -> str:
    routes = ", ".join(
        f"{{name: {mode}, paths: [/{mode}], on_store_failure: {mode}}}" for mode in modes
    )
    return f"""\
version: 1
listen: {{host: 127.0.0.1, port: {port}}}
admin: {{enabled: false}}
access_log: "off"
redis: {{url: "redis://127.0.0.1:{store_port}"}}
plans:
  limited: {{limits: [{{name: steady, rate: {RATE}/s, burst: {BURST}}}]}}
tenants:
  - {{name: acme, plan: limited, keys: [{{name: it, value: {KEY}}}]}}
services:
  - name: service
    targets: ["http://127.0.0.1:{upstream}"]
    routes: [{routes}]
"""


def objections(row: Row) -> list[str]:
    named = f"{row.fault}, {row.mode}"
    against = []
    if odd := {one.status for one in row.run} - EXPECTED[row.mode]:
        against.append(f"{named}: answers were {sorted(odd)}")
    if (waited_s := _at(SHARE, row.part("found out"))) > WAIT_MAX_S:
        against.append(f"{named}: one in 20 waited {waited_s * 1000:.0f} ms")
    return against


def table(rows: Sequence[Row]) -> str:
    lines = [
        "| the store | `on_store_failure` | p50/p95 ms before | first 250 ms | during | after "
        "| admitted/s before | during | after | 503 | over, worst stretch |",
        "| --- | --- | --: | --: | --: | --: | --: | --: | --: | --: | --: |",
    ]
    lines += map(_line, rows)
    return "\n".join(lines)


def _line(row: Row) -> str:
    parts = {name: row.part(name) for name in ("before", "during", "found out", "after")}
    first = [one for one in parts["during"] if one.sent_at < row.began_at + FOUND_OUT_S]
    shown = [_latency(of) for of in (parts["before"], first, parts["found out"], parts["after"])]
    seconds = row.phases._asdict()
    admitted = [
        f"{sum(one.status == ADMITTED for one in parts[name]) / seconds[name]:.0f}"
        for name in seconds
    ]
    over = ahead_of_bucket(row.run, RATE, BURST)
    refused = Counter(one.status for one in row.run)[503]
    cells = [FAULTS[row.fault].words, row.mode, *shown, *admitted, f"{refused:,}"]
    return f"| {' | '.join(cells)} | {f'{over:.0f}' if over > 0 else 'never'} |"


def _latency(answers: Sequence[Answered]) -> str:
    return f"{_at(0.5, answers) * 1000:.1f}/{_at(SHARE, answers) * 1000:.1f}"


def _at(share: float, answers: Sequence[Answered]) -> float:
    """Return the wait in seconds that this share of the requests stayed within."""
    waits = sorted(one.answered_at - one.sent_at for one in answers)
    return waits[min(len(waits) - 1, int(share * len(waits)))] if waits else 0.0


if __name__ == "__main__":
    sys.exit(main())
