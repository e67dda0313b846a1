"""Which limits for how many gateways: fleets of 2 to 1,000 in one and three regions, simulated.

    python -m bench.simulation [--measure] [--write-docs]

Exact, regional, leased and local limits (fleet_model.py, fleet_leases.py) before steady, bursty and
skewed traffic, and one small limit (fleet_traffic.py). What the store takes for a decision is a
measurement: MEASURED, or taken anew with --measure; what distance costs is assumed and said. The
seed is fixed: equal inputs give equal figures.
"""

import argparse
import asyncio
import statistics
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import Final, NamedTuple

from bench.curves import Panel, curves
from bench.document import DOCS, Section, put
from bench.fleet_leases import Leased
from bench.fleet_model import Exact, Fleet, Inputs, Local, Outcome, Regional
from bench.fleet_traffic import CYCLE_S, SMALL_RATE, TRAFFIC, Traffic

SIZES: Final = (2, 10, 100, 1000)
SEED: Final = 5
SECONDS: Final = 2 * CYCLE_S
SMALL_SECONDS: Final = 60.0
BURST_S: Final = 2.0
"""A bucket holds what flows in so long."""
MODES: Final[dict[str, type[Fleet]]] = {
    "exact": Exact,
    "regional": Regional,
    "leased": Leased,
    "local": Local,
}
MEASURED: Final = Inputs(store_s=12.5e-6, near_s=250e-6, far_s=35e-3)
"""store_s: by `--measure`, where docs/limits-figures.md was. near_s and far_s, one way: assumed, as
between zones of one region of a cloud and between regions on two continents."""
NOTICED: Final = 5e-4
"""Of the burst: less is not a token."""
DECISIONS: Final = 4000


class Figures(NamedTuple):
    admitted: float
    """Of what one bucket would have admitted."""
    ahead: float
    """At worst, of the burst."""
    store_per_s: float
    mean_ms: float
    p99_ms: float


