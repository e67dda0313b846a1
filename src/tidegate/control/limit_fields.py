"""Limits as the API takes and shows them: the words of the configuration.

The schema here says what one field may hold; what two fields must agree on (a burst that its rate
can fill) is the configuration's rule, and told in its words.
"""

from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Final, Literal, TypeVar

from pydantic import (
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

from tidegate.config.fields import BUCKET, CONCURRENCY, NO_LIMIT, QUOTA, WINDOW
from tidegate.config.limit_mistakes import ALGORITHMS
from tidegate.config.limits import CheckedEntry, LimitEntry, NoLimit, as_written, kind_of
from tidegate.control.errors import InvalidRequest
from tidegate.control.fields import AS_WHOLE, Body, Name, Shown

T = TypeVar("T")
LIMITS_MAX: Final = 16
REMOVES: Final = "removes"
_RATE_PATTERN: Final = r"^[1-9][0-9]{0,8}/(s|m|h|d|mo|second|minute|hour|day|month)$"
_PER_PATTERN: Final = r"^(key|tenant|address|route|global|header:[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64})$"
_LIMITS: Final[TypeAdapter[tuple[LimitEntry, ...]]] = TypeAdapter(tuple[CheckedEntry, ...])


def _told_in_words(right: str) -> WrapValidator:
    """A pattern is for programs."""

    def checked(value: Any, check: ValidatorFunctionWrapHandler) -> Any:
        try:
            return check(value)
        except ValidationError:
            raise PydanticCustomError("words", "{right}", {"right": right}) from None

    return WrapValidator(checked)


RateText = Annotated[
    str,
    StringConstraints(pattern=_RATE_PATTERN),
    _told_in_words("write a count and a period, such as 5/s, 30/m, 100/h or 1000/day"),
    Field(examples=["5/s", "1000/day"]),
]
Per = Annotated[
    str,
    StringConstraints(pattern=_PER_PATTERN),
    _told_in_words("write key, tenant, address, route, global or header:NAME"),
    Field(examples=["key", "tenant", "header:X-User-Id"]),
]
LeaseText = Annotated[
    str,
    StringConstraints(pattern=r"^[1-9][0-9]{0,3}(s|m|h)$"),
    _told_in_words("write a number and a unit, such as 30s or 2m"),
    Field(examples=["30s"]),
]
Algorithm = Annotated[
    Literal["token-bucket"],  # the other one chooses another kind
    _told_in_words(f"write {ALGORITHMS}"),
]
Share = Annotated[float, Field(gt=0, le=1)]
Count = Annotated[int, Field(ge=1, le=10**9), AS_WHOLE]


class _LimitBody(Body):
    name: Name
    per: Per = "key"
    """Who shares it."""
    on_missing: Literal["refuse", "key", "tenant", "address"] | None = None
    """With `per: header:NAME`, what a request without that header means."""
    unit: Name | None = None
    """What it counts; left out: requests."""
    shadow: bool | None = None
    """It counts and never refuses."""
    warn_at: Share | None = None
    """The spent share from which on it is told as near."""


class BucketBody(_LimitBody):
    """A token bucket: `rate` flows in, at most `burst` is held (by default the rate's count)."""

    rate: RateText
    burst: Count | None = None
    algorithm: Algorithm | None = None
    precision: Literal["exact", "leased"] | None = None


class WindowBody(_LimitBody):
    """A sliding window: at most that many in any stretch of time as long as the rate's period."""

    rate: RateText
    algorithm: Literal["sliding-window"]


class QuotaBody(_LimitBody):
    """A quota of a calendar period, in UTC or another time zone."""

    quota: RateText
    time_zone: Annotated[str, StringConstraints(max_length=64)] | None = None
    """A name of the IANA list, such as Europe/Berlin."""
    billing_day: Annotated[int, Field(ge=1, le=31), AS_WHOLE] | None = None
    """The day on which a month begins."""
    notify: Annotated[list[Share], Field(max_length=8)] | None = None
    """The spent shares at which webhooks are told."""
    precision: Literal["exact", "leased"] | None = None


class ConcurrencyBody(_LimitBody):
    """At most so many requests at a time."""

    concurrency: Annotated[int, Field(ge=1, le=10**6), AS_WHOLE]
    lease: LeaseText | None = None
    """For how long a request of which nobody tells any more is still counted."""


class RemovalBody(Body):
    """Takes away what is said lower of a limit of this name; in the file, its rate is null."""

    name: Name
    removes: Literal[True]


AnyLimitBody = BucketBody | WindowBody | QuotaBody | ConcurrencyBody | RemovalBody


def _kind(limit: Any) -> str | None:
    """Choose by the field that is there, so that a mistake is told in the words of one kind."""
    if not isinstance(limit, dict):
        return None
    if REMOVES in limit:
        return NO_LIMIT
    return kind_of({name: value for name, value in limit.items() if value is not None})


LimitBody = Annotated[
    Annotated[BucketBody, Tag(BUCKET)]
    | Annotated[WindowBody, Tag(WINDOW)]
    | Annotated[QuotaBody, Tag(QUOTA)]
    | Annotated[ConcurrencyBody, Tag(CONCURRENCY)]
    | Annotated[RemovalBody, Tag(NO_LIMIT)],
    Discriminator(
        _kind,
        custom_error_type="limit",
        custom_error_message=(
            "a limit is an object with `rate`, `quota` or `concurrency`, or `removes`"
        ),
    ),
]
Limits = Annotated[list[LimitBody], Field(max_length=LIMITS_MAX)]


class ShownLimit(Shown):
    """What a limit says; fields of other kinds are null."""

    name: str
    per: str
    rate: str | None = None
    burst: int | None = None
    quota: str | None = None
    concurrency: int | None = None
    algorithm: str | None = None
    on_missing: str | None = None
    unit: str = "requests"
    shadow: bool = False
    warn_at: float | None = None
    precision: str | None = None
    time_zone: str | None = None
    billing_day: int | None = None
    notify: list[float] | None = None
    lease: str | None = None
    removes: bool = False
    """It takes away what is said lower of a limit of this name."""


def checked_limits(limits: Sequence[AnyLimitBody], field: str = "limits") -> tuple[LimitEntry, ...]:
    """Return the limits as the file has them. Raises InvalidRequest."""
    return checked(_LIMITS, field, map(_as_in_a_file, limits))


def checked(adapter: TypeAdapter[T], field: str, entries: Iterable[dict[str, Any]]) -> T:
    """Return what the configuration makes of entries. Raises InvalidRequest."""
    try:
        return adapter.validate_python(list(entries))
    except ValidationError as error:
        errors = [
            {
                "in": f"body.{field}.{detail['loc'][0]}",
                "message": detail["msg"].removeprefix("Value error, "),
            }
            for detail in error.errors(include_url=False, include_input=False)
        ]
        raise _invalid(errors) from None


def shown_limits(limits: Iterable[LimitEntry]) -> list[ShownLimit]:
    return [_shown(limit) for limit in limits]


def _as_in_a_file(limit: AnyLimitBody) -> dict[str, Any]:
    if isinstance(limit, RemovalBody):
        return {"name": limit.name, "rate": None}
    return limit.model_dump(exclude_none=True)


def _invalid(errors: list[dict[str, str]]) -> InvalidRequest:
    return InvalidRequest(f"{errors[0]['in']}: {errors[0]['message']}", members={"errors": errors})


def _shown(limit: LimitEntry) -> ShownLimit:
    if isinstance(limit, NoLimit):
        return ShownLimit(name=limit.name, per="", removes=True)
    fields = {"per": limit.per, "unit": limit.unit, **as_written(limit)}
    if (lease := getattr(limit, "lease", None)) is not None:
        fields["lease"] = f"{lease:g}s"
    for name in ("algorithm", "precision", "time_zone", "billing_day"):
        fields.setdefault(name, getattr(limit, name, None))
    return ShownLimit.model_validate(fields)
