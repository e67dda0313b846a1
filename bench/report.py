"""Medians of the rounds, ratios to nginx + Lua + Redis of the same run, and the bars to clear."""

from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import NamedTuple

from bench.gateways import GATEWAYS, PEER
from bench.jobs import JOBS
from bench.rounds import Case, Round

LABELS = {gateway.name: gateway.label for gateway in GATEWAYS}


class Summary(NamedTuple):
    cpu_us: float
    cpu_us_least: float
    cpu_us_most: float
    requests_per_s: float
    p50_us: float
    p99_us: float
    store_cpu_us: float
    peak_memory_kib: int


class Bar(NamedTuple):
    """`subject` costs at most `most` times what `reference` costs; each a gateway and a job."""

    subject: Case
    reference: Case
    most: float


BARS = (
    Bar(("native", "allowed"), (PEER, "allowed"), 1.3),
    Bar(("asgi", "allowed"), (PEER, "allowed"), 2.0),
    Bar(("native", "401"), (PEER, "allowed"), 0.8),
    Bar(("native", "429"), (PEER, "allowed"), 0.8),
    Bar(("native", "429-each"), (PEER, "allowed"), 0.8),
    Bar(("native", "hit"), (PEER, "hit"), 1.0),
    Bar(("native-2", "allowed"), ("native", "allowed"), 1.1),
    Bar(("native", "allowed"), ("seed", "allowed"), 1 / 20),
)


def summary(rounds: Sequence[Round], peak_memory_kib: int) -> Summary:
    def middle(value: Callable[[Round], float]) -> float:
        return median(map(value, rounds))

    costs = [one.cpu_us_per_request for one in rounds]
    return Summary(
        cpu_us=median(costs),
        cpu_us_least=min(costs),
        cpu_us_most=max(costs),
        requests_per_s=middle(lambda one: one.load.requests / one.load.duration_us * 1e6),
        p50_us=middle(lambda one: one.load.p50_us),
        p99_us=middle(lambda one: one.load.p99_us),
        store_cpu_us=middle(lambda one: one.store_cpu_us_per_request),
        peak_memory_kib=peak_memory_kib,
    )


def tables(summaries: Mapping[Case, Summary]) -> str:
    """Return a Markdown table for each job that was measured."""
    parts = []
    for job in JOBS:
        of_job = {gateway: of for (gateway, name), of in summaries.items() if name == job.name}
        if of_job:
            parts.append(f"### {job.label[0].upper()}{job.label[1:]}\n{table(of_job)}")
    return "\n\n".join(parts)


def table(of_gateways: Mapping[str, Summary]) -> str:
    peer = of_gateways.get(PEER)
    lines = [
        "| gateway | CPU µs a request (least–most) | × nginx + Lua | requests/s | p50 ms | p99 ms"
        " | store CPU µs | peak MiB |",
        "| --- | --: | --: | --: | --: | --: | --: | --: |",
    ]
    for name, of in of_gateways.items():
        ratio = f"{of.cpu_us / peer.cpu_us:.2f}" if peer else "–"
        lines.append(
            f"| {LABELS[name]} | {of.cpu_us:.1f} ({of.cpu_us_least:.1f}–{of.cpu_us_most:.1f})"
            f" | {ratio} | {of.requests_per_s:,.0f} | {of.p50_us / 1000:.2f}"
            f" | {of.p99_us / 1000:.2f} | {of.store_cpu_us:.1f}"
            f" | {of.peak_memory_kib / 1024:.0f} |"
        )
    return "\n".join(lines)


def verdicts(summaries: Mapping[Case, Summary]) -> list[str]:
    lines = []
    for bar in BARS:
        if bar.subject not in summaries or bar.reference not in summaries:
            continue
        ratio = summaries[bar.subject].cpu_us / summaries[bar.reference].cpu_us
        word = "met" if ratio <= bar.most else "MISSED"
        lines.append(
            f"{word}: {named(bar.subject)} costs {ratio:.3g} × {named(bar.reference)}"
            f" (bar: {bar.most:.3g} ×)"
        )
    return lines


def named(case: Case) -> str:
    gateway, job = case
    return f"{LABELS[gateway]} ({job})"


def objections(measured: Mapping[Case, Sequence[Round]]) -> list[str]:
    return [
        f"{named(case)}, round {number}: {objection}"
        for case, rounds in measured.items()
        for number, one in enumerate(rounds, 1)
        for objection in one.objections
    ]