Place = tuple[str, str, str, int]
"""Regions in words, traffic, mode, gateways."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench.simulation", description=__doc__.split("\n")[0])
    parser.add_argument("--measure", action="store_true", help="measure the store first")
    parser.add_argument("--write-docs", action="store_true")
    options = parser.parse_args()
    inputs = MEASURED
    if options.measure:
        trip_s, store_s = asyncio.run(measured_store())
        inputs = replace(MEASURED, store_s=store_s)
        print(f"Measured: a trip {trip_s * 1e6:.0f} µs, of it the store {store_s * 1e6:.1f} µs\n")
    found = dict(simulated(inputs))
    written = table(found)
    print(written)
    if options.write_docs:
        page = DOCS / "which-limits.md"
        command = "python -m bench.simulation" + (" --measure" if options.measure else "")
        put(page, Section("simulation", command, f"{described(inputs)}\n\n{written}"))
        (DOCS / "which-limits.svg").write_text(picture(found))
    return 0


def simulated(inputs: Inputs) -> Iterator[tuple[Place, Figures]]:
    near = replace(inputs, far_s=inputs.near_s)
    for regions, one in (("one region", near), ("three regions", inputs)):
        for traffic in TRAFFIC:
            for name, mode in MODES.items():
                if mode is Regional and one is near:
                    continue
                for gateways in SIZES:
                    figures = simulate(mode, traffic, gateways, one)
                    yield (regions, traffic.name, name, gateways), figures


def simulate(mode: type[Fleet], traffic: Traffic, gateways: int, inputs: Inputs) -> Figures:
    rate = traffic.rate(gateways)
    seconds = SMALL_SECONDS if rate == SMALL_RATE else SECONDS
    burst = BURST_S * rate
    fleet = mode(gateways, rate, burst, inputs)
    return figures_of(fleet.run(traffic.arrivals(gateways, seconds, SEED)), burst, seconds)


def figures_of(outcome: Outcome, burst: float, seconds: float) -> Figures:
    latencies = sorted(outcome.latencies_s)
    return Figures(
        outcome.admitted / max(1, outcome.allowed),
        outcome.ahead / burst,
        outcome.store_calls / seconds,
        statistics.fmean(latencies) * 1e3,
        latencies[len(latencies) * 99 // 100] * 1e3,
    )


async def measured_store() -> tuple[float, float]:
    """Return what a decision takes: the whole trip as a gateway waits for it, and the store's part.

    One at a time on an otherwise idle Valkey of our own; medians.
    """
    from bench.limiter_client import tidegate_on
    from tidegate.config.schema import Redis
    from tidegate.store import open_store

    with tempfile.TemporaryDirectory(prefix="tg-sim-", dir="/tmp") as directory:
        store = await open_store(Redis(timeout=5.0), Path(directory), wait_s=10)
        try:
            ask = tidegate_on(store)
            trips = []
            before = await _script_us(store)
            for _ in range(DECISIONS):
                started = perf_counter()
                await ask()
                trips.append(perf_counter() - started)
            spent_us = await _script_us(store) - before
            return statistics.median(trips), spent_us / DECISIONS / 1e6
        finally:
            await store.aclose()


async def _script_us(store: object) -> float:
    """Return the µs that scripts have taken so far, as the store counts them."""
    text = await store.execute(b"INFO", b"commandstats")  # type: ignore[attr-defined]
    return float(
        sum(
            int(line.partition("usec=")[2].partition(",")[0])
            for line in bytes(text).decode().splitlines()
            if line.startswith("cmdstat_evalsha")
        )
    )


def described(inputs: Inputs) -> str:
    return (
        f"Inputs: the store takes {inputs.store_s * 1e6:.1f} µs for a decision (measured) and "
        f"makes one at a time; one way costs {inputs.near_s * 1e3:g} ms within a region and "
        f"{inputs.far_s * 1e3:g} ms between two (assumed). Seed {SEED}; {SECONDS:g} s of traffic, "
        f"{SMALL_SECONDS:g} s before the small limit; a burst of {BURST_S:g} s' worth."
    )


def table(found: Mapping[Place, Figures]) -> str:
    """Return for each kind of traffic the modes, and for each fleet what it admitted, by how much
    it was over, what it asked of the store and how long a decision took."""
    lines: list[str] = []
    for regions in dict.fromkeys(place[0] for place in found):
        for traffic in TRAFFIC:
            lines += [
                f"**{traffic.name.capitalize()}, {regions}** ({traffic.words})",
                "",
                "| limits | gateways | admitted/allowed | over, of the burst | store calls/s "
                "| decision, mean ms | p99 ms |",
                "| --- | --: | --: | --: | --: | --: | --: |",
            ]
            for (where, kind, mode, gateways), of in found.items():
                if (where, kind) == (regions, traffic.name):
                    over = f"{of.ahead:.1%}" if of.ahead >= NOTICED else "never"
                    lines.append(
                        f"| {mode} | {gateways:,} | {of.admitted:.3f} | {over} | "
                        f"{of.store_per_s:,.0f} | {of.mean_ms:.2f} | {of.p99_ms:.2f} |"
                    )
            lines.append("")
    return "\n".join(lines).rstrip()


def picture(found: Mapping[Place, Figures]) -> str:
    """Three regions: what was admitted, what the store was asked, how long a decision took."""
    panels = []
    for traffic in TRAFFIC:
        lines = {
            mode: [(size, found["three regions", traffic.name, mode, size]) for size in SIZES]
            for mode in MODES
        }
        panels += [
            Panel(
                f"{traffic.name}: admitted/allowed",
                {mode: [(size, of.admitted) for size, of in line] for mode, line in lines.items()},
                low=0.0,
                high=1.5,
                marks=[(0, "0"), (0.5, "0.5"), (1, "1"), (1.5, "1.5")],
            ),
            Panel(
                f"{traffic.name}: store calls/s",
                {m: [(size, of.store_per_s) for size, of in line] for m, line in lines.items()},
                low=1.0,
                high=1e5,
                marks=[(1, "≤1"), (100, "100"), (1e4, "10,000")],
                is_log=True,
            ),
            Panel(
                f"{traffic.name}: a decision, mean ms",
                {mode: [(size, of.mean_ms) for size, of in line] for mode, line in lines.items()},
                low=0.1,
                high=1000,
                marks=[(0.1, "≤0.1"), (1, "1"), (10, "10"), (100, "100"), (1000, "1,000")],
                is_log=True,
            ),
        ]
    return curves("Three regions, by the number of gateways", panels)


if __name__ == "__main__":
    sys.exit(main())
