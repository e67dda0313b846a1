"""What the gateway hands to telemetry: its settings, its pools, its connections, its store's trips.

Telemetry imports nothing of these rooms; here their figures become metrics.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from tidegate.config import Config
from tidegate.gateway.snapshot import Snapshot
from tidegate.rate_limiter import Degraded
from tidegate.telemetry import AccessLog, DecisionSamples, Reading, Telemetry, line_format

STANDARD_OUTPUT: Final = 1


def telemetry_of(config: Config, log_to: int | None) -> Telemetry:
    """Return the telemetry that `config` asks for.

    `log_to` is where `access_log: auto` writes; None: nowhere, since somebody else logs there.
    """
    samples = DecisionSamples(config.decisions.sample, config.decisions.keep)
    return Telemetry(
        _access_log(config.access_log, log_to),
        samples if config.decisions.keep else None,
        config.usage.keep,
    )


def _access_log(form: str, log_to: int | None) -> AccessLog | None:
    if form == "off" or (form == "auto" and log_to is None):
        return None
    descriptor = STANDARD_OUTPUT if log_to is None else log_to
    return AccessLog(descriptor, line_format(form, is_terminal=os.isatty(descriptor)))


def metrics_directory(data_dir: Path) -> Path:
    """Return where the workers of one data directory write their numbers."""
    return data_dir / "metrics"


def pool_readings(snapshot: Snapshot) -> Iterator[Reading]:
    """Yield the connections to every target of every service."""
    for service, upstream in zip(snapshot.config.services, snapshot.upstreams, strict=True):
        for target, counts in upstream.counts.items():
            where = service.name, target
            busy = counts.held - counts.idle
            yield "tidegate_upstream_connections", (*where, "busy"), busy
            yield "tidegate_upstream_connections", (*where, "idle"), counts.idle
            yield "tidegate_upstream_waiting", where, counts.waiting
            yield "tidegate_upstream_connections_opened", where, counts.opened


def gateway_readings(snapshot: Snapshot, degraded: Degraded) -> Iterator[Reading]:
    """Yield the connections to services, and the decisions that were made without the store."""
    yield from pool_readings(snapshot)
    for mode, count in degraded.decisions.items():
        yield "tidegate_degraded_decisions", (mode,), count


def connection_readings(count: Callable[[], int]) -> Callable[[], Iterator[Reading]]:
    """Return a source that tells the number of clients' connections."""

    def read() -> Iterator[Reading]:
        yield "tidegate_connections", (), count()

    return read
