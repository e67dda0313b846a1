"""Interleaved rounds: each gateway in turn, so that a noisy minute hits all of them alike.

A round is worth nothing if any answer was not a success, or if a request was answered without
asking store or upstream: such a run is invalid, and says which gateway did it.
"""

from collections.abc import Sequence
from typing import NamedTuple

from bench.gateways import Running
from bench.load import Load, load
from bench.processes import cpu_us
from bench.surroundings import KEY, LOAD_CORE, Surroundings

WARM_UP_S = 1.0


class Round(NamedTuple):
    load: Load
    cpu_us_per_request: float
    store_cpu_us_per_request: float
    objections: tuple[str, ...]


def rounds(
    gateways: Sequence[Running], around: Surroundings, *, count: int, seconds: float
) -> dict[str, list[Round]]:
    for running in gateways:
        load(running.url, KEY, seconds=WARM_UP_S, core=LOAD_CORE)
    measured: dict[str, list[Round]] = {running.gateway.name: [] for running in gateways}
    for turn in range(count):
        # Whoever comes after the heaviest gateway inherits its heat: let it be each in turn.
        first = turn % len(gateways)
        for running in (*gateways[first:], *gateways[:first]):
            measured[running.gateway.name].append(one_round(running, around, seconds))
    return measured


def one_round(running: Running, around: Surroundings, seconds: float) -> Round:
    upstream_before, decisions_before = around.upstream_requests(), around.store_decisions()
    gateway_before, store_before = cpu_us(running.pid), cpu_us(around.store_pid)
    seen = load(running.url, KEY, seconds=seconds, core=LOAD_CORE)
    gateway_used = cpu_us(running.pid) - gateway_before
    store_used = cpu_us(around.store_pid) - store_before
    proxied = around.upstream_requests() - upstream_before
    decided = around.store_decisions() - decisions_before
    answered = max(1, seen.requests)
    return Round(
        seen,
        gateway_used / answered,
        store_used / answered,
        objections(seen, proxied=proxied, decided=decided),
    )


def objections(seen: Load, *, proxied: int, decided: int) -> tuple[str, ...]:
    found = []
    if not seen.requests:
        found.append("answered nothing")
    if seen.refused:
        found.append(f"{seen.refused} answers were not 2xx")
    if seen.broken:
        found.append(f"{seen.broken} connections failed")
    if proxied < seen.requests:
        found.append(f"{seen.requests - proxied} answers did not come from the upstream")
    if decided < seen.requests:
        found.append(f"{seen.requests - decided} answers were given without asking the store")
    return tuple(found)
