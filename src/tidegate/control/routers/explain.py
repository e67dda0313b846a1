"""What would become of a request, and why: nothing is sent on and nothing charged."""

from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter
from pydantic import Field, StringConstraints

from tidegate.control.fields import Body, Secret, Shown
from tidegate.control.parts import PartsNeeded
from tidegate.control.routers.limits import ShownRule
from tidegate.gateway import explain

router = APIRouter(prefix="/v1", tags=["explain"])

Method = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,32}$")]
# Of the others, whatever could not stand in a request is explained as well: as its refusal.
Target = Annotated[str, StringConstraints(min_length=1, max_length=4096)]
Host = Annotated[str, StringConstraints(min_length=1, max_length=255)]
Client = Annotated[str, StringConstraints(pattern=r"^[0-9A-Fa-f:.]{2,45}$")]
FieldName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}$")]
FieldValue = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f\x7f]{1,1024}$")]
HEADERS_MAX: Final = 32


class RequestBody(Body):
    method: Method = "GET"
    target: Target
    """A path with its query, or a whole URL."""
    host: Host = "localhost"
    """As clients send it, with the port where they do: it selects what the cache holds."""
    key: Secret | None = None
    """The key that the request would present. It is in no log and no answer."""
    client: Client | None = None
    """The address that it would come from, by which limits may count; left out: 127.0.0.1."""
    headers: Annotated[dict[FieldName, FieldValue], Field({}, max_length=HEADERS_MAX)]
    """What else it would have: limits may count by it."""


class ShownCaller(Shown):
    tenant: str
    plan: str
    key_id: str
    key_name: str


class ShownExplainedLimit(Shown):
    name: str
    capacity: int
    remaining: int
    reset_s: int
    refuses: bool
    """What the route costs is more than what is left."""
    shadow: bool
    """It is in shadow mode: what refuses here would, and does not."""
    near: bool
    """It is spent up to its `warn_at`."""


class ShownExplanation(Shown):
    method: str
    host: str
    path: str
    verdict: Literal["answered", "forwarded", "refused"]
    """Answered: by the gateway, out of the cache or as its own."""
    status: int | None
    """Of the gateway's own refusal; null where there is none."""
    reason: str | None
    service: str | None
    route: str | None
    hosts: list[str]
    """Where no route takes this host: those that it could have been, some of many."""
    chain: list[str]
    caller: ShownCaller | None
    cost: int | None
    """In requests."""
    costs: dict[str, int]
    """What it costs in other units until the answer tells, by unit."""
    limits: list[ShownExplainedLimit]
    rules: list[ShownRule]
    """Which limits apply here and why, and in place of what."""
    cache: str
    targets: list[str]
    timings_ms: dict[str, float]
    recent: list[dict[str, Any]]
    """The caller's latest requests on this route, as far as they were sampled."""


@router.post("/explain")
async def explain_request(body: RequestBody, parts: PartsNeeded) -> ShownExplanation:
    """Explain what the gateway would do with a request."""
    explanation = await explain(
        parts.gateway,
        body.method,
        body.target,
        host=body.host,
        key=body.key,
        client=body.client,
        headers=body.headers,
    )
    return ShownExplanation.model_validate(explanation.as_dict())
