"""The way to the services: pools, an HTTP/1.1 client of our own, balancing, safe retries."""

from tidegate.upstream.client import Upstream
from tidegate.upstream.header_fields import (
    CLAIMS,
    FORWARDING_FIELDS,
    add_forwarding_fields,
    add_via,
    via_field,
)
from tidegate.upstream.pool import Counts
from tidegate.upstream.request_head import ready_fields

__all__ = [
    "CLAIMS",
    "FORWARDING_FIELDS",
    "Counts",
    "Upstream",
    "add_forwarding_fields",
    "add_via",
    "ready_fields",
    "via_field",
]
