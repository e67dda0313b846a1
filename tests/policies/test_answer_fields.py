"""The gateway's own fields: once on every answer, in place of anybody else's."""

from types import SimpleNamespace

from tidegate.http import Headers
from tidegate.policies import Context
from tidegate.policies.answer_fields import complete_answer

LIMITS = ((b"x-ratelimit-limit", b"5"), (b"ratelimit", b'"steady";r=4;t=1'))


def context(decision=None) -> Context:
    made = Context(None, None, None)
    made.request_id = b"abc"
    made.decision = decision
    return made


def test_every_answer_tells_the_id_once():
    headers = Headers([(b"x-request-id", b"the upstream's own"), (b"etag", b"a")])
    complete_answer(headers, context())
    assert headers == [(b"etag", b"a"), (b"x-request-id", b"abc")]


def test_the_limits_of_the_service_pass_where_nothing_was_limited():
    headers = Headers([(b"ratelimit", b"the upstream's own")])
    complete_answer(headers, context())
    assert headers == [(b"ratelimit", b"the upstream's own"), (b"x-request-id", b"abc")]


def test_a_service_cannot_pretend_to_explain_for_the_gateway():
    headers = Headers([(b"tidegate-debug", b"{}")])
    complete_answer(headers, context())
    assert headers == [(b"x-request-id", b"abc")]


def test_the_limits_of_the_service_give_way_to_the_gateways():
    headers = Headers(
        [(b"x-ratelimit-reset", b"9"), (b"etag", b"a"), (b"ratelimit", b"9"),
         (b"ratelimit-remaining", b"9"), (b"ratelimit-limit", b"9"), (b"ratelimit-reset", b"9")]
    )  # fmt: skip
    complete_answer(headers, context(SimpleNamespace(headers=LIMITS)))
    assert headers == [(b"etag", b"a"), *LIMITS, (b"x-request-id", b"abc")]
