"""The way to the services: pools, an HTTP/1.1 client of our own, balancing, safe retries."""

from typing import TypeAlias

from tidegate.config.schema import Service
from tidegate.upstream.asgi_app import AsgiApps, TargetNotLoaded
from tidegate.upstream.asgi_upstream import SCHEME, AsgiUpstream
from tidegate.upstream.client import Upstream
from tidegate.upstream.header_fields import (
    add_forwarding_fields,
    add_via,
    via_field,
)
from tidegate.upstream.pool import Counts
from tidegate.upstream.request_head import WRITTEN_HERE, ready_fields

AnyUpstream: TypeAlias = Upstream | AsgiUpstream
"""What requests are sent to, with or without a socket."""


def upstream_of(service: Service, apps: AsgiApps) -> AnyUpstream:
    """Return the client of `service`. Opens and starts nothing. Raises TargetNotLoaded."""
    target = service.targets[0]
    if target.startswith(SCHEME):
        return AsgiUpstream(service, apps.app(target))
    return Upstream(service)


__all__ = [
    "WRITTEN_HERE",
    "AnyUpstream",
    "AsgiApps",
    "AsgiUpstream",
    "Counts",
    "TargetNotLoaded",
    "Upstream",
    "add_forwarding_fields",
    "add_via",
    "ready_fields",
    "upstream_of",
    "via_field",
]
