"""Fills limits again that are counted in no tenant: of an address, a route, a header's value, and
what all requests spend from together.

A route may be one that is named by an application's own code only: nobody knows all of those, so
a name is refused only where the configuration lacks it and nothing is counted under it either.
"""

from typing import Final

from tidegate.config import Config
from tidegate.gateway.limits_explained import UnknownRoute
from tidegate.policies.client_address import counted_as
from tidegate.policies.request_values import kept_value
from tidegate.policies.scopes import ADDRESS, shared_state
from tidegate.rate_limiter import Limiter

HEADER_NAME_PATTERN: Final = r"^[A-Za-z0-9!#$%&'+.^_`|~-]{1,64}$"
"""As limits may name one, less `*`, which would mean more than one in a search of the store."""
NAMED_MAX: Final = 10
ROUTE: Final = "route"


async def reset_shared(limiter: Limiter, config: Config, per: str, value: str = "") -> int:
    """Forget what is counted `per` address, route, global or header:NAME over all tenants, and
    return how many states that were. `value` is the address, the route or the header's value.

    Raises ValueError for what is no address, UnknownRoute, StoreUnavailable.
    """
    states = await limiter.reset_outside(shared_state(per.lower(), _counted(per, value)))
    if per == ROUTE and not states:
        _require(value, config)
    return states


def _counted(per: str, value: str) -> bytes:
    if per == ADDRESS:
        return counted_as(value)
    return value.encode() if per == ROUTE else kept_value(value.encode())


def _require(route: str, config: Config) -> None:
    known = [one.name for service in config.services for one in service.routes]
    if route not in known:
        named = ", ".join(known[:NAMED_MAX])
        raise UnknownRoute(f"There is no route {route}: the routes are {named}")
