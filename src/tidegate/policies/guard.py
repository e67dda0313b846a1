"""Keeps a user's policy from taking the request down with it.

A policy that raises is a 500 problem that names it. One that spends more than its timeout of its
own time, not counting what happens inside `call_next`, is likewise. With `on_error: open` the
request goes on as if the policy were not there: a request not yet passed on is passed on, a
response already obtained is given back. What `call_next` itself raises is nobody's fault here and
passes unchanged, and so does an error of the gateway's own tree, which is a policy's way to refuse.
"""

import asyncio
import logging
from asyncio import CancelledError

from tidegate.http import GatewayError, Headers, Outcome, Response
from tidegate.http.errors import PolicyFailed
from tidegate.policies.policy import Next, Policy, Request

logger = logging.getLogger("tidegate.policies")


class Guarded:
    """Runs `policy` under a timeout and turns its failures into the configured outcome."""

    def __init__(self, name: str, policy: Policy, *, timeout_s: float, fails_open: bool) -> None:
        self.name = name
        self._policy = policy
        self._timeout_s = timeout_s
        self._fails_open = fails_open

    async def __call__(self, request: Request, call_next: Next) -> Response:
        run = _Run(call_next, self._timeout_s)
        try:
            response = await run.response_of(self._policy, request)
        except GatewayError:
            await run.discard()
            raise
        except Exception as error:
            if run.inner_error is error:
                raise
            return await self._failed(run, request, error)
        except BaseException:
            await run.discard()
            raise
        run.adopt(response)
        return response

    async def _failed(self, run: "_Run", request: Request, error: Exception) -> Response:
        reason = "took too long" if isinstance(error, TimeoutError) and run.overran else "raised"
        logger.error("policy %s %s", self.name, reason, exc_info=error)
        if self._fails_open:
            if run.inner_error is not None:
                raise run.inner_error
            return run.inner if run.inner is not None else await run.call_next(request)
        await run.discard()
        raise PolicyFailed(
            f"The policy `{self.name}` {reason}", members={"policy": self.name}
        ) from error


class _Run:
    """One call of a policy: its clock, and what `call_next` gave it."""

    def __init__(self, call_next: Next, timeout_s: float) -> None:
        self.call_next = call_next
        self.inner: Response | None = None
        self.inner_error: BaseException | None = None
        self.overran = False
        self._remaining_s = timeout_s
        self._clock = asyncio.get_running_loop().time
        self._resumed_at = 0.0
        self._timeout: asyncio.Timeout | None = None

    async def response_of(self, policy: Policy, request: Request) -> Response:
        """Return the policy's response; raise TimeoutError if its own time is used up."""
        self._resumed_at = self._clock()
        self._timeout = asyncio.timeout_at(self._resumed_at + self._remaining_s)
        try:
            async with self._timeout:
                response = await policy(request, self._timed_next)
        except TimeoutError:
            self.overran = self._timeout.expired()
            raise
        if not isinstance(response, Response):
            raise TypeError(f"a policy must return a Response, not {type(response).__name__}")
        if not isinstance(response.headers, Headers):
            raise TypeError(f"its headers must be Headers, not {type(response.headers).__name__}")
        if self._spent() > self._remaining_s:
            # It never gave the loop a chance to stop it: blocking calls are the usual cause.
            self.overran = True
            raise TimeoutError
        return response

    def adopt(self, response: Response) -> None:
        """Let an answer that replaces the inner one release it when it ends."""
        if self.inner is not None and self.inner is not response:
            response.on_close(self.inner.aclose)

    async def discard(self) -> None:
        """Release a response that nobody will send."""
        if self.inner is not None:
            await self.inner.aclose(Outcome.ABORTED)

    async def _timed_next(self, request: Request) -> Response:
        assert self._timeout is not None  # noqa: S101 - set before the policy runs
        if self.inner is not None:
            raise RuntimeError("call_next may be called only once")
        self._remaining_s -= self._spent()
        self._timeout.reschedule(None)
        try:
            self.inner = await self.call_next(request)
        except CancelledError:
            raise
        except Exception as error:
            self.inner_error = error
            raise
        finally:
            self._resumed_at = self._clock()
            self._timeout.reschedule(self._resumed_at + self._remaining_s)
        return self.inner

    def _spent(self) -> float:
        return self._clock() - self._resumed_at
