"""Which responses may be stored (RFC 9111, section 3): a reason against, or None.

The unsafe direction is closed: what the RFC merely allows is not done where a mistake of the
service would show one client what was meant for another. Entries are kept apart by tenant by
whoever stores them, unless the response is explicitly public.
"""

from typing import Final

from tidegate.cache.directives import Directives, of_message
from tidegate.cache.freshness import lifetime_s, said_lifetime_s
from tidegate.cache.vary import vary_names
from tidegate.http import Headers
from tidegate.http.headers import HOP_BY_HOP, connection_options

UNDERSTOOD_STATUSES: Final = frozenset(
    # RFC 9110, section 15, and 451 (RFC 7725). Not those that speak of one request, connection or
    # caller (1xx, 206, 304, 401, 407, 408, 411 to 413, 415 to 417, 421, 425, 426), nor those that
    # must not be stored (428, 429, 431 and 511: RFC 6585).
    {200, 201, 202, 203, 204, 205, 300, 301, 302, 303, 307, 308}
    | {400, 402, 403, 404, 405, 406, 409, 410, 414, 422, 451, 500, 501, 502, 503, 504, 505}
)
"""Stricter than section 3, which lets any final status be stored that says how long it is fresh."""
_NOT_STORED: Final = HOP_BY_HOP | {b"proxy-authentication-info"}
PERSONAL_FIELDS: Final = frozenset({b"authorization", b"cookie"})
"""Credentials: the response to a request with one may be for one person, and not say so."""


def why_not_stored(
    method: str,
    request_headers: Headers,
    status: int,
    response_headers: Headers,
    *,
    default_ttl_s: float,
    response_time: float,
) -> str | None:
    """Return why the response must not be stored, or None if it may.

    `request_headers` are those that the service received: an `Authorization` among them falls
    under section 3.5, the gateway's own keys are not there any more. Ask again with the updated
    fields when a 304 has freshened a stored response.
    """
    if method != "GET":
        return "not a GET"
    if status not in UNDERSTOOD_STATUSES:
        return f"status {status}"
    fields = dict(response_headers)
    if b"set-cookie" in fields or b"set-cookie2" in fields:
        return "Set-Cookie"
    if b"content-range" in fields:
        return "Content-Range"
    directives = of_message(response_headers)
    for name in (b"no-store", b"private"):
        if name in directives:
            return name.decode()
    request_names = {name for name, _ in request_headers}
    if b"range" in request_names:
        return "Range in the request"
    if b"no-store" in of_message(request_headers):
        return "no-store in the request"
    if vary_names(response_headers) is None:
        return "Vary"
    if not PERSONAL_FIELDS.isdisjoint(request_names) and not is_said_to_be_stored(response_headers):
        return "a request with credentials, and the answer does not speak of storing"
    if b"authorization" in request_names and not _is_allowed_to_others(directives):
        return "Authorization"
    if lifetime_s(status, response_headers, default_ttl_s, response_time) > 0:
        return None
    return None if b"etag" in fields or b"last-modified" in fields else "nothing says it is fresh"


def is_explicitly_public(response_headers: Headers) -> bool:
    """Whether the stored response may serve other tenants too."""
    directives = of_message(response_headers)
    return directives.permits(b"public") and b"private" not in directives


def is_said_to_be_stored(response_headers: Headers) -> bool:
    """Whether the service itself said that, or how long, the response may be stored.

    If not, `default_ttl` is all there is, and it does not stand for requests with credentials.
    """
    directives = of_message(response_headers)
    said = said_lifetime_s(directives, response_headers, 0.0)
    return said is not None or directives.permits(b"public")


def stored_fields(response_headers: Headers) -> Headers:
    """Return the fields to store (section 3.1): those of the connection are left out."""
    dropped = _NOT_STORED | connection_options(response_headers)
    return Headers([field for field in response_headers if field[0] not in dropped])


def _is_allowed_to_others(directives: Directives) -> bool:
    """Section 3.5: what makes the response to a request with Authorization fit for others."""
    return (
        directives.permits(b"public")
        or directives.permits(b"must-revalidate")
        or bool(directives.seconds(b"s-maxage"))
    )
