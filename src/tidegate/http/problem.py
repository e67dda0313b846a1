"""Errors as `application/problem+json` (RFC 9457): the one place where an error becomes a body."""

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
    problem: dict[str, object] = {
        "type": error.type_uri or TYPE_BASE + error.slug,
        "title": error.title,
        "status": error.status,
        "source": "gateway",
    }
    if error.detail:
        problem["detail"] = error.detail
    if error.members:
        problem.update(error.members)
    headers = Headers(error.headers)
    headers.append(_CONTENT_TYPE)
    headers.append(_NO_STORE)
    return Response(error.status, headers, to_json(problem))
