"""The command: `python -m bench --rounds 5 --seconds 4 --only native,nginx`.

Prints a Markdown table for each job and writes all rounds to `bench/results/`. A peer that is not
installed is left out, unless it is named. Exit status 1: the run is invalid (an answer was not what
its job says, or was given without store or upstream), or cannot be made here.
"""

import argparse
import json
import platform
import sys
import tempfile
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

from bench.document import write_docs
from bench.gateways import GATEWAYS, Gateway, Running, running
from bench.processes import peak_memory_kib
from bench.report import Summary, objections, summary, tables, verdicts
from bench.rounds import Case, Round, rounds
from bench.surroundings import Surroundings, Unfit, surroundings

RESULTS = Path(__file__).parent / "results"


def main() -> int:
    options = parser().parse_args()
    try:
        measured, summaries = compared(options.only, options.rounds, options.seconds)
    except Unfit as unfit:
        print(f"bench: {unfit}", file=sys.stderr)
        return 1
    print(tables(summaries))
    if said := verdicts(summaries):
        print("\n" + "\n".join(said))
    against = objections(measured)
    path = kept(measured, summaries, seconds=options.seconds, valid=not against)
    print(f"\nAll rounds: {path}")
    if against:
        print("\nINVALID RUN\n" + "\n".join(against), file=sys.stderr)
        return 1
    if options.write_docs:
        write_docs(summaries, count=options.rounds, seconds=options.seconds)
    return 0


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="bench", description="Tidegate beside its peers.")
    made.add_argument("--rounds", type=int, default=5, help="rounds of each gateway and job (5)")
    made.add_argument("--seconds", type=int, default=4, help="seconds of load in a round (4)")
    made.add_argument(
        "--only",
        type=chosen,
        metavar="NAMES",
        help=f"some of {','.join(gateway.name for gateway in GATEWAYS)}",
    )
    made.add_argument(
        "--write-docs", action="store_true", help="put tables and picture into docs/performance.md"
    )
    return made


def chosen(names: str) -> tuple[Gateway, ...] | None:
    """Return the gateways of these names; None, where nothing is named, stands for all."""
    if not names:
        return None
    known = {gateway.name: gateway for gateway in GATEWAYS}
    wanted = names.split(",")
    unknown = set(wanted) - set(known)
    if unknown:
        raise argparse.ArgumentTypeError(
            f"no gateway {', '.join(unknown)}; known: {', '.join(known)}"
        )
    return tuple(known[name] for name in wanted)


def compared(
    gateways: tuple[Gateway, ...] | None, count: int, seconds: int
) -> tuple[dict[Case, list[Round]], dict[Case, Summary]]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tidegate-bench-")))
        around = stack.enter_context(surroundings(folder))
        if gateways is None:
            started = all_that_start(stack, around)
        else:
            started = [stack.enter_context(running(gateway, around)) for gateway in gateways]
        measured = rounds(started, around, count=count, seconds=seconds)
        peaks = {one.gateway.name: peak_memory_kib(one.pid) for one in started}
    return measured, {case: summary(of, peaks[case[0]]) for case, of in measured.items()}


def all_that_start(stack: ExitStack, around: Surroundings) -> list[Running]:
    started = []
    for gateway in GATEWAYS:
        try:
            started.append(stack.enter_context(running(gateway, around)))
        except Unfit as unfit:
            print(f"bench: left out {gateway.label}: {unfit}", file=sys.stderr)
    return started


def kept(
    measured: dict[Case, list[Round]], summaries: dict[Case, Summary], *, seconds: int, valid: bool
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
        "summaries": {" ".join(case): of._asdict() for case, of in summaries.items()},
        "rounds": {
            " ".join(case): [{**one._asdict(), "load": one.load._asdict()} for one in of]
            for case, of in measured.items()
        },
    }
    path.write_text(json.dumps(content, indent=2) + "\n")
    return path


if __name__ == "__main__":
    sys.exit(main())
