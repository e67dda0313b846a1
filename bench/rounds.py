"""Interleaved rounds: each gateway in turn, job by job, so that a noisy minute hits all alike.

A round is worth nothing if an answer was not what the job says, or if a request was answered
without asking store or upstream: such a run is invalid, and says which gateway did it.
"""

from collections.abc import Sequence
from typing import NamedTuple

from bench.gateways import Running
from bench.jobs import JOBS, LIMITED, Job
from bench.load import CONNECTIONS, Load, load
from bench.processes import cpu_us, rested
from bench.surroundings import LOAD_CORE, Surroundings

WARM_UP_S = 1.0


class Round(NamedTuple):
    load: Load
    cpu_us_per_request: float
    store_cpu_us_per_request: float
    objections: tuple[str, ...]


Case = tuple[str, str]
"""The names of a gateway and of a job."""


def rounds(
    gateways: Sequence[Running], around: Surroundings, *, count: int, seconds: float
) -> dict[Case, list[Round]]:
    measured: dict[Case, list[Round]] = {}
    for job in JOBS:
        able = [running for running in gateways if job in running.gateway.jobs]
        for running in able:
            load(running.url(job), job.key, seconds=WARM_UP_S, core=LOAD_CORE)
            rest(running)
            measured[running.gateway.name, job.name] = []
        for turn in range(count):
            # Whoever comes after the heaviest gateway inherits its heat: let it be each in turn.
            first = turn % max(1, len(able))
            for running in (*able[first:], *able[:first]):
                one = one_round(running, job, around, seconds)
                measured[running.gateway.name, job.name].append(one)
                rest(running)
    return measured


def rest(running: Running) -> None:
    """A slow gateway answers on when the callers are gone, on the core of the next."""
    rested(lambda: cpu_us(running.pid))


def one_round(running: Running, job: Job, around: Surroundings, seconds: float) -> Round:
    upstream_before, decisions_before = around.upstream_requests(), around.store_decisions()
    gateway_before, store_before = cpu_us(running.pid), cpu_us(around.store_pid)
    seen = load(running.url(job), job.key, seconds=seconds, core=LOAD_CORE)
    gateway_used = cpu_us(running.pid) - gateway_before
    store_used = cpu_us(around.store_pid) - store_before
    proxied = around.upstream_requests() - upstream_before
    decided = around.store_decisions() - decisions_before
    answered = max(1, seen.requests)
    return Round(
        seen,
        gateway_used / answered,
        store_used / answered,
        objections(
            seen,
            job,
            proxied=proxied,
            decided=decided,
            asks_store=running.gateway.asks_store,
            repeats=running.gateway.repeats_refusals and job is LIMITED,
        ),
    )


def objections(
    seen: Load,
    job: Job,
    *,
    proxied: int,
    decided: int,
    asks_store: bool = True,
    repeats: bool = False,
) -> tuple[str, ...]:
    """Return what makes a round worth nothing. `repeats`: the store need not decide each time."""
    found = []
    if not seen.requests:
        found.append("answered nothing")
    wrong = seen.refused if job.status < 400 else seen.requests - seen.refused
    if wrong > 0:
        found.append(f"{wrong} answers were not {job.status}")
    if seen.broken:
        found.append(f"{seen.broken} connections failed")
    if job.is_proxied and proxied < seen.requests:
        found.append(f"{seen.requests - proxied} answers did not come from the upstream")
    # Each connection may find the cache empty once; the count itself is one request.
    if not job.is_proxied and proxied > CONNECTIONS + 1:
        found.append(f"{proxied} answers came from the upstream")
    if job.is_decided and asks_store and not repeats and decided < seen.requests:
        found.append(f"{seen.requests - decided} answers were given without asking the store")
    elif job.is_known and asks_store and seen.requests and not decided:
        found.append("the store was never asked")
    return tuple(found)
