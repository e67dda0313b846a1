"""Routing, the compiled snapshot, and `handle`: the core that both doors call."""

from tidegate.gateway.explain import Explanation, explain
from tidegate.gateway.gateway import Gateway
from tidegate.gateway.limits_explained import LimitsExplained, limits_of_key, limits_of_tenant
from tidegate.gateway.nodes import Node, alive, announced, fingerprint
from tidegate.gateway.not_open import GatewayNotOpen
from tidegate.gateway.observation import connection_readings, metrics_directory
from tidegate.gateway.purge import purge
from tidegate.gateway.snapshot import CompiledRoute, Snapshot, compile_snapshot
from tidegate.gateway.webhook_delivery import webhooks_delivered
from tidegate.policies.answer_fields import OWN_FIELDS

__all__ = [
    "OWN_FIELDS",
    "CompiledRoute",
    "Explanation",
    "Gateway",
    "GatewayNotOpen",
    "LimitsExplained",
    "Node",
    "Snapshot",
    "alive",
    "announced",
    "compile_snapshot",
    "connection_readings",
    "explain",
    "fingerprint",
    "limits_of_key",
    "limits_of_tenant",
    "metrics_directory",
    "purge",
    "webhooks_delivered",
]
