"""The limits of a plan as the API takes and shows them: the words of the configuration.

The schema here says what one field may hold; what two fields must agree on (a burst that its rate
can fill) is the configuration's rule, and told in its words.
"""

from typing import Annotated, Final, Literal

from pydantic import Field, StringConstraints, TypeAdapter, ValidationError

from tidegate.config import Limit, TokenBucket
from tidegate.config.schema import CheckedLimit
from tidegate.control.errors import InvalidRequest
from tidegate.control.fields import Body, Name, Shown

LIMITS_MAX: Final = 16
_RATE_PATTERN: Final = r"^[1-9][0-9]{0,8}/(s|m|h|d|mo|second|minute|hour|day|month)$"
_LIMITS: Final[TypeAdapter[tuple[Limit, ...]]] = TypeAdapter(tuple[CheckedLimit, ...])

RateText = Annotated[
    str, StringConstraints(pattern=_RATE_PATTERN), Field(examples=["5/s", "1000/day"])
]


class BucketBody(Body):
    """A token bucket: `rate` flows in, at most `burst` is held (by default the rate's count)."""

    name: Name
    rate: RateText
    burst: Annotated[int, Field(ge=1, le=10**9)] | None = None
    per: Literal["key", "tenant"] = "key"


class QuotaBody(Body):
    """A quota of a calendar period, in UTC."""

    name: Name
    quota: RateText
    per: Literal["key", "tenant"] = "key"


PlanLimits = Annotated[list[BucketBody | QuotaBody], Field(max_length=LIMITS_MAX)]


class ShownLimit(Shown):
    """`rate` and `burst` of a token bucket, or `quota`."""

    name: str
    per: str
    rate: str | None = None
    burst: int | None = None
    quota: str | None = None


def checked_limits(limits: list[BucketBody | QuotaBody]) -> tuple[Limit, ...]:
    """Return the limits as a plan of the file has them. Raises InvalidRequest."""
    written = [limit.model_dump(exclude_none=True) for limit in limits]
    try:
        return _LIMITS.validate_python(written)
    except ValidationError as error:
        errors = [
            {
                "in": f"body.limits.{detail['loc'][0]}",
                "message": detail["msg"].removeprefix("Value error, "),
            }
            for detail in error.errors(include_url=False, include_input=False)
        ]
        raise InvalidRequest(
            f"{errors[0]['in']}: {errors[0]['message']}", members={"errors": errors}
        ) from None


def shown_limits(limits: tuple[Limit, ...]) -> list[ShownLimit]:
    return [_shown(limit) for limit in limits]


def _shown(limit: Limit) -> ShownLimit:
    if isinstance(limit, TokenBucket):
        return ShownLimit(name=limit.name, per=limit.per, rate=str(limit.rate), burst=limit.burst)
    return ShownLimit(name=limit.name, per=limit.per, quota=str(limit.quota))
