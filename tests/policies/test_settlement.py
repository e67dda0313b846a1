"""What an answer says a call used, and what becomes of the reservation if it says nothing."""

import asyncio
import gzip
import json
import logging
from types import SimpleNamespace

import pytest

from tidegate.config.schema import Route
from tidegate.http import Headers, Outcome, Request, Response
from tidegate.policies.settlement import LOOKED_AT_ONCE, RouteSettlement, Settlement

JSON = (b"content-type", b"application/json; charset=utf-8")
EVENTS = (b"content-type", b"Text/Event-Stream; charset=utf-8")
ANSWER = json.dumps({"usage": {"prompt_tokens": 5, "total_tokens": 30}}).encode()
PIECES = [b'data: {"usage":{"total_tokens":10}}\n\n', b'data: {"usage":{"total_tokens":20}}\n\n']
TOKENS = {"tokens": {"reserve": 500, "settle": {"json": "usage.total_tokens"}}}


def route_of(**costs) -> RouteSettlement:
    return RouteSettlement(Route(name="chat", costs=costs or TOKENS))


class Call:
    """A call that was let through: `settled` is what it has really cost."""

    def __init__(self, route: RouteSettlement | None = None, reserved=(1, 500)) -> None:
        self.settled: list[tuple[int, ...]] = []
        self.settlement = Settlement(route or route_of(), reserved, self.settled.append)

    def answered(self, *fields, body=ANSWER, status=200, source="upstream") -> Response:
        response = Response(status, Headers(fields), body)
        self.settlement.answered(response, SimpleNamespace(source=source))
        return response


async def pieces_of(pieces, error: Exception | None = None):
    for piece in pieces:
        yield piece
    if error is not None:
        raise error


def test_a_whole_body_settles_at_once():
    call = Call()
    response = call.answered(JSON)
    assert call.settled == [(1, 30)]
    assert response.body == ANSWER
    assert not response.needs_release


async def test_a_stream_settles_when_it_has_ended_by_the_last_thing_it_said():
    call = Call()
    response = call.answered(EVENTS, body=pieces_of([*PIECES, b"data: [DONE]\n\n"]))
    assert b"".join([piece async for piece in response.body]).startswith(PIECES[0])
    assert call.settled == []
    await response.aclose(Outcome.COMPLETE)
    assert call.settled == [(1, 20)]


async def test_each_piece_is_passed_on_before_it_is_looked_at():
    """Pain point 21: streams that are buffered or cut."""
    call = Call()
    response = call.answered(EVENTS, body=pieces_of(PIECES))
    usage = call.settlement._usage
    assert await anext(response.body) == PIECES[0]
    assert usage.values == [None]
    assert await anext(response.body) == PIECES[1]
    assert usage.values == [10]
    await response.aclose(Outcome.COMPLETE)


@pytest.mark.parametrize(("passed", "expected"), [(0, []), (1, [(1, 10)]), (2, [(1, 20)])])
async def test_a_stream_that_the_client_cuts_settles_what_was_seen(passed, expected):
    call = Call()
    response = call.answered(EVENTS, body=pieces_of(PIECES))
    for _ in range(passed):
        await anext(response.body)
    await response.aclose(Outcome.ABORTED)
    assert call.settled == expected


async def test_a_stream_that_the_service_cuts_settles_what_was_seen():
    call = Call()
    response = call.answered(EVENTS, body=pieces_of(PIECES[:1], ConnectionError()))
    with pytest.raises(ConnectionError):
        async for _ in response.body:
            pass
    await response.aclose(Outcome.ABORTED)
    assert call.settled == [(1, 10)]


async def test_a_number_that_was_cut_says_nothing():
    call = Call()
    body = pieces_of([b'{"usage":{"total_tokens":3'])
    response = call.answered(JSON, body=body)
    await anext(response.body)
    await response.aclose(Outcome.ABORTED)
    assert call.settled == []


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ({"body": b"{}"}, []),
        ({"body": b"{}", "status": 201}, []),
        ({"body": b"{}", "status": 500}, [(1, 0)]),
        ({"body": b"{}", "status": 429}, [(1, 0)]),
        ({"body": ANSWER, "status": 500}, [(1, 30)]),
        ({"body": b"{}", "source": "cache"}, [(1, 0)]),
        ({"body": b"{}", "source": "gateway"}, [(1, 0)]),
    ],
)
def test_without_a_word_the_reservation_stands_unless_the_service_did_no_work(answer, expected):
    call = Call()
    call.answered(JSON, **answer)
    assert call.settled == expected


def test_an_answer_of_the_cache_says_what_an_earlier_call_used():
    call = Call()
    call.answered(JSON, body=ANSWER, source="cache")
    assert call.settled == [(1, 0)]


@pytest.mark.parametrize("settles_by", ["json", "header"])
def test_without_an_answer_all_is_given_back(settles_by):
    call = Call(route_of(tokens={"reserve": 500, "settle": {settles_by: "usage"}}))
    call.settlement.unanswered()
    assert call.settled == [(1, 0)]


def test_what_was_reserved_and_used_needs_no_settling():
    call = Call(reserved=(1, 30))
    call.answered(JSON)
    assert call.settled == []


@pytest.mark.parametrize(
    "fields",
    [
        (),
        ((b"content-type", b"text/plain"),),
        (JSON, (b"content-encoding", b"gzip")),
    ],
)
def test_an_answer_that_cannot_be_read_says_nothing(fields, caplog):
    call = Call()
    body = gzip.compress(ANSWER) if len(fields) == 2 else ANSWER
    call.answered(*fields, body=body)
    assert call.settled == []
    assert "an answer on route chat tells no tokens in usage.total_tokens" in caplog.text


