"""Decisions per second and what one costs, beside the rate limiters that PyPI has and nginx + Lua.

    python -m bench.decisions [--rounds 5] [--seconds 1] [--only tidegate,pyrate] [--write-docs]

Interleaved rounds on one Redis: the client (nginx for its row) has one core, Redis the other. A
round in which anybody was refused, or the store decided less often than was answered (for leased
limits: not at all), ends the run. The libraries live in an environment of their own,
bench/limiters/.venv (`make peers`).
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import Final, NamedTuple

import redis

from bench.document import LIMITS_FIGURES, Section, put
from bench.jobs import KEY
from bench.limiter_client import OTHERS, OURS
from bench.load import load
from bench.processes import cpu_us, pinned
from bench.surroundings import (
    GATEWAY_CORE,
    LOAD_CORE,
    Surroundings,
    Unfit,
    free_port,
    nginx,
    nginx_modules,
    surroundings,
    wait_for,
)

ROOT: Final = Path(__file__).parents[1]
LIBRARIES: Final = ROOT / "bench" / "limiters" / ".venv" / "bin" / "python"
NGINX: Final = "nginx"
LEASED: Final = "tidegate-leased"
"""The one that asks the store seldom, and has been seen to ask it."""


class Row(NamedTuple):
    label: str
    lacks: str
    """What it does not do that the first row does."""


ROWS: Final[dict[str, Row]] = {
    "tidegate": Row("Tidegate, token bucket", ""),
    "tidegate-window": Row("Tidegate, sliding window", ""),
    "tidegate-two": Row("Tidegate, bucket and a tenant's daily quota in one decision", ""),
    "tidegate-leased": Row("Tidegate, token bucket, leased: asks the store for batches", ""),
    "limits-fixed": Row(
        "limits, fixed window",
        "twice the limit around a window's edge; what is refused is counted too; one limit a call "
        "(a second one is a second trip, and spends where the first refuses)",
    ),
    "limits-moving": Row(
        "limits, moving window",
        "the client's clock; an entry in the store for each request; one limit a call",
    ),
    "throttled-bucket": Row(
        "throttled-py, token bucket", "a clock of whole seconds; one limit a call"
    ),
    "throttled-gcra": Row(
        "throttled-py, GCRA", "keeps its time to 14 digits, a microsecond; one limit a call"
    ),
    "pyrate": Row(
        "pyrate-limiter, Redis bucket",
        "the client's clock; an entry in the store for each request; several rates, but of one "
        "bucket; one trip at a time in a process",
    ),
    NGINX: Row(
        "nginx + Lua + Redis",
        "one limit a call; speaks HTTP meanwhile, which its CPU includes",
    ),
}


class Round(NamedTuple):
    per_s: float
    client_us: float
    store_us: float


Measure = Callable[[], Round]


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench.decisions", description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--only", default="", help=f"some of {','.join(ROWS)}")
    parser.add_argument("--write-docs", action="store_true")
    options = parser.parse_args()
    names = options.only.split(",") if options.only else list(ROWS)
    try:
        if unknown := set(names) - set(ROWS):
            raise Unfit(f"no limiter {', '.join(sorted(unknown))}; known: {', '.join(ROWS)}")
        measured = compared(names, options.rounds, options.seconds)
    except Unfit as unfit:
        print(f"bench: {unfit}", file=sys.stderr)
        return 1
    written = table(measured)
    print(written)
    if options.write_docs:
        command = (
            f"python -m bench.decisions --rounds {options.rounds} --seconds {options.seconds:g}"
        )
        put(LIMITS_FIGURES, Section("decisions", command, written))
    return 0


def compared(names: list[str], count: int, seconds: float) -> dict[str, list[Round]]:
    if any(name in OTHERS for name in names) and not LIBRARIES.exists():
        raise Unfit("the libraries are not installed (make peers)")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tidegate-bench-")))
        around = stack.enter_context(surroundings(folder))
        measures = {
            name: stack.enter_context(nginx_decides(around, seconds))
            if name == NGINX
            else library(name, around, seconds)
            for name in names
        }
        measured: dict[str, list[Round]] = {name: [] for name in names}
        for turn in range(count):
            first = turn % len(names)
            for name in (*names[first:], *names[:first]):
                with redis.Redis(port=around.store_port) as client:
                    client.flushall()
                measured[name].append(measures[name]())
    return measured


def library(name: str, around: Surroundings, seconds: float) -> Measure:
    python = sys.executable if name in OURS else str(LIBRARIES)
    command = [python, "-m", "bench.limiter_client", name]
    command += [str(around.store_port), str(around.store_pid), str(seconds)]

    def measure() -> Round:
        before = around.store_decisions()
        ran = subprocess.run(
            command,
            cwd=ROOT,
            capture_output=True,
            text=True,
            preexec_fn=lambda: os.sched_setaffinity(0, {GATEWAY_CORE}),
        )
        if ran.returncode:
            raise Unfit(f"{ROWS[name].label}: {ran.stderr.strip().splitlines()[-1]}")
        told = json.loads(ran.stdout)
        check(name, told["decisions"], told["refused"], around.store_decisions() - before)
        decided = told["decisions"]
        return Round(
            decided / told["seconds"], told["client_us"] / decided, told["store_us"] / decided
        )

    return measure


@contextmanager
def nginx_decides(around: Surroundings, seconds: float) -> Iterator[Measure]:
    port = free_port()
    command = nginx(around.written("nginx_decisions.conf", PORT=port, MODULES=nginx_modules()))
    with pinned(NGINX, command, cores={GATEWAY_CORE}, folder=around.folder, env={}) as process:
        wait_for(port, "/", NGINX, process)

        def measure() -> Round:
            before = around.store_decisions()
            own, store = cpu_us(process.pid), cpu_us(around.store_pid)
            seen = load(f"http://127.0.0.1:{port}/", KEY, seconds=seconds, core=LOAD_CORE)
            own, store = cpu_us(process.pid) - own, cpu_us(around.store_pid) - store
            check(NGINX, seen.requests, seen.refused, around.store_decisions() - before)
            per_s = seen.requests / seen.duration_us * 1e6
            return Round(per_s, own / seen.requests, store / seen.requests)

        yield measure


def check(name: str, decided: int, refused: int, in_store: int) -> None:
    """Raise Unfit unless the work was done."""
    is_asked_each = name != LEASED
    if refused or not decided or in_store < (decided if is_asked_each else 1):
        raise Unfit(
            f"{ROWS[name].label}: of {decided} decisions {refused} refused, {in_store} in the store"
        )


def table(measured: dict[str, list[Round]]) -> str:
    """Return the medians, each beside the first row's of the same run."""
    medians = {
        name: Round(*map(median, zip(*rounds, strict=True))) for name, rounds in measured.items()
    }
    first = next(iter(medians.values()))
    lines = [
        "| limiter | decisions/s | × | client CPU µs | × | store CPU µs | × | what it lacks |",
        "| --- | --: | --: | --: | --: | --: | --: | --- |",
    ]
    for name, of in medians.items():
        beside = [value / unit for value, unit in zip(of, first, strict=True)]
        lines.append(
            f"| {ROWS[name].label} | {of.per_s:,.0f} | {beside[0]:.2f} | {of.client_us:.1f} | "
            f"{beside[1]:.2f} | {of.store_us:.1f} | {beside[2]:.2f} | {ROWS[name].lacks or '–'} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
