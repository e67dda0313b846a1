"""Routing, the compiled snapshot, and `handle`: the core that both doors call."""

from tidegate.gateway.gateway import Gateway, GatewayNotOpen
from tidegate.gateway.observation import connection_readings, metrics_directory
from tidegate.gateway.snapshot import CompiledRoute, Snapshot, compile_snapshot

__all__ = [
    "CompiledRoute",
    "Gateway",
    "GatewayNotOpen",
    "Snapshot",
    "compile_snapshot",
    "connection_readings",
    "metrics_directory",
]
