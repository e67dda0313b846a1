"""What the gateway answers by itself, for no service: whether it is alive, and whether ready; and
how such an answer looks (caller_usage has one more)."""

import json
from typing import Any, Final

from tidegate.config import Listen
from tidegate.http import Headers, Request, Response
from tidegate.http.errors import MethodNotAllowed, ServiceUnavailable

_JSON: Final = (b"content-type", b"application/json")
_NO_STORE: Final = (b"cache-control", b"no-store")


def paths(listen: Listen) -> frozenset[bytes]:
    """Return the paths that the gateway answers itself."""
    own = (listen.health_path, listen.ready_path, listen.usage_path)
    return frozenset(path.encode() for path in own)


def state(request: Request, listen: Listen, *, is_ready: bool, is_up: bool) -> Response:
    """Answer on the health path that it is alive, on the other whether it is ready. `is_up` is the
    store's state. Raises MethodNotAllowed, ServiceUnavailable if not ready.
    """
    check_method(request)
    if request.path == listen.health_path.encode():
        return json_answer(request, {"status": "alive"})
    if not is_ready:
        raise ServiceUnavailable(
            "The gateway is not ready to serve", headers=((b"retry-after", b"1"),)
        )
    return json_answer(request, {"status": "ready", "store": "up" if is_up else "down"})


def check_method(request: Request) -> None:
    if request.method not in ("GET", "HEAD"):
        raise MethodNotAllowed("This path takes GET, HEAD", headers=((b"allow", b"GET, HEAD"),))


def json_answer(request: Request, members: dict[str, Any]) -> Response:
    """Return an answer that is true for this moment alone."""
    body = json.dumps(members).encode()
    headers = Headers((_JSON, _NO_STORE))
    if request.method == "HEAD":
        return Response(200, headers, b"", content_length=len(body))
    return Response(200, headers, body)
