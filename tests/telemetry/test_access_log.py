"""The log never holds up the loop: what a slow reader leaves is dropped, counted, said once."""

import logging
import os
import subprocess
import sys

from tidegate.telemetry import access_log
from tidegate.telemetry.access_log import AccessLog


def lines(entry, ended_at):
    return f"{entry.size}\n"


def entry(number):
    return access_log.Entry(
        None, None, b"", "cache", None, None, "", "GET", None, b"", 200, number, 0, 0, 0, False, 0.0
    )  # fmt: skip


async def test_lines_arrive_in_order_and_whole(eventually):
    reading, writing = os.pipe()
    log = AccessLog(writing, lines)
    for number in range(1000):
        log.add(entry(number))
    await log.aclose()
    os.close(writing)
    with os.fdopen(reading) as file:
        assert [int(line) for line in file] == list(range(1000))
    assert log.dropped == 0


async def test_a_log_that_was_closed_goes_on_with_the_next_line():
    reading, writing = os.pipe()
    log = AccessLog(writing, lines)
    for number in range(3):
        log.add(entry(number))
        await log.aclose()
    os.close(writing)
    with os.fdopen(reading) as file:
        assert [int(line) for line in file] == [0, 1, 2]


async def test_a_reader_that_does_not_read_costs_lines_and_not_time(
    monkeypatch, caplog, eventually
):
    monkeypatch.setattr(access_log, "WAITING_MAX", 100)
    monkeypatch.setattr(access_log, "CLOSE_S", 0.05)
    reading, writing = os.pipe()
    log = AccessLog(writing, lambda entry, ended_at: "x" * 100_000 + "\n")
    with caplog.at_level(logging.WARNING):
        for number in range(150):
            log.add(entry(number))
        await log.aclose()
    assert log.dropped == 50
    assert caplog.text.count("lines are dropped") == 1
    os.close(reading)  # the thread, which is writing, gets EPIPE and ends
    await eventually(lambda: log.dropped == 150)
    os.close(writing)


async def test_a_closed_output_ends_the_log_and_nothing_else(eventually):
    reading, writing = os.pipe()
    os.close(reading)
    log = AccessLog(writing, lines)
    log.add(entry(1))
    await log.aclose()
    os.close(writing)
    assert log.dropped == 1


WORKER = """
import asyncio, sys
from tidegate.telemetry import access_log
name = sys.argv[1]
access_log.CLOSE_S = 30
async def run():
    log = access_log.AccessLog(1, lambda entry, at: f"<{name * (200 + entry.size % 300)}>\\n")
    for number in range(5000):
        log.add(access_log.Entry(
            None, None, b"", "", None, None, "", "", None, b"", 200, number, 0, 0, 0, False, 0.0
        ))
    await log.aclose()
asyncio.run(run())
"""


def test_two_workers_never_tear_each_others_lines():
    reading, writing = os.pipe()
    workers = [
        subprocess.Popen([sys.executable, "-c", WORKER, name], stdout=writing) for name in "ab"
    ]
    os.close(writing)
    with os.fdopen(reading) as file:
        seen = list(file)
    assert [worker.wait(10) for worker in workers] == [0, 0]
    assert len(seen) == 10_000
    broken = [line for line in seen if line[0] + line[-2:] != "<>\n" or len({*line}) != 4]
    assert broken == []


async def test_a_line_too_long_for_a_pipe_is_cut_and_says_so():
    reading, writing = os.pipe()
    most = access_log.LINE_BYTES_MAX
    lengths = iter([10, most - 1, most, 3 * most, 10])
    log = AccessLog(writing, lambda entry, ended_at: "x" * next(lengths) + "\n")
    for number in range(5):
        log.add(entry(number))
    await log.aclose()
    os.close(writing)
    with os.fdopen(reading) as file:
        seen = list(file)
    assert [len(line) for line in seen] == [11, most, most, most, 11]
    assert [line.endswith("...\n") for line in seen] == [False, False, True, True, False]
