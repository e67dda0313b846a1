"""Errors as `application/problem+json` (RFC 9457): the one place where an error becomes a body."""

import json
from typing import Final

from tidegate.http.errors import GatewayError
from tidegate.http.headers import Headers
from tidegate.http.message import Response

TYPE_BASE: Final = "urn:tidegate:problem:"
"""Prefix of the `type` of a problem that no registry defines."""

_in_json: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def problem_response(error: GatewayError) -> Response:
    """Return the answer for `error`: its status, its header fields, and the problem as the body.

    Every body carries `source: gateway`, so that a client can tell the gateway's own errors from
    those of the service behind it. Members of the error may replace `type`, nothing else.
    """
    problem: dict[str, object] = {
        "type": TYPE_BASE + error.slug,
        "title": error.title,
        "status": error.status,
        "source": "gateway",
    }
    if error.detail:
        problem["detail"] = error.detail
    problem.update(error.members)
    body = _in_json(problem).encode()
    headers = Headers(error.headers)
    headers.append((b"content-type", b"application/problem+json"))
    headers.append((b"cache-control", b"no-store"))
    return Response(error.status, headers, body)
