"""The rules of answering that hold for both doors."""

from types import SimpleNamespace

import pytest

from tidegate.edge.pipeline import answer_to, release
from tidegate.http import Headers, Outcome, Request, Response
from tidegate.http.errors import BadGateway, BadRequest


class Unclosable:
    def __aiter__(self):
        return self

    async def __anext__(self):
        return b"b"

    async def aclose(self):
        raise RuntimeError("body")


async def test_a_body_that_cannot_be_closed_does_not_keep_what_the_response_holds(door_log):
    outcomes = []
    response = Response(200, body=Unclosable())
    response.on_close(outcomes.append)
    await release(response, Outcome.ABORTED)
    assert outcomes == [Outcome.ABORTED]
    assert len(door_log.records) == 1


def ids(response):
    return response.headers.get_all(b"x-request-id")


@pytest.mark.parametrize("error", [BadRequest("no"), RuntimeError("secret")])
def test_an_answer_to_what_never_came_to_the_core_has_an_id_of_its_own(error):
    one, other = (ids(answer_to(error)) for _ in range(2))
    assert len(one) == len(other) == 1
    assert one != other


def test_what_fails_in_the_core_unexpectedly_has_the_request_s_id_in_answer_and_log(door_log):
    request = Request("GET", b"/", Headers())
    request.context = SimpleNamespace(request_id=b"given")
    assert ids(answer_to(RuntimeError("secret"), request)) == [b"given"]
    (record,) = door_log.records
    assert record.getMessage() == "request given failed inside the gateway"


def test_a_field_of_a_request_that_was_not_checked_is_not_repeated():
    request = Request("GET", b"/", Headers([(b"x-request-id", b"<script>")]))
    (made,) = ids(answer_to(BadRequest("no"), request))
    assert len(made) == 32


def test_an_id_that_the_error_brings_from_the_core_stays():
    error = BadGateway(headers=((b"x-request-id", b"given"),))
    assert ids(answer_to(error)) == [b"given"]
