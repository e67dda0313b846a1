"""The gateway's own fields: once on every answer, in place of anybody else's, whoever writes it."""

from types import SimpleNamespace

import pytest

from tidegate.edge.native.response_head import response_head
from tidegate.http import HeaderField, Headers, Response
from tidegate.http.errors import BadGateway
from tidegate.http.framing import Framing
from tidegate.policies import Context
from tidegate.policies.answer_fields import complete_answer, complete_error

LIMITS = ((b"x-ratelimit-limit", b"5"), (b"ratelimit", b'"steady";r=4;t=1'))
LINES = b'x-ratelimit-limit: 5\r\nratelimit: "steady";r=4;t=1'
ID = (b"x-request-id", b"abc")


def context(headers: tuple[HeaderField, ...] | None = None, lines: bytes = b"") -> Context:
    made = Context(None, None, None)
    made.request_id = b"abc"
    if headers is not None:
        made.decision = SimpleNamespace(headers=headers, lines=lines)
    return made


def answered(given: list[HeaderField], context: Context) -> list[HeaderField]:
    """Return the fields of a completed answer, which are the same by each way of writing them."""
    response, error = Response(200, Headers(given)), BadGateway("", headers=tuple(given))
    complete_answer(response, context)
    complete_error(error, context)
    fields = [*response.headers, *response.own.own_fields()]
    assert error.headers == fields
    head = response_head(response, Framing.NONE, None, "1.1", b"\r\n\r\n", closes=False)
    written = head[: -len(b"\r\n\r\n\r\n")].split(b"\r\n")[1:]
    assert written == [b": ".join(field) for field in fields]
    return fields


def test_every_answer_tells_the_id_once():
    given = [(b"x-request-id", b"the upstream's own"), (b"etag", b"a")]
    assert answered(given, context()) == [(b"etag", b"a"), ID]


def test_the_limits_of_the_service_pass_where_nothing_was_limited():
    given = [(b"ratelimit", b"the upstream's own")]
    assert answered(given, context()) == [*given, ID]


@pytest.mark.parametrize(
    "name", [b"tidegate-debug", b"tidegate-degraded", b"tidegate-limit-warning"]
)
def test_a_service_cannot_speak_for_the_gateway_even_where_nothing_is_limited(name):
    assert answered([(name, b"open")], context()) == [ID]


def test_the_limits_of_the_service_give_way_to_the_gateways():
    given = [
        (b"x-ratelimit-reset", b"9"), (b"etag", b"a"), (b"ratelimit", b"9"),
        (b"ratelimit-remaining", b"9"), (b"ratelimit-limit", b"9"), (b"ratelimit-reset", b"9"),
    ]  # fmt: skip
    assert answered(given, context(LIMITS, LINES)) == [(b"etag", b"a"), *LIMITS, ID]


@pytest.mark.parametrize("given", [[], [(b"etag", b"a")]])
def test_limits_that_nobody_is_told_of_leave_no_empty_line(given):
    """All of them in the shadow: an empty line would end the head."""
    assert answered(given, context((), b"")) == [*given, ID]
