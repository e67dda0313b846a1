"""Delivering webhooks in a process that carries traffic: where there is no control process.

The courier, with its HTTP client, is loaded only where there is something to deliver.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tidegate.gateway.gateway import Gateway


@asynccontextmanager
async def webhooks_delivered(gateway: Gateway) -> AsyncIterator[None]:
    """Deliver what waits in the outbox of an open gateway, if it has webhooks."""
    settings = gateway.config.webhooks
    if settings is None:
        yield
        return
    from tidegate.webhooks.courier import delivering

    async with delivering(gateway.store, settings) as courier:
        gateway.telemetry.sources.append(courier.readings)
        yield
