"""Errors as `application/problem+json` (RFC 9457): the one place where an error becomes a body."""

from functools import lru_cache
from typing import Final

from pydantic_core import to_json

from tidegate.http.errors import GatewayError
from tidegate.http.headers import Headers
from tidegate.http.message import Response

TYPE_BASE: Final = "urn:tidegate:problem:"
"""Prefix of the `type` of a problem that no registry defines."""
_CONTENT_TYPE: Final = (b"content-type", b"application/problem+json")
_NO_STORE: Final = (b"cache-control", b"no-store")


def problem_response(error: GatewayError) -> Response:
    """Return the answer for `error`: its status, its header fields, and the problem as the body.

    Every body carries `source: gateway`, so that a client can tell the gateway's own errors from
    those of the service behind it.
    """
    kind = error.type_uri or TYPE_BASE + error.slug
    members = error.members
    made = _remembered_body if all(map(_is_text, members.values())) else _body
    body = made(kind, error.title, error.status, error.detail, tuple(members.items()))
    headers = Headers(error.headers)
    headers.append(_CONTENT_TYPE)
    headers.append(_NO_STORE)
    return Response(error.status, headers, body)


def _body(
    kind: str, title: str, status: int, detail: str, members: tuple[tuple[str, object], ...]
) -> bytes:
    problem: dict[str, object] = {
        "type": kind,
        "title": title,
        "status": status,
        "source": "gateway",
    }
    if detail:
        problem["detail"] = detail
    problem.update(members)
    return to_json(problem)


def _is_text(value: object) -> bool:
    """Whether what equals it is written as it is: 1, 1.0 and True are equal, for example."""
    return isinstance(value, str) or (
        isinstance(value, tuple) and all(isinstance(part, str) for part in value)
    )


_remembered_body: Final = lru_cache(maxsize=256)(_body)
"""Most refusals say one of a few things."""
