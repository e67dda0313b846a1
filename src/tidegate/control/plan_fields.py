"""A plan's limits and routes as the API takes and shows them: the words of the configuration.

The schema here says what one field may hold; what two fields must agree on (a burst that its rate
can fill) is the configuration's rule, and told in its words.
"""

from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal, TypeVar

from pydantic import (
    BaseModel,
    Discriminator,
    Field,
    StringConstraints,
    Tag,
    TypeAdapter,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)
from pydantic_core import PydanticCustomError

from tidegate.config import Allowed, Limit, TokenBucket
from tidegate.config.fields import BUCKET, QUOTA
from tidegate.config.limits import CheckedLimit
from tidegate.control.errors import InvalidRequest
from tidegate.control.fields import AS_WHOLE, Body, Name, Shown

T = TypeVar("T")
LIMITS_MAX: Final = 16
ALLOWED_MAX: Final = 256
METHODS_MAX: Final = 32
_RATE_PATTERN: Final = r"^[1-9][0-9]{0,8}/(s|m|h|d|mo|second|minute|hour|day|month)$"
_ALLOW: Final[TypeAdapter[tuple[Allowed, ...]]] = TypeAdapter(tuple[Allowed, ...])
_LIMITS: Final[TypeAdapter[tuple[Limit, ...]]] = TypeAdapter(tuple[CheckedLimit, ...])


def _told_in_words(value: Any, checked: ValidatorFunctionWrapHandler) -> Any:
    """A pattern is for programs."""
    try:
        return checked(value)
    except ValidationError:
        right = "write a count and a period, such as 5/s, 30/m, 100/h or 1000/day"
        raise PydanticCustomError("rate", right) from None


RateText = Annotated[
    str,
    StringConstraints(pattern=_RATE_PATTERN),
    WrapValidator(_told_in_words),
    Field(examples=["5/s", "1000/day"]),
]

MethodText = Annotated[str, StringConstraints(pattern=r"^[A-Z0-9!#$%&'*+.^_`|~-]{1,32}$")]


class BucketBody(Body):
    """A token bucket: `rate` flows in, at most `burst` is held (by default the rate's count)."""

    name: Name
    rate: RateText
    burst: Annotated[int, Field(ge=1, le=10**9), AS_WHOLE] | None = None
    per: Literal["key", "tenant"] = "key"


class QuotaBody(Body):
    """A quota of a calendar period, in UTC."""

    name: Name
    quota: RateText
    per: Literal["key", "tenant"] = "key"


def _kind(limit: Any) -> str | None:
    """Choose by the field that is there, so that a mistake is told in the words of one kind."""
    if not isinstance(limit, dict):
        return None
    return BUCKET if "rate" in limit else QUOTA if "quota" in limit else None


LimitBody = Annotated[
    Annotated[BucketBody, Tag(BUCKET)] | Annotated[QuotaBody, Tag(QUOTA)],
    Discriminator(
        _kind,
        custom_error_type="limit",
        custom_error_message="a limit is an object with `rate` (a token bucket) or `quota`",
    ),
]
PlanLimits = Annotated[list[LimitBody], Field(max_length=LIMITS_MAX)]


class AllowedBody(Body):
    """A route that the plan has, with the methods named (GET brings HEAD) or all of them."""

    route: Name
    methods: Annotated[list[MethodText], Field(min_length=1, max_length=METHODS_MAX)] | None = None


PlanRoutes = Annotated[list[AllowedBody], Field(min_length=1, max_length=ALLOWED_MAX)]


class ShownLimit(Shown):
    """`rate` and `burst` of a token bucket, or `quota`."""

    name: str
    per: str
    rate: str | None = None
    burst: int | None = None
    quota: str | None = None


class ShownAllowed(Shown):
    route: str
    methods: list[str]
    """Empty: every method."""


def checked_limits(limits: list[BucketBody | QuotaBody]) -> tuple[Limit, ...]:
    """Return the limits as a plan of the file has them. Raises InvalidRequest."""
    return _checked(_LIMITS, "limits", limits)


def checked_routes(allow: list[AllowedBody] | None) -> tuple[Allowed, ...] | None:
    """Return `allow` as a plan of the file has it. Raises InvalidRequest."""
    return None if allow is None else _checked(_ALLOW, "allow", allow)


def _checked(adapter: TypeAdapter[T], field: str, entries: Sequence[BaseModel]) -> T:
    try:
        return adapter.validate_python([entry.model_dump(exclude_none=True) for entry in entries])
    except ValidationError as error:
        errors = [
            {
                "in": f"body.{field}.{detail['loc'][0]}",
                "message": detail["msg"].removeprefix("Value error, "),
            }
            for detail in error.errors(include_url=False, include_input=False)
        ]
        raise InvalidRequest(
            f"{errors[0]['in']}: {errors[0]['message']}", members={"errors": errors}
        ) from None


def shown_limits(limits: tuple[Limit, ...]) -> list[ShownLimit]:
    return [_shown(limit) for limit in limits]


def shown_routes(allow: tuple[Allowed, ...] | None) -> list[ShownAllowed] | None:
    if allow is None:
        return None
    return [ShownAllowed(route=entry.route, methods=list(entry.methods)) for entry in allow]


def _shown(limit: Limit) -> ShownLimit:
    if isinstance(limit, TokenBucket):
        return ShownLimit(name=limit.name, per=limit.per, rate=str(limit.rate), burst=limit.burst)
    return ShownLimit(name=limit.name, per=limit.per, quota=str(limit.quota))
