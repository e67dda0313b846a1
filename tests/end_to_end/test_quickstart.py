"""`tidegate quickstart`: a newcomer's first command."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_it_says_what_to_try_and_ends_with_all_it_started(
    clients: Any, short_dir: Path, number: signal.Signals
) -> None:
    environ = {name: value for name, value in os.environ.items() if name != "REDIS_URL"}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-m", "tidegate", "quickstart", "--port", "0",
        cwd=short_dir, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    lines = []
    async with asyncio.timeout(30):
        while not lines or "Ctrl-C" not in lines[-1]:
            line = await process.stdout.readline()
            assert line, "it ended before it served"
            lines.append(line.decode())
    assert len(lines) <= 12
    url = next(line for line in lines if "/health" in line).split()[1]
    port = int(url.split(":")[2].split("/")[0])
    try:
        assert (await clients.get(port, "/health")).status == 200
        key = "X-API-Key: premium_user\r\n"
        assert (await clients.get(port, "/api/v1/test", headers=key)).status == 200
        statuses = [
            (await clients.get(port, "/api/v1/test", headers="X-API-Key: user_1\r\n")).status
            for _ in range(14)
        ]
        assert 429 in statuses
        assert (short_dir / ".tidegate").is_dir()
    finally:
        process.send_signal(number)
        out, err = await process.communicate()
    assert (process.returncode, err) == (0, b"")
    logged = [
        json.loads(line)["status"] for line in out.splitlines()
    ]  # the access log, without health checks
    assert sorted(logged) == sorted([200, *statuses])
    await clients.eventually(lambda: not uses(short_dir))


def uses(directory: Path) -> list[str]:
    """Processes that name the directory, or work in it."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and (
                os.fsencode(directory) in (entry / "cmdline").read_bytes()
                or (entry / "cwd").readlink() == directory
            ):
                found.append(entry.name)
        except OSError:
            continue
    return found
