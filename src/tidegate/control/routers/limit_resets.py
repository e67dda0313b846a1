"""Fill limits that are counted in no tenant (gateway/limit_resets.py says how)."""

from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter
from pydantic import (
    AfterValidator,
    Discriminator,
    Field,
    StringConstraints,
    Tag,
    WithJsonSchema,
)

from tidegate.control.fields import Body, Name, Secret, Shown
from tidegate.control.parts import PartsNeeded
from tidegate.gateway.limit_resets import HEADER_NAME_PATTERN, reset_shared
from tidegate.policies.client_address import counted_as

router = APIRouter(prefix="/v1", tags=["limits"])

SCOPES: Final = ("address", "route", "global", "header")


def _readable(address: str) -> str:
    counted_as(address)
    return address


Address = Annotated[
    str,
    AfterValidator(_readable),
    WithJsonSchema(
        {"anyOf": [{"type": "string", "format": "ipv4"}, {"type": "string", "format": "ipv6"}]}
    ),
]
HeaderName = Annotated[str, StringConstraints(pattern=HEADER_NAME_PATTERN)]


class ResetAddressBody(Body):
    address: Address
    """IPv6 means its whole /64."""


class ResetRouteBody(Body):
    route: Name
    """What all requests on it spend from together."""


class ResetGlobalBody(Body):
    everybody: Annotated[Literal[True], Field(alias="global")]
    """What all requests spend from together, or all on one plan."""


class ResetHeaderBody(Body):
    header: HeaderName
    value: Secret
    """As requests without a key send it. It is in no log and no answer."""


class ResetShared(Shown):
    reset: Literal["address", "route", "global", "header"]
    states: int
    """How many states were forgotten: 0 where nothing had been spent."""


def _scope(body: Any) -> str | None:
    """Return the one scope that is named; None where it is none or several."""
    named = [scope for scope in SCOPES if isinstance(body, dict) and scope in body]
    return named[0] if len(named) == 1 else None


ResetBody = Annotated[
    Annotated[ResetAddressBody, Tag("address")]
    | Annotated[ResetRouteBody, Tag("route")]
    | Annotated[ResetGlobalBody, Tag("global")]
    | Annotated[ResetHeaderBody, Tag("header")],
    Discriminator(
        _scope,
        custom_error_type="scope",
        custom_error_message=f"write exactly one of {', '.join(SCOPES)}",
    ),
]


@router.post(
    "/limits/reset",
    responses={
        404: {"description": "There is no such route"},
        409: {"description": "What counts by this header is counted in each tenant"},
    },
)
async def reset_shared_limits(body: ResetBody, parts: PartsNeeded) -> ResetShared:
    """Fill what an address, a route, a header's value or everybody has spent over all tenants.
    What is counted within a tenant stays."""

    async def reset(per: str, value: str = "") -> int:
        return await reset_shared(parts.gateway.parts.limiter, parts.gateway.config, per, value)

    if isinstance(body, ResetAddressBody):
        return ResetShared(reset="address", states=await reset("address", body.address))
    if isinstance(body, ResetRouteBody):
        return ResetShared(reset="route", states=await reset("route", body.route))
    if isinstance(body, ResetHeaderBody):
        states = await reset(f"header:{body.header}", body.value)
        return ResetShared(reset="header", states=states)
    return ResetShared(reset="global", states=await reset("global"))
