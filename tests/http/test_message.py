"""Messages: the target that is forwarded, and the release of what a response holds."""

import asyncio

import pytest

from tidegate.http import GatewayError, Headers, Outcome, Request, Response, problem_response


async def test_closing_releases_once_and_in_reverse_order():
    released: list[tuple[str, Outcome]] = []
    response = Response(200)

    async def release_connection(outcome: Outcome) -> None:
        released.append(("connection", outcome))

    response.on_close(release_connection)
    response.on_close(lambda outcome: released.append(("log", outcome)))
    await response.aclose(Outcome.ABORTED)
    await response.aclose(Outcome.COMPLETE)
    assert released == [("log", Outcome.ABORTED), ("connection", Outcome.ABORTED)]


async def test_a_release_that_fails_keeps_nobody_elses_from_running():
    released: list[str] = []
    response = Response(200)

    async def cancelled(outcome: Outcome) -> None:
        raise asyncio.CancelledError

    def fails(outcome: Outcome) -> None:
        raise ValueError("a policy's own mistake")

    response.on_close(lambda outcome: released.append("connection"))
    response.on_close(cancelled)
    response.on_close(lambda outcome: released.append("log"))
    response.on_close(fails)
    with pytest.raises(ValueError, match="own mistake"):
        await response.aclose(Outcome.COMPLETE)
    assert released == ["log", "connection"]


def test_the_target_is_path_and_query_as_forwarded():
    assert Request("GET", b"/a", Headers()).target == b"/a"
    assert Request("GET", b"/a", Headers(), query=b"").target == b"/a?"
    assert Request("GET", b"/a", Headers(), query=b"b=c").target == b"/a?b=c"


def test_an_error_becomes_a_problem_that_says_it_is_the_gateways():
    error = GatewayError("why", headers=((b"retry-after", b"3"),), members={"policy": "p"})
    response = problem_response(error)
    assert response.status == 500
    assert (b"retry-after", b"3") in response.headers
    assert (b"content-type", b"application/problem+json") in response.headers
    assert response.body == (
        b'{"type":"urn:tidegate:problem:internal-error","title":"The gateway failed to answer",'
        b'"status":500,"source":"gateway","detail":"why","policy":"p"}'
    )
