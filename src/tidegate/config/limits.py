"""Limits as the configuration says them: four kinds, and the fields that all of them share.

A kind is chosen by the field that is there (`rate`, `quota`, `concurrency`), so that a mistake is
told in the words of one kind. What two objects must agree on is checks.py's; which of several
limits of a name applies is precedence.py's.
"""

from typing import Annotated, Any, Final, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from tidegate.config import fields as f
from tidegate.config.model import Model
from tidegate.config.units import Rate
from tidegate.config.values import Wrong

REQUESTS: Final = "requests"
"""The unit that a route's `cost` counts in; all others are named by `costs`."""
HEADER: Final = "header:"
NEED_CALLER: Final = frozenset(("key", "tenant"))
"""What nothing can be counted by where nobody knows who calls."""
KIND_FIELDS: Final = ("rate", "quota", "concurrency")
_ZONED: Final = frozenset(("hour", "day", "month"))


class _Limit(Model):
    """What every limit may say."""

    name: f.Name
    per: f.Scope = "key"
    """Who shares it: all requests of a key, of a tenant, from a client's address (IPv6: a /64), on
    a route, of everybody (global), or with one value of a header (header:NAME)."""
    on_missing: Literal["refuse", "key", "tenant", "address"] | None = None
    """With `per: header:NAME`, what a request without that header means: 400 (refuse, the
    default), or that it counts by key, tenant or address."""
    unit: f.Name = REQUESTS
    """What it counts: requests, or a unit that routes name under `costs`."""
    shadow: bool = False
    """It counts and is told of in metrics and records, and never refuses."""
    warn_at: f.Share | None = None
    """The spent share from which on it is told as near, such as 0.8."""

    @property
    def header(self) -> str | None:
        """The name of the header by whose values it counts, in lower case."""
        return self.per.removeprefix(HEADER) if self.per.startswith(HEADER) else None

    @model_validator(mode="after")
    def _falls_back_from_a_header(self) -> "_Limit":
        if self.on_missing is not None and self.header is None:
            right = "on_missing tells what a missing header means: it needs per: header:NAME"
            raise Wrong(right, fields=("on_missing",))
        return self


class TokenBucket(_Limit):
    """`rate` tokens flow in per period, at most `burst` are held (by default, the rate's count)."""

    rate: f.RateValue
    burst: int = Field(default_factory=lambda own: own["rate"].count, ge=1, le=10**9)
    algorithm: Literal["token-bucket"] = "token-bucket"
    precision: Literal["exact", "leased"] = "exact"
    """`leased`: where all limits of a request say so, workers borrow tokens in batches, so that a
    hot key costs few trips to the store; up to a tenth of the burst more may pass."""

    @model_validator(mode="after")
    def _is_countable(self) -> "TokenBucket":
        # Beyond these the limiter's whole numbers could not be exact, and the intent is a typo.
        _check_rate(self.rate)
        if self.burst * self.rate.period_s > f.FILL_S_MAX * self.rate.count:
            right = "a burst fills within ten years at its rate; lower it"
            raise Wrong(right, fields=("burst", "rate"))
        _check_lent(self)
        return self


class SlidingWindow(_Limit):
    """At most `rate.count` in any stretch of time as long as its period, wherever it begins."""

    rate: f.RateValue
    algorithm: Literal["sliding-window"]

    @model_validator(mode="after")
    def _is_countable(self) -> "SlidingWindow":
        _check_rate(self.rate)
        if self.rate.period == "month":
            right = "a sliding window is as long as a second, minute, hour or day; months differ"
            raise Wrong(right, fields=("rate",))
        return self


class Quota(_Limit):
    """At most `quota.count` per calendar period (second to month)."""

    quota: f.RateValue
    time_zone: f.TimeZone = "UTC"
    """Whose hours, days and months, such as Europe/Berlin."""
    billing_day: int = Field(1, ge=1, le=31)
    """The day on which a month begins; in a shorter month, its last day."""
    notify: tuple[f.Share, ...] = ()
    """The spent shares at which webhooks are told, such as [0.8, 1.0]."""
    precision: Literal["exact", "leased"] = "exact"
    """`leased`: as of a token bucket; up to a tenth of the quota more may pass."""

    @model_validator(mode="after")
    def _fits_its_period(self) -> "Quota":
        period = self.quota.period
        if self.billing_day != 1 and period != "month":
            right = "a billing day begins a month; write 1000/month, or leave billing_day out"
            raise Wrong(right, fields=("billing_day",))
        if self.time_zone != "UTC" and period not in _ZONED:
            right = f"a {period} is the same in every time zone; leave time_zone out"
            raise Wrong(right, fields=("time_zone",))
        if self.precision == "leased" and (self.billing_day != 1 or self.time_zone != "UTC"):
            right = "leased counts in months of UTC; write exact, or leave the other out"
            raise Wrong(right, fields=("precision",))
        _check_lent(self)
        return self


