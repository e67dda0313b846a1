"""First of all: every request has an X-Request-ID and a traceparent, and every answer tells its id.

What the client sent is kept where it is well formed, so that its own traces go on; anything else
is replaced. Ids are unique, not secret: they come from a generator seeded by the system, because
asking the kernel for each costs a system call a request.
"""

import re
from random import Random
from typing import Final

from tidegate.http import GatewayError, Headers, Response
from tidegate.policies.policy import Context, Next, Policy, Request

_REQUEST_ID: Final = re.compile(rb"[A-Za-z0-9_.:/+=@-]{1,128}")
# W3C Trace Context, section 3.2.2; version ff is forbidden, all-zero ids are invalid.
_TRACEPARENT: Final = re.compile(
    rb"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-[!-~]*)?"
)


class RequestIdentity:
    """Gives a request its ids and an answer the request's id."""

    def __init__(self) -> None:
        self._bits = Random().getrandbits  # noqa: S311 - identifiers, not secrets

    def ask(self, request: Request, context: Context) -> None:
        """Nothing to ask of the store; the ids are set here, so that later asks may use them."""
        headers = request.headers
        fields = dict(headers)
        has_repeats = len(fields) != len(headers)
        request_id = fields.get(b"x-request-id")
        if request_id is None:
            request_id = b"%032x" % self._bits(128)
            headers.append((b"x-request-id", request_id))
        elif _REQUEST_ID.fullmatch(request_id) is None or (
            has_repeats and _is_repeated(headers, b"x-request-id")
        ):
            request_id = b"%032x" % self._bits(128)
            headers.replace(b"x-request-id", request_id)
        context.request_id = request_id
        traceparent = fields.get(b"traceparent")
        if traceparent is None:
            headers.append((b"traceparent", self._new_traceparent()))
        elif _TRACEPARENT.fullmatch(traceparent) is None or (
            has_repeats and _is_repeated(headers, b"traceparent")
        ):
            # A trace that cannot be followed takes its state with it (section 3.3).
            headers.remove_all((b"traceparent", b"tracestate"))
            headers.append((b"traceparent", self._new_traceparent()))

    async def __call__(self, request: Request, call_next: Next) -> Response:
        try:
            response = await call_next(request)
        except GatewayError as error:
            error.headers.append((b"x-request-id", request.context.request_id))
            raise
        headers = response.headers
        if b"x-request-id" in dict(headers):
            headers.remove_all((b"x-request-id",))
        headers.append((b"x-request-id", request.context.request_id))
        return response

    def _new_traceparent(self) -> bytes:
        # Flag 00: the gateway records no span, so it must not claim that anything is sampled.
        # The lowest bit is set, because an id of zeros alone would be invalid.
        bits = self._bits
        return b"00-%032x-%016x-00" % (bits(128) | 1, bits(64) | 1)


def _is_repeated(headers: Headers, name: bytes) -> bool:
    return len(headers.get_all(name)) > 1


def build() -> Policy:
    return RequestIdentity()
