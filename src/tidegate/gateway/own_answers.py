"""What the gateway answers by itself, for no service: whether it is alive, and whether ready."""

import json
from typing import Final

from tidegate.http import Headers, Request, Response
from tidegate.http.errors import MethodNotAllowed, ServiceUnavailable

_JSON: Final = (b"content-type", b"application/json")
_NO_STORE: Final = (b"cache-control", b"no-store")


def health(request: Request) -> Response:
    """Raises MethodNotAllowed."""
    _check_method(request)
    return _answer(request, {"status": "alive"})


def readiness(request: Request, *, is_ready: bool, is_up: bool) -> Response:
    """`is_up` is the store's state. Raises MethodNotAllowed, ServiceUnavailable if not ready."""
    _check_method(request)
    if not is_ready:
        raise ServiceUnavailable(
            "The gateway is not ready to serve", headers=((b"retry-after", b"1"),)
        )
    return _answer(request, {"status": "ready", "store": "up" if is_up else "down"})


def _check_method(request: Request) -> None:
    if request.method not in ("GET", "HEAD"):
        raise MethodNotAllowed("This path takes GET, HEAD", headers=((b"allow", b"GET, HEAD"),))


def _answer(request: Request, members: dict[str, str]) -> Response:
    body = json.dumps(members).encode()
    headers = Headers((_JSON, _NO_STORE))
    if request.method == "HEAD":
        return Response(200, headers, b"", content_length=len(body))
    return Response(200, headers, body)
