"""Request ids and traces: kept where they are sound, made where they are not."""

import re

import pytest

from tidegate.http import Headers, Request
from tidegate.policies import Context, RequestIdentity
from tidegate.policies.request_identity import IDS_AT_ONCE

TRACE = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
MADE_TRACE = re.compile(rb"00-[0-9a-f]{32}-[0-9a-f]{16}-00")


def asked(*fields: tuple[bytes, bytes]) -> Request:
    request = Request("GET", b"/", Headers(fields))
    request.context = Context(None, None, None)
    RequestIdentity().ask(request, request.context)
    return request


def test_a_request_without_ids_gets_fresh_ones():
    first, second = asked(), asked()
    assert re.fullmatch(rb"[0-9a-f]{32}", first.headers.get(b"x-request-id"))
    assert MADE_TRACE.fullmatch(first.headers.get(b"traceparent"))
    assert first.headers.get(b"x-request-id") != second.headers.get(b"x-request-id")


def test_no_id_is_made_whose_span_would_be_all_zeros(monkeypatch):
    bad, good = b"\1" * 8 + bytes(8), b"\1" * 16
    monkeypatch.setattr("os.urandom", lambda count: (good + bad) * (count // 32))
    identity, made = RequestIdentity(), set()
    for _ in range(IDS_AT_ONCE):
        request = Request("GET", b"/", Headers())
        identity.ask(request, Context(None, None, None))
        made.add(request.headers.get(b"traceparent"))
    assert made == {b"00-%b-%b-00" % (good.hex().encode(), good[8:].hex().encode())}


def test_sound_ids_of_the_client_are_kept():
    request = asked((b"x-request-id", b"abc-1"), (b"traceparent", TRACE), (b"tracestate", b"a=b"))
    assert request.headers == [
        (b"x-request-id", b"abc-1"),
        (b"traceparent", TRACE),
        (b"tracestate", b"a=b"),
    ]
    assert request.context.request_id == b"abc-1"


@pytest.mark.parametrize("value", [b"", b"a b", b"a" * 129, b"<script>", b'"', b"\xff"])
def test_an_unsound_request_id_is_replaced(value):
    request = asked((b"x-request-id", value))
    assert request.headers.get_all(b"x-request-id") == [request.context.request_id]
    assert request.context.request_id != value


def test_two_request_ids_become_one_new_one():
    request = asked((b"x-request-id", b"a"), (b"x-request-id", b"b"))
    assert request.headers.get_all(b"x-request-id") == [request.context.request_id]
    assert request.context.request_id not in (b"a", b"b")


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"00-00000000000000000000000000000000-b7ad6b7169203331-01",
        b"00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
        b"ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        TRACE.upper(),
        TRACE[:-1],
    ],
)
def test_an_invalid_trace_starts_anew_and_drops_its_state(value):
    request = asked((b"traceparent", value), (b"tracestate", b"a=b"))
    assert MADE_TRACE.fullmatch(request.headers.get(b"traceparent"))
    assert request.headers.get(b"tracestate") is None
