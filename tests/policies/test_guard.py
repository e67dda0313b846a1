"""A user's policy that fails: what the request gets, and that nothing it held is left open."""

import asyncio
import time

import pytest

from tidegate.http import Headers, Outcome, Request, Response
from tidegate.http.errors import BadGateway, PolicyFailed, TooManyRequests
from tidegate.policies.guard import Guarded


class Inner:
    """The rest of the chain: counts calls and tells whether its response was released."""

    def __init__(self, error: Exception | None = None, delay_s: float = 0.0) -> None:
        self.calls = 0
        self.outcomes: list[Outcome] = []
        self.error = error
        self.delay_s = delay_s
        self.answered = asyncio.Event()
        self.response = Response(200, body=b"inner")
        self.response.on_close(self.outcomes.append)

    async def __call__(self, request: Request) -> Response:
        self.calls += 1
        await asyncio.sleep(self.delay_s)
        if self.error is not None:
            raise self.error
        self.answered.set()
        return self.response


def guarded(policy, *, timeout_s=0.05, fails_open=False) -> Guarded:
    return Guarded("policies/mine.py", policy, timeout_s=timeout_s, fails_open=fails_open)


def request() -> Request:
    return Request("GET", b"/", Headers())


async def passes(request, call_next):
    return await call_next(request)


async def raises_before(request, call_next):
    raise KeyError("secret")


async def raises_after(request, call_next):
    await call_next(request)
    raise KeyError("secret")


async def stalls_before(request, call_next):
    await asyncio.sleep(30)


async def stalls_after(request, call_next):
    await call_next(request)
    await asyncio.sleep(30)


async def blocks(request, call_next):
    time.sleep(0.1)  # noqa: ASYNC251 - what a careless policy does
    return await call_next(request)


async def returns_nothing(request, call_next):
    await call_next(request)


async def test_a_policy_that_behaves_is_not_in_the_way():
    inner = Inner()
    assert await guarded(passes)(request(), inner) is inner.response
    assert inner.outcomes == []


@pytest.mark.parametrize(
    ("policy", "reason"),
    [
        (raises_before, "raised"),
        (raises_after, "raised"),
        (stalls_before, "took too long"),
        (stalls_after, "took too long"),
        (blocks, "took too long"),
        (returns_nothing, "raised"),
    ],
)
async def test_a_failing_policy_is_a_500_that_names_it_and_nothing_else(policy, reason):
    inner = Inner()
    with pytest.raises(PolicyFailed) as caught:
        await guarded(policy)(request(), inner)
    assert caught.value.detail == f"The policy `policies/mine.py` {reason}"
    assert "secret" not in str(caught.value)
    assert inner.outcomes == [Outcome.ABORTED] * inner.calls


@pytest.mark.parametrize("policy", [raises_before, stalls_before, raises_after, stalls_after])
async def test_failing_open_goes_on_as_if_the_policy_were_not_there(policy):
    inner = Inner()
    assert await guarded(policy, fails_open=True)(request(), inner) is inner.response
    assert inner.calls == 1
    assert inner.outcomes == []


async def test_the_time_of_call_next_is_not_the_policys():
    inner = Inner(delay_s=0.2)
    assert await guarded(passes, timeout_s=0.05)(request(), inner) is inner.response


async def test_a_refusal_is_an_answer_and_no_failure():
    async def refuses(request, call_next):
        raise TooManyRequests("enough")

    with pytest.raises(TooManyRequests):
        await guarded(refuses, fails_open=True)(request(), Inner())


@pytest.mark.parametrize("error", [BadGateway("gone"), RuntimeError("a fault of our own")])
@pytest.mark.parametrize("fails_open", [False, True])
async def test_what_the_rest_of_the_chain_raises_is_not_blamed_on_the_policy(error, fails_open):
    with pytest.raises(type(error)) as caught:
        await guarded(passes, fails_open=fails_open)(request(), Inner(error=error))
    assert caught.value is error


async def test_an_answer_that_replaces_the_inner_one_releases_it_when_it_ends():
    inner = Inner()

    async def replaces(request, call_next):
        await call_next(request)
        return Response(418)

    response = await guarded(replaces)(request(), inner)
    assert response.status == 418
    assert inner.outcomes == []
    await response.aclose(Outcome.COMPLETE)
    assert inner.outcomes == [Outcome.COMPLETE]


async def test_cancelling_after_the_answer_came_releases_it():
    inner = Inner()
    task = asyncio.create_task(guarded(stalls_after, timeout_s=30)(request(), inner))
    await inner.answered.wait()
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert inner.outcomes == [Outcome.ABORTED]


async def test_calling_next_twice_is_the_policys_failure():
    async def twice(request, call_next):
        await call_next(request)
        return await call_next(request)

    inner = Inner()
    with pytest.raises(PolicyFailed):
        await guarded(twice)(request(), inner)
    assert inner.calls == 1