class Concurrency(_Limit):
    """At most `concurrency` requests at a time, each counted as one whatever it costs."""

    concurrency: int = Field(ge=1, le=10**6)
    lease: f.Lease = 30.0
    """For how long a request of which nobody tells any more (its worker died) is still counted."""

    @model_validator(mode="after")
    def _counts_requests(self) -> "Concurrency":
        if self.unit != REQUESTS:
            right = "a concurrency counts requests in flight; leave unit out"
            raise Wrong(right, fields=("unit",))
        return self


Limit = TokenBucket | SlidingWindow | Quota | Concurrency


class NoLimit(Model):
    """No limit of this name, though a lower level says one: its rate, quota or concurrency is
    null."""

    name: f.Name
    rate: None = None
    quota: None = None
    concurrency: None = None

    @property
    def field(self) -> str:
        """The one that is null."""
        return next((name for name in KIND_FIELDS if name in self.model_fields_set), "rate")


LimitEntry = Limit | NoLimit

KINDS: Final[dict[str, type[Model]]] = {
    f.BUCKET: TokenBucket,
    f.WINDOW: SlidingWindow,
    f.QUOTA: Quota,
    f.CONCURRENCY: Concurrency,
    f.NO_LIMIT: NoLimit,
}


def as_written(limit: LimitEntry) -> dict[str, Any]:
    """Return what a file would say: what is not the default, rates as people write them."""
    if isinstance(limit, NoLimit):
        return {"name": limit.name, limit.field: None}
    written: dict[str, Any] = {}
    for name, field in type(limit).model_fields.items():
        value = getattr(limit, name)
        if value != field.default:
            written[name] = str(value) if isinstance(value, Rate) else value
    return written


def kind_of(limit: Any) -> str | None:
    """Return the tag of a limit, checked or as it was written."""
    if isinstance(limit, Model):
        return next((tag for tag, kind in KINDS.items() if isinstance(limit, kind)), None)
    if not isinstance(limit, dict):
        return None
    if any(field in limit and limit[field] is None for field in KIND_FIELDS):
        return f.NO_LIMIT
    if "rate" in limit:
        return f.WINDOW if limit.get("algorithm") == "sliding-window" else f.BUCKET
    if "quota" in limit:
        return f.QUOTA
    return f.CONCURRENCY if "concurrency" in limit else None


CheckedLimit = Annotated[
    Annotated[TokenBucket, Tag(f.BUCKET)]
    | Annotated[SlidingWindow, Tag(f.WINDOW)]
    | Annotated[Quota, Tag(f.QUOTA)]
    | Annotated[Concurrency, Tag(f.CONCURRENCY)],
    Discriminator(kind_of),
]
CheckedEntry = Annotated[
    Annotated[TokenBucket, Tag(f.BUCKET)]
    | Annotated[SlidingWindow, Tag(f.WINDOW)]
    | Annotated[Quota, Tag(f.QUOTA)]
    | Annotated[Concurrency, Tag(f.CONCURRENCY)]
    | Annotated[NoLimit, Tag(f.NO_LIMIT)],
    Discriminator(kind_of),
]
"""An entry where a lower level may have a limit to take away."""


def _check_lent(limit: TokenBucket | Quota) -> None:
    if limit.precision == "leased" and (limit.shadow or limit.unit != REQUESTS):
        right = "leased counts requests and refuses; write exact, or leave shadow and unit out"
        raise Wrong(right, fields=("precision",))


def _check_rate(rate: Rate) -> None:
    if rate.count > f.RATE_PER_S_MAX * rate.period_s:
        raise Wrong(f"a rate is at most {f.RATE_PER_S_MAX}/s", fields=("rate",))