def test_that_answers_tell_nothing_is_said_once_a_minute(caplog):
    route = route_of()
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            Call(route).answered(JSON, body=b"{}")
    assert len(caplog.records) == 1


@pytest.mark.parametrize(
    ("value", "expected"), [(b"7", [(1, 7)]), (b"0", [(1, 0)]), (b"", []), (b"-1", []), (b"x", [])]
)
def test_a_field_of_the_answer_can_say_it(value, expected):
    route = route_of(tokens={"reserve": 500, "settle": {"header": "X-Tokens"}})
    call = Call(route)
    response = call.answered((b"x-tokens", value), body=b"anything")
    assert call.settled == expected
    assert response.headers.get(b"x-tokens") == value


def test_units_are_settled_each_by_its_own_and_what_has_no_word_stands():
    route = route_of(
        tokens={"reserve": 500, "settle": {"json": "usage.total_tokens"}},
        prompt={"reserve": 50, "settle": {"json": "usage.prompt_tokens"}},
        images={"reserve": 2, "settle": {"header": "x-images"}},
        flat={"reserve": 9},
    )
    call = Call(route, reserved=(3, 500, 50, 2, 9))
    call.answered(JSON, (b"x-images", b"1"))
    assert call.settled == [(3, 30, 5, 1, 9)]
    call = Call(route, reserved=(3, 500, 50, 2, 9))
    call.answered(JSON, body=b'{"usage":{"prompt_tokens":1}}')
    assert call.settled == [(3, 500, 1, 2, 9)]


def test_numbers_of_several_paths_are_added_those_that_are_there():
    paths = "usage.input_tokens+usage.output_tokens + usage.cached"
    route = route_of(tokens={"reserve": 500, "settle": {"json": paths}})
    call = Call(route)
    call.answered(JSON, body=b'{"usage":{"input_tokens":12,"output_tokens":30}}')
    assert call.settled == [(1, 42)]


def test_more_than_can_be_counted_counts_as_the_most():
    call = Call()
    call.answered(JSON, body=b'{"usage":{"total_tokens":1%s}}' % (b"0" * 15))
    assert call.settled == [(1, 10**9)]


@pytest.mark.parametrize("settles_by", ["json", "header"])
def test_only_an_answer_that_is_read_is_asked_for_without_compression(settles_by):
    route = route_of(tokens={"reserve": 1, "settle": {settles_by: "usage"}})
    request = Request("GET", b"/", Headers([(b"accept-encoding", b"gzip, br")]))
    route.prepare(request)
    expected = b"identity" if settles_by == "json" else b"gzip, br"
    assert request.headers.get_all(b"accept-encoding") == [expected]


@pytest.mark.parametrize(("unit", "expected"), [("tokens", True), ("requests", False)])
def test_nothing_is_read_for_callers_whom_no_limit_counts(unit, expected):
    subject = SimpleNamespace(limits=[SimpleNamespace(unit=unit)])
    assert route_of().counts_for(subject) is expected


def summing() -> RouteSettlement:
    paths = "message.usage.input_tokens + usage.output_tokens"
    return route_of(tokens={"reserve": 500, "settle": {"json": paths}})


START = b'data: {"message":{"usage":{"input_tokens":%d}}}\n\n'
END = b'data: {"usage":{"output_tokens":30}}\n\n'


@pytest.mark.parametrize(
    ("pieces", "outcome", "expected"),
    [
        ([START % 12], Outcome.ABORTED, []),
        ([START % 800], Outcome.ABORTED, [(1, 800)]),
        ([START % 12, END], Outcome.ABORTED, [(1, 42)]),
        ([START % 12], Outcome.COMPLETE, [(1, 12)]),
    ],
)
async def test_who_cuts_a_stream_before_all_terms_were_told_pays_what_was_reserved_at_least(
    pieces, outcome, expected
):
    call = Call(summing())
    response = call.answered(EVENTS, body=pieces_of(pieces))
    for _ in pieces:
        await anext(response.body)
    await response.aclose(outcome)
    assert call.settled == expected


async def test_of_an_answer_that_could_not_be_looked_through_the_reservation_stands_at_least():
    call = Call()
    body = pieces_of([b'{"usage":{"total_tokens":30}}\n', b"[" * 2**18, b"]"])
    response = call.answered(JSON, body=body)
    async for _ in response.body:
        pass
    await response.aclose(Outcome.COMPLETE)
    assert call.settled == []


async def test_others_run_while_a_large_piece_is_looked_at():
    """Pain point 8: the loop is not held by what others send."""
    call = Call()
    pieces = [b'{"t":"' + b"x" * 10 * LOOKED_AT_ONCE, b'","usage":{"total_tokens":7}}', b" "]
    response = call.answered(JSON, body=pieces_of(pieces))
    await anext(response.body)
    ran = []
    following = asyncio.ensure_future(anext(response.body))
    while not following.done():
        await asyncio.sleep(0)
        ran.append(1)
    assert len(ran) >= 10
    following = asyncio.ensure_future(anext(response.body))
    assert await following == b" "
    await response.aclose(Outcome.COMPLETE)
    assert call.settled == [(1, 7)]


async def test_a_piece_that_was_passed_on_is_looked_at_whole_though_the_client_left_amid_it():
    call = Call()
    piece = b'{"t":"' + b"x" * 10 * LOOKED_AT_ONCE + b'","usage":{"total_tokens":7}}'
    response = call.answered(JSON, body=pieces_of([piece]))
    await anext(response.body)
    following = asyncio.ensure_future(anext(response.body))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)
    await response.aclose(Outcome.ABORTED)
    assert call.settled == [(1, 7)]
