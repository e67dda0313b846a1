"""What the control plane serves as /metrics: the workers' files summed, as Prometheus text.

prometheus-client is imported where it is needed: it takes a tenth of a second, which neither a
worker nor a command shall pay.
"""

from pathlib import Path
from typing import Final

from tidegate.telemetry.worker_files import read_sum

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


def exposition(directory: Path) -> bytes:
    """Return the metrics of the gateway whose workers write to `directory`.

    Reads files and waits for a lock: not for an event loop.
    """
    from tidegate.telemetry.prometheus_text import prometheus_text

    return prometheus_text(read_sum(directory))
