"""`tidegate limits replay`: who would have met 429 if other limits had been in force."""

import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from tidegate.cli.failure import Failure
from tidegate.cli.inputs import CONFIG_DEFAULT, DataDirOption, JsonOption, loaded
from tidegate.cli.operations import Operations, done
from tidegate.cli.output import print_json, print_line, print_note, print_table, when

if TYPE_CHECKING:
    from tidegate.gateway.replay import Replay, Row

PAGE: Final = 500
ROWS_SHOWN: Final = 30
LIMITS_SHOWN: Final = 3
SUMMED: Final = ("requests", "met_429", "would_meet_429", "newly_refused")


def replay(
    config: Annotated[
        Path,
        typer.Option("--config", "-c", metavar="FILE", help="The proposed configuration."),
    ],
    since: Annotated[
        str, typer.Option("--since", metavar="TIME", help="How far back, such as 30m, 24h or 7d.")
    ] = "24h",
    plot: Annotated[
        Path | None, typer.Option("--plot", metavar="FILE", help="Draw it into this SVG as well.")
    ] = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run a proposed configuration against what was decided.

    Says which tenants and keys would have met 429, how often, by which limits, and what they did
    meet; and what is not known. Nothing is charged and nothing changes: the gateway that runs here
    is asked for its decision records, else the store is.

    Examples:

      tidegate limits replay --config proposed.yaml

      tidegate limits replay --config proposed.yaml --since 7d --plot replay.svg
    """
    from tidegate.gateway.proposed_limits import ProposedLimits
    from tidegate.gateway.replay import Replay, in_order

    until_s = time.time()
    since_s = until_s - _seconds(since)
    proposed = ProposedLimits(loaded(config))
    replayed = Replay(proposed, since_s, until_s)

    async def run(operations: Operations) -> None:
        async for record in in_order(_records(operations, since_s, until_s)):
            replayed.add(record)

    done(_where(config, data_dir), data_dir, run)
    told = report(replayed, proposed)
    if plot is not None:
        _draw(plot, replayed)
    if as_json:
        print_json(told)
    else:
        _print(replayed, told, config)


def report(replayed: "Replay", proposed: Any) -> dict[str, Any]:
    """Return all that a replay found, and what it cannot know."""
    rows = _sorted(replayed)
    return {
        "since": round(replayed.since_s, 3),
        "until": round(replayed.until_s, 3),
        "first_record": replayed.first_s,
        "records": replayed.records,
        "weights": sorted(replayed.weights),
        "requests": sum(row.requests for row in rows),
        "met_429": sum(row.met for row in rows),
        "would_meet_429": sum(row.would for row in rows),
        "newly_refused": sum(row.newly for row in rows),
        "no_longer_refused": sum(row.freed for row in rows),
        "tenants": _by_tenant(rows),
        "keys": [row.as_dict() for row in rows],
        "not_known": _not_known(replayed, proposed),
    }


def _seconds(since: str) -> float:
    from tidegate.config.units import parse_duration_s

    try:
        return parse_duration_s(since)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--since") from error


def _where(proposed: Path, data_dir: Path | None) -> Path | None:
    """Return the configuration whose gateway is asked: where there is no other, the proposed."""
    from tidegate.cli.inputs import data_directory, read_settings
    from tidegate.store.gateways import running_gateway

    settings = read_settings()
    runs = running_gateway(data_directory(data_dir, settings)) is not None
    return None if runs or settings.config or CONFIG_DEFAULT.exists() else proposed


async def _records(
    operations: Operations, since_s: float, until_s: float
) -> AsyncIterator[dict[str, Any]]:
    """Yield the records of that time, page by page: a gateway that runs goes on writing."""
    after: str | None = str(round(since_s * 1000))
    while after is not None:
        page, after = await operations.decisions_after(after, PAGE)
        for record in page:
            if record["time"] > until_s:
                return
            if record["time"] >= since_s:
                yield record


def _sorted(replayed: "Replay") -> "list[Row]":
    return sorted(
        replayed.rows.values(),
        key=lambda row: (-row.newly, -row.would, -row.met, -row.requests, row.tenant, row.key),
    )


def _by_tenant(rows: "list[Row]") -> dict[str, dict[str, int]]:
    """Return what met and would meet 429, by tenant: those that would newly meet most first."""
    sums: dict[str, dict[str, int]] = {}
    for row in rows:
        of = sums.setdefault(row.tenant, dict.fromkeys(SUMMED, 0))
        for name, number in zip(SUMMED, (row.requests, row.met, row.would, row.newly), strict=True):
            of[name] += number
    return dict(sorted(sums.items(), key=lambda item: -item[1]["newly_refused"]))


def _not_known(replayed: "Replay", proposed: Any) -> list[str]:
    said = []
    weight = max(replayed.weights, default=1)
    if weight > 1:
        said.append(
            f"Of what was admitted a record stands for {weight} requests (decisions.sample): their "
            "numbers are estimates, ± what sampling leaves open 95 times of 100. Refusals are "
            "recorded one by one."
        )
    if proposed.coarse:
        said.append(
            f"Limits finer than the sample ({', '.join(sorted(proposed.coarse))}) are judged by "
            "their rate: shorter bursts are not seen."
        )
    if replayed.unrecorded:
        said.append(
            f"{replayed.unrecorded:,} more requests, most of them refusals, had no room in the "
            "records (100 refusals a second of each worker, 10 of one key) or were lost: whose "
            "they were is not known."
        )
    if replayed.unweighed:
        said.append(
            f"{replayed.unweighed:,} records are of an older version, which did not write for how "
            "many requests they stand: each counts as one."
        )
    if replayed.first_s is not None and replayed.first_s > replayed.since_s + 60:
        said.append(
            f"There are no records before {when(replayed.first_s)}: older ones are gone "
            "(decisions.keep), or there was no traffic."
        )
    said += [f"Not replayed: {why} ({n:,} requests)." for why, n in replayed.not_replayed.items()]
    said += [f"Left out: {why}." for why in proposed.left_out]
    said.append("Each request is asked once: who is refused may come back, or stay away.")
    return said


def _draw(path: Path, replayed: "Replay") -> None:
    from tidegate.cli.replay_picture import picture

    try:
        path.write_text(picture(replayed, _sorted(replayed)), encoding="utf-8")
    except OSError as error:
        raise Failure(f"{path} cannot be written: {error.strerror}") from error
    print_note(f"Drawn into {path}.")


def _print(replayed: "Replay", told: dict[str, Any], config: Path) -> None:
    if not told["requests"]:
        print_line(
            "There are no decision records of limited requests in that time "
            "(decisions.sample, decisions.keep)."
        )
    else:
        _print_rows(replayed, told, config)
    print_line()
    for line in told["not_known"]:
        print_line(f"- {line}")


def _print_rows(replayed: "Replay", told: dict[str, Any], config: Path) -> None:
    rows = [row for row in _sorted(replayed) if row.met or row.would or row.shadow]
    about = "About " if max(replayed.weights) > 1 else ""
    hit = sum(of["newly_refused"] > 0 for of in told["tenants"].values())
    whose = f" ({hit:,} tenant{'s' if hit > 1 else ''})" if hit else ""
    print_line(
        f"{about}{told['requests']:,} requests by {config}: {told['newly_refused']:,} that were "
        f"admitted would meet 429{whose}, {told['no_longer_refused']:,} that met it would not."
    )
    if not rows:
        return
    print_line()
    print_table(
        ("TENANT", "KEY", "REQUESTS", "MET 429", "WOULD MEET", "SHARE", "SHADOW", "BY"),
        [_cells(row) for row in rows[:ROWS_SHOWN]],
    )
    if len(rows) > ROWS_SHOWN:
        print_line(f"and {len(rows) - ROWS_SHOWN:,} more (--json tells all)")


def _cells(row: "Row") -> tuple[str, ...]:
    from tidegate.gateway.replay import within

    return (
        row.tenant,
        row.key,
        _about(row.requests, within(row.doubt)),
        f"{row.met:,}",
        _about(row.would, within(row.would_doubt)),
        f"{row.would / row.requests:.1%}",
        f"{row.shadow:,}" if row.shadow else "",
        ", ".join(name for name, _ in row.by.most_common(LIMITS_SHOWN)),
    )


def _about(number: int, doubt: int) -> str:
    return f"{number:,} ± {doubt:,}" if doubt else f"{number:,}"
