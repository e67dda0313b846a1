"""What stands before every admin request: whose host it names, whether it has the token, how much
it sends.

One layer outside of routing, so that a new path is closed until it is named as open, and so that a
stranger learns nothing from a 404 or a 422. Host is checked against DNS rebinding: a page of
another site that got its own name to point here still says that name; an address cannot be made
to. There is no CORS. Nothing that is answered may be kept, since much of it is secret.
"""

import asyncio
import hmac
import ipaddress
from collections.abc import Iterable
from typing import Final

from pydantic import SecretStr
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tidegate.control.errors import AdminTokenNeeded, MisdirectedRequest
from tidegate.control.problems import answer
from tidegate.http import GatewayError
from tidegate.http.errors import BadRequest, ContentTooLarge, RequestTimeout
from tidegate.http.target import checked_host

BODY_BYTES_MAX: Final = 64 * 1024
"""A plan of 100 limits is a tenth of that."""
BODY_WAIT_S: Final = 10.0
LOCAL_NAMES: Final = frozenset(("localhost",))
CHALLENGE: Final = (b"www-authenticate", b'Bearer realm="tidegate admin"')
SECURITY_FIELDS: Final = (
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
)


class Guard:
    """`open_paths` need no token; `hosts` are names beside localhost and every address."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        token: SecretStr,
        open_paths: Iterable[str],
        hosts: Iterable[str] = (),
    ) -> None:
        self._app = app
        self._token = token.get_secret_value().encode()
        self._open_paths = frozenset(open_paths)
        self._hosts = LOCAL_NAMES | {host.lower() for host in hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        guarded = _with_security_fields(send)
        try:
            self._check_host(scope)
            if scope["path"] not in self._open_paths:
                self._check_token(scope)
            body = await _whole_body(scope, receive)
        except GatewayError as error:
            await answer(error)(scope, receive, guarded)
            return
        if body is not None:
            await self._app(scope, _replayed(body, receive), guarded)

    def _check_host(self, scope: Scope) -> None:
        host = checked_host(_fields(scope, b"host"), scope.get("http_version", "1.1")).decode()
        name = host.rpartition(":")[0] if host.rpartition(":")[2].isdecimal() else host
        if name not in self._hosts and not _is_address(name):
            raise MisdirectedRequest(
                "The admin API answers to localhost, to addresses, and to the names in admin.host "
                "and admin.hosts"
            )

    def _check_token(self, scope: Scope) -> None:
        given = _fields(scope, b"authorization")
        if len(given) == 1 and given[0][:7].lower() == b"bearer ":
            if hmac.compare_digest(given[0][7:].strip(b" "), self._token):
                return
            raise AdminTokenNeeded("The admin token is not this one", headers=(CHALLENGE,))
        raise AdminTokenNeeded(
            "Send it as Authorization: Bearer; `tidegate admin login` shows it",
            headers=(CHALLENGE,),
        )


def _fields(scope: Scope, wanted: bytes) -> list[bytes]:
    return [value for name, value in scope["headers"] if name == wanted]


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name[1:-1] if name.startswith("[") else name)
    except ValueError:
        return False
    return True


async def _whole_body(scope: Scope, receive: Receive) -> bytes | None:
    """Return the body, or None if the client left. Raises ContentTooLarge, RequestTimeout."""
    for length in _fields(scope, b"content-length"):
        if not length.isdigit():
            raise BadRequest("Content-Length is not a number")
        if len(length) > 9 or int(length) > BODY_BYTES_MAX:
            raise _too_large()
    pieces, size = [], 0
    try:
        async with asyncio.timeout(BODY_WAIT_S):
            while True:
                message = await receive()
                if message["type"] != "http.request":
                    return None
                pieces.append(message.get("body", b""))
                size += len(pieces[-1])
                if size > BODY_BYTES_MAX:
                    raise _too_large()
                if not message.get("more_body", False):
                    return b"".join(pieces)
    except TimeoutError:
        raise RequestTimeout(f"The body was not there within {BODY_WAIT_S:.0f} s") from None


def _too_large() -> ContentTooLarge:
    return ContentTooLarge(f"A body is at most {BODY_BYTES_MAX // 1024} KiB here")


def _replayed(body: bytes, receive: Receive) -> Receive:
    is_given = False

    async def replay() -> Message:
        nonlocal is_given
        if is_given:
            return await receive()
        is_given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay


def _with_security_fields(send: Send) -> Send:
    async def guarded(message: Message) -> None:
        if message["type"] == "http.response.start":
            present = {name.lower() for name, _ in message["headers"]}
            added = [field for field in SECURITY_FIELDS if field[0] not in present]
            message = {**message, "headers": [*message["headers"], *added]}
        await send(message)

    return guarded
