"""How long an awaitable of somebody else's may take, at no cost if it takes no time at all.

What an ASGI server has at hand it gives at once, and most requests never wait for it, while
`asyncio.timeout` costs several microseconds even then. So the first step is taken without a
timer; one is set only where that step did not come to the end.
"""

import asyncio
from collections.abc import Awaitable, Coroutine, Generator
from functools import partial
from types import coroutine
from typing import Any, Final, TypeVar

T = TypeVar("T")

_ENDED: Final = object()


async def within(timeout_s: float | None, awaitable: Awaitable[T]) -> T:
    """Return what `awaitable` gives; raise TimeoutError if that takes too long."""
    steps = awaitable.__await__()
    try:
        awaited = next(steps)
    except StopIteration as done:
        result: T = done.value
        return result
    return await _rest_within(timeout_s, steps, awaited)


def begun(timeout_s: float | None, awaitable: Awaitable[None]) -> Coroutine[Any, Any, None] | None:
    """Do what `within` does, without a coroutine: return what is left to be awaited, if anything.

    For what gives nothing. It costs a third of `within`, which raises StopIteration to itself.
    """
    steps = awaitable.__await__()
    awaited = next(steps, _ENDED)
    return None if awaited is _ENDED else _rest_within(timeout_s, steps, awaited)


async def _rest_within(timeout_s: float | None, steps: Generator[Any, Any, T], awaited: Any) -> T:
    async with asyncio.timeout(timeout_s):
        return await _rest(steps, awaited)


@coroutine
def _rest(steps: Generator[Any, Any, T], awaited: Any) -> Generator[Any, Any, T]:
    """Go on after the first step, as `yield from` would from the beginning."""
    while True:
        try:
            yield awaited
        except BaseException as error:
            step = partial(steps.throw, error)
        else:
            step = partial(next, steps)
        try:
            awaited = step()
        except StopIteration as done:
            result: T = done.value
            return result
