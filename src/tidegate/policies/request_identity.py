"""First of all: every request has an X-Request-ID and a traceparent, before anybody asks anything.

What the client sent is kept where it is well formed, so that its own traces go on; anything else
is replaced. A request id that is made here is the trace id as well, so that either finds the
other. That every answer tells the id is answer_fields.py's. Ids come from the system's randomness,
some hundred at a time: one system call for each would be one more for every request.
"""

import os
import re
from typing import Final

from tidegate.http import HeaderField, Headers
from tidegate.http.headers import name_of
from tidegate.policies.policy import Asking, Context, Request

IDS_AT_ONCE: Final = 256

Identity = tuple[bytes, tuple[HeaderField, HeaderField]]
"""A request's id, and the two fields that carry it."""

_READ: Final = frozenset({b"tidegate-debug", b"traceparent", b"x-request-id"})

# The last half is the span's id, and neither may be all zeros (section 3.2.2.3 and 3.2.2.4).
_TRACE_ID: Final = re.compile(rb"[0-9a-f]{16}(?!0{16})[0-9a-f]{16}")
_NO_SPAN: Final = b"0" * 16
_REQUEST_ID: Final = re.compile(rb"[A-Za-z0-9_.:/+=@-]{1,128}")
# W3C Trace Context, section 3.2.2; version ff is forbidden, all-zero ids are invalid.
_TRACEPARENT: Final = re.compile(
    rb"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-[!-~]*)?"
)


class RequestIdentity:
    """Gives a request its ids."""

    def __init__(self) -> None:
        self._unused: list[Identity] = []

    def ask(self, request: Request, context: Context) -> None:
        """Nothing to ask of the store; the ids are set here, so that later asks may use them."""
        headers = request.headers
        if _READ.isdisjoint(map(name_of, headers)):
            if not self._unused:
                self._unused = _fresh_ids()
            context.request_id, made = self._unused.pop()
            headers += made
            return
        self._ask_by_rule(headers, context)

    def _ask_by_rule(self, headers: Headers, context: Context) -> None:
        """Keep of the client's own fields what is well formed."""
        fields = dict(headers)
        if b"tidegate-debug" in fields:
            context.debug_token = fields.get(b"tidegate-debug-token", b"")
        has_repeats = len(fields) != len(headers)
        request_id = fields.get(b"x-request-id")
        if request_id is None:
            request_id = self._new_id()
            headers.append((b"x-request-id", request_id))
        elif _REQUEST_ID.fullmatch(request_id) is None or (
            has_repeats and _is_repeated(headers, b"x-request-id")
        ):
            request_id = self._new_id()
            headers.replace(b"x-request-id", request_id)
        context.request_id = request_id
        traceparent = fields.get(b"traceparent")
        if traceparent is None:
            headers.append((b"traceparent", self._new_traceparent(request_id)))
        elif _TRACEPARENT.fullmatch(traceparent) is None or (
            has_repeats and _is_repeated(headers, b"traceparent")
        ):
            # A trace that cannot be followed takes its state with it (section 3.3).
            headers.remove_all((b"traceparent", b"tracestate"))
            headers.append((b"traceparent", self._new_traceparent(request_id)))

    def _new_id(self) -> bytes:
        """Return 32 random hexadecimal digits, which are a trace id as well."""
        if not self._unused:
            self._unused = _fresh_ids()
        return self._unused.pop()[0]

    def _new_traceparent(self, request_id: bytes) -> bytes:
        """Begin a trace, under the request's id where that has the form of a trace's."""
        trace_id = request_id if _TRACE_ID.fullmatch(request_id) is not None else self._new_id()
        return _traceparent(trace_id)


def _traceparent(trace_id: bytes) -> bytes:
    # Flag 00: the gateway records no span, so it must not claim that anything is sampled.
    return b"00-%b-%b-00" % (trace_id, trace_id[16:])


def _fresh_ids() -> list[Identity]:
    """Return ids from the system's randomness, of which none is less than a trace id."""
    digits = os.urandom(16 * IDS_AT_ONCE).hex().encode()
    ids = [digits[start : start + 32] for start in range(0, len(digits), 32)]
    return [
        (made, ((b"x-request-id", made), (b"traceparent", _traceparent(made))))
        for made in ids
        if made[16:] != _NO_SPAN
    ]


def _is_repeated(headers: Headers, name: bytes) -> bool:
    return len(headers.get_all(name)) > 1


def build() -> Asking:
    return RequestIdentity()
