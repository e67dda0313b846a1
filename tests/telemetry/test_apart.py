"""Numbers of a process that is no worker stand beside the workers', and outlive it."""

import asyncio
import logging

from tidegate.telemetry.apart import written_apart
from tidegate.telemetry.worker_files import read_sum


def readings():
    yield "tidegate_webhook_attempts", ("delivered",), 3


async def test_its_numbers_are_summed_and_stay_when_it_ends(tmp_path):
    async with written_apart(tmp_path, readings, continues=False):
        await asyncio.sleep(0)
    assert read_sum(tmp_path) == {"tidegate_webhook_attempts": {"delivered": 3}}
    async with written_apart(tmp_path, readings, continues=True):
        pass
    assert read_sum(tmp_path) == {"tidegate_webhook_attempts": {"delivered": 6}}


async def test_they_are_there_while_it_runs(tmp_path, eventually):
    async with written_apart(tmp_path, readings, continues=False):
        await eventually(lambda: bool(read_sum(tmp_path)))


async def test_a_directory_that_cannot_be_written_is_told_and_ends_nothing(tmp_path, caplog):
    caplog.set_level(logging.WARNING)
    (tmp_path / "metrics").write_text("a file")
    async with written_apart(tmp_path / "metrics", readings, continues=False):
        assert "These metrics are missing" in caplog.text
