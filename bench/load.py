"""One round of load by wrk: a closed loop, so latency is what 32 callers in a row of their own
see, not what an open stream would.
"""

import json
import os
import subprocess
from pathlib import Path
from typing import NamedTuple

CONNECTIONS = 32
REPORT = Path(__file__).parent / "files" / "wrk.lua"


class Load(NamedTuple):
    requests: int
    duration_us: int
    p50_us: int
    p99_us: int
    refused: int
    """Answers with a status of 400 and above."""
    broken: int
    """Connections refused, cut or timed out."""


def load(url: str, key: str, *, seconds: float, core: int) -> Load:
    ran = subprocess.run(
        [
            "wrk",
            "--threads=1",
            f"--connections={CONNECTIONS}",
            f"--duration={max(1, round(seconds))}s",
            f"--header=X-API-Key: {key}",
            f"--script={REPORT}",
            url,
        ],
        capture_output=True,
        text=True,
        check=True,
        preexec_fn=lambda: os.sched_setaffinity(0, {core}),
    )
    return parsed(ran.stdout)


def parsed(output: str) -> Load:
    line = next(line for line in output.splitlines() if line.startswith("result "))
    return Load(**json.loads(line.removeprefix("result ")))
