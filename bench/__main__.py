"""The command: `python -m bench --rounds 5 --seconds 4 --only native,nginx`.

Prints a Markdown table and writes all rounds to `bench/results/`. Exit status 1: the run is
invalid (an answer was not 2xx, or was given without store or upstream), or cannot be made here.
"""

import argparse
import json
import platform
import sys
import tempfile
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

from bench.gateways import GATEWAYS, Gateway, running
from bench.processes import peak_memory_kib
from bench.report import Summary, objections, summary, table, verdicts
from bench.rounds import Round, rounds
from bench.surroundings import Unfit, surroundings

RESULTS = Path(__file__).parent / "results"


def main() -> int:
    options = parser().parse_args()
    try:
        measured, summaries = compared(options.only, options.rounds, options.seconds)
    except Unfit as unfit:
        print(f"bench: {unfit}", file=sys.stderr)
        return 1
    print(table(summaries))
    if said := verdicts(summaries):
        print("\n" + "\n".join(said))
    against = objections(measured)
    path = kept(measured, summaries, seconds=options.seconds, valid=not against)
    print(f"\nAll rounds: {path}")
    if against:
        print("\nINVALID RUN\n" + "\n".join(against), file=sys.stderr)
        return 1
    return 0


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="bench", description="Tidegate beside its peers.")
    made.add_argument("--rounds", type=int, default=5, help="rounds of each gateway (5)")
    made.add_argument("--seconds", type=int, default=4, help="seconds of load in a round (4)")
    made.add_argument(
        "--only",
        type=chosen,
        default=GATEWAYS,
        metavar="NAMES",
        help=f"some of {','.join(gateway.name for gateway in GATEWAYS)}",
    )
    return made


def chosen(names: str) -> tuple[Gateway, ...]:
    known = {gateway.name: gateway for gateway in GATEWAYS}
    wanted = names.split(",") if names else list(known)
    unknown = set(wanted) - set(known)
    if unknown:
        raise argparse.ArgumentTypeError(
            f"no gateway {', '.join(unknown)}; known: {', '.join(known)}"
        )
    return tuple(known[name] for name in wanted)


def compared(
    gateways: tuple[Gateway, ...], count: int, seconds: int
) -> tuple[dict[str, list[Round]], dict[str, Summary]]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tidegate-bench-")))
        around = stack.enter_context(surroundings(folder))
        started = [stack.enter_context(running(gateway, around)) for gateway in gateways]
        measured = rounds(started, around, count=count, seconds=seconds)
        peaks = {one.gateway.name: peak_memory_kib(one.pid) for one in started}
    return measured, {name: summary(measured[name], peaks[name]) for name in measured}


def kept(
    measured: dict[str, list[Round]], summaries: dict[str, Summary], *, seconds: int, valid: bool
) -> Path:
    now = datetime.now(UTC)
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{now:%Y%m%dT%H%M%SZ}.json"
    content = {
        "at": now.isoformat(timespec="seconds"),
        "machine": platform.platform(),
        "python": platform.python_version(),
        "seconds": seconds,
        "valid": valid,
        "summaries": {name: of._asdict() for name, of in summaries.items()},
        "rounds": {
            name: [{**one._asdict(), "load": one.load._asdict()} for one in of]
            for name, of in measured.items()
        },
    }
    path.write_text(json.dumps(content, indent=2) + "\n")
    return path


if __name__ == "__main__":
    sys.exit(main())
