"""How many files a process may have open: a worker needs two for each connection it proxies.

Many systems give a process 1024 and let it take more by itself (getrlimit(2)).
"""

import resource
from typing import Final

from tidegate.config import Config

OWN: Final = 256
"""What a worker opens besides connections: store, logs, libraries, and some room."""


def files_needed(config: Config) -> int:
    """Return the open files of one worker at its bounds: clients, and upstreams behind them."""
    bounds = config.listen.bounds
    pooled = sum(service.pool.connections * len(service.targets) for service in config.services)
    return bounds.connections + min(pooled, bounds.connections) + OWN


def raise_open_files(wanted: int) -> int:
    """Raise this process's limit to `wanted`, or to what it may have; return the limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = resource.RLIM_INFINITY
    if soft == unlimited or soft >= wanted:
        return wanted
    reachable = wanted if hard == unlimited else min(wanted, hard)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (reachable, hard))
    except (OSError, ValueError):  # macOS has a second limit that only it knows
        return soft
    return reachable
