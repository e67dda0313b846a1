"""How exact a concurrency is: what a service had in hand at once, behind two workers of a gateway.

    python -m bench.concurrency [--seconds 5] [--write-docs]

The service takes half a second for each request and counts what it has in hand; three times as many
come as the limit allows. Exit status 1: it ever had more in hand than the limit.
"""

import argparse
import asyncio
import sys
import tempfile
from contextlib import ExitStack
from math import ceil
from pathlib import Path
from time import perf_counter
from typing import Final, NamedTuple

import uvloop

from bench.accuracy import OVERLOAD, PATH, serving
from bench.document import LIMITS_FIGURES, Section, put
from bench.open_load import asked, steady
from bench.surroundings import Unfit, free_port

LIMITS: Final = (1, 10, 100)
TAKES_S: Final = 0.5
ANSWER: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Found(NamedTuple):
    limit: int
    asked: int
    admitted: int
    most: int
    """In hand at once."""
    mean: float


class Service:
    """Counts what it has in hand; the time that each number lasted."""

    def __init__(self) -> None:
        self.in_hand = self.most = 0
        self._area = 0.0
        self._since = self._began = perf_counter()

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                self._count(1)
                try:
                    await asyncio.sleep(TAKES_S)
                finally:
                    self._count(-1)
                writer.write(ANSWER)
        except (EOFError, ConnectionError):
            return
        finally:
            writer.close()

    def mean(self) -> float:
        self._count(0)
        return self._area / (perf_counter() - self._began)

    def _count(self, change: int) -> None:
        now = perf_counter()
        self._area += self.in_hand * (now - self._since)
        self._since = now
        self.in_hand += change
        self.most = max(self.most, self.in_hand)


async def measured(limit: int, seconds: float) -> Found:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tg-bench-")))
        port, upstream = free_port(), free_port()
        await asyncio.to_thread(serving, stack, folder, configuration(limit, port, upstream), port)
        service = Service()
        async with await asyncio.start_server(service, "127.0.0.1", upstream):
            per_s = OVERLOAD * limit / TAKES_S
            request = f"GET {PATH} HTTP/1.1\r\nHost: 127.0.0.1\r\nX-API-Key: bench-key\r\n\r\n"
            run = await asked(
                port, request.encode(), steady(per_s, seconds), 2 * ceil(OVERLOAD * limit)
            )
            mean = service.mean()
    if odd := {one.status for one in run} - {200, 429}:
        raise Unfit(f"{limit} at a time: answers were {sorted(odd)}")
    return Found(limit, len(run), sum(one.status == 200 for one in run), service.most, mean)


def configuration(limit: int, port: int, upstream: int) -> str:
    return f"""\
version: 1
listen: {{host: 127.0.0.1, port: {port}}}
admin: {{enabled: false}}
access_log: "off"
redis: {{timeout: 5s}}
plans: {{it: {{limits: [{{name: parallel, concurrency: {limit}}}]}}}}
tenants: [{{name: it, plan: it, keys: [{{name: it, value: bench-key}}]}}]
services:
  - name: service
    targets: ["http://127.0.0.1:{upstream}"]
    pool: {{connections: 1000}}
    routes: [{{name: try, paths: [{PATH}]}}]
"""


def table(found: list[Found]) -> str:
    lines = [
        "| limit | asked | admitted | most in hand at once | in hand in the mean |",
        "| --- | --: | --: | --: | --: |",
    ]
    lines += [
        f"| {of.limit} at a time | {of.asked:,} | {of.admitted:,} | {of.most} | {of.mean:.1f} |"
        for of in found
    ]
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench.concurrency", description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--write-docs", action="store_true")
    options = parser.parse_args()
    try:
        found = [uvloop.run(measured(limit, options.seconds)) for limit in LIMITS]
    except Unfit as unfit:
        print(f"bench: {unfit}", file=sys.stderr)
        return 1
    written = table(found)
    print(written)
    if any(of.most > of.limit for of in found):
        print("more at once than allowed", file=sys.stderr)
        return 1
    if options.write_docs:
        command = f"python -m bench.concurrency --seconds {options.seconds:g}"
        put(LIMITS_FIGURES, Section("concurrency", command, written))
    return 0


if __name__ == "__main__":
    sys.exit(main())
