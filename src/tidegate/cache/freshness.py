"""For how long a response is fresh, and how old it is (RFC 9111, section 4.2).

All times are seconds since 1970, given by the caller. Heuristics are not used: where the service
says nothing, the route's `default_ttl` stands. What is invalid or contradictory is stale. No
result is negative.
"""

from collections.abc import Iterable
from typing import Final

from tidegate.cache.dates import http_date
from tidegate.cache.directives import DELTA_SECONDS_MAX, Directives, delta_seconds, of_message
from tidegate.http import Headers

HEURISTIC_STATUSES: Final = frozenset({200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501})
"""RFC 9110, section 15.1, less 206: what `default_ttl` may stand for."""

_UNREADABLE_S: Final = DELTA_SECONDS_MAX
"""An age that cannot be read: no lifetime is longer."""


def lifetime_s(
    status: int, response_headers: Headers, default_ttl_s: float, response_time: float
) -> float:
    """Return the freshness lifetime: s-maxage, else max-age, else Expires, else `default_ttl_s`.

    A response that must be validated each time (`no-cache`) has none. `default_ttl_s` counts from
    the response's arrival: the service's clock has no part in what the service did not say.
    """
    directives = of_message(response_headers)
    if b"no-cache" in directives:
        return 0.0
    said = said_lifetime_s(directives, response_headers, response_time)
    if said is not None:
        return said
    if status not in HEURISTIC_STATUSES or default_ttl_s <= 0:
        return 0.0
    age_s = initial_age_s(response_headers, response_time, response_time)
    return default_ttl_s + age_s if age_s < _UNREADABLE_S else 0.0


def said_lifetime_s(
    directives: Directives, response_headers: Headers, response_time: float
) -> float | None:
    """Return the lifetime that the service itself gave, be it in error, or None."""
    for name in (b"s-maxage", b"max-age"):
        seconds = directives.seconds(name)
        if seconds is not None:
            return float(seconds)
    expires = response_headers.get_all(b"expires")
    if not expires:
        return None
    return _until_s(expires, response_headers.get_all(b"date"), response_time)


def initial_age_s(response_headers: Headers, request_time: float, response_time: float) -> float:
    """Return the age when the response arrived (section 4.2.3: corrected_initial_age).

    Of several ages or dates the older counts; one that cannot be read makes the response stale.
    """
    ages = [
        delta_seconds(member.strip(b" \t"))
        for value in response_headers.get_all(b"age")
        for member in value.split(b",")
    ]
    dates = [http_date(value) for value in response_headers.get_all(b"date")]
    claimed = max((_UNREADABLE_S if age is None else age for age in ages), default=0)
    apparent = max(
        (_UNREADABLE_S if date is None else response_time - date for date in dates), default=0
    )
    delay = max(0.0, response_time - request_time)
    return float(max(0.0, apparent, claimed + delay))


def current_age_s(initial_age_s: float, response_time: float, now: float) -> float:
    """Return the age at `now`. A clock that went back makes nothing younger."""
    return initial_age_s + max(0.0, now - response_time)


def _until_s(expires: Iterable[bytes], dates: Iterable[bytes], response_time: float) -> float:
    """Return the seconds from the response's Date to its Expires (section 5.3)."""
    ends = {http_date(value) for value in expires}
    starts = {http_date(value) for value in dates}
    if len(ends) != 1 or None in ends or None in starts:
        return 0.0
    start = max((start for start in starts if start is not None), default=response_time)
    return max(0.0, max(end for end in ends if end is not None) - start)
