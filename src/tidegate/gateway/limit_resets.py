"""Fills limits again that are counted in no tenant: of an address, a route, a header's value, and
what all requests spend from together.

A route may be one that is named by an application's own code only: nobody knows all of those, so
a name is refused only where the configuration lacks it and nothing is counted under it either. So
is a header by which nothing counts outside of tenants.
"""

from typing import Final

from tidegate.config import Config
from tidegate.config.precedence import NOBODY, applied
from tidegate.gateway.limits_explained import UnknownRoute
from tidegate.http import GatewayError
from tidegate.policies.client_address import counted_as
from tidegate.policies.request_values import kept_value
from tidegate.policies.scopes import ADDRESS, shared_state
from tidegate.rate_limiter import Limiter

HEADER_NAME_PATTERN: Final = r"^[A-Za-z0-9!#$%&'+.^_`|~-]{1,64}$"
"""As limits may name one, less `*`, which would mean more than one in a search of the store."""
NAMED_MAX: Final = 10
ROUTE: Final = "route"
HEADER: Final = "header:"


class CountedInTenants(GatewayError):
    status = 409
    slug = "counted-in-tenants"
    title = "This is counted in each tenant"


async def reset_shared(limiter: Limiter, config: Config, per: str, value: str = "") -> int:
    """Forget what is counted `per` address, route, global or header:NAME over all tenants, and
    return how many states that were. `value` is the address, the route or the header's value.

    Raises ValueError for what is no address, UnknownRoute, CountedInTenants, StoreUnavailable.
    """
    states = await limiter.reset_outside(shared_state(per.lower(), _counted(per, value)))
    if per == ROUTE and not states:
        _require(value, config)
    if per.startswith(HEADER) and not states:
        _require_without_keys(per, config)
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


def _require_without_keys(per: str, config: Config) -> None:
    """Where a key is asked for, each tenant has counts of its own for a header's values."""
    name = per.removeprefix(HEADER)
    open_routes = [one for service in config.services for one in service.routes if not one.auth]
    counted = {
        one.limit.header for route in open_routes for one in applied(config.limits, route, NOBODY)
    }
    if name.lower() not in counted:
        raise CountedInTenants(
            f"No limit by {name} applies on a route without keys: what counts by it is counted in "
            "each tenant, so reset the tenant (--tenant, POST /v1/tenants/NAME/limits/reset)"
        )
