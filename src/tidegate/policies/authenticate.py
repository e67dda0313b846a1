"""Who calls: the API key of the request becomes `context.caller`, or the answer is a 401.

A key this worker already knows costs no I/O. Everything about formats, hashes and copies is
identity's; here is only the order of steps.
"""

from collections.abc import Awaitable

from tidegate.http import Response
from tidegate.http.errors import Unauthorized
from tidegate.identity import KeyResolver, presented_key, unauthorized
from tidegate.policies.policy import Context, Next, Policy, Request


class Authenticate:
    """Lets in callers whose key is known, and nobody else."""

    def __init__(self, resolver: KeyResolver) -> None:
        self._resolver = resolver

    def ask(self, request: Request, context: Context) -> None:
        """Recognise a known key, so that its limits can be asked for at once.

        Whatever is wrong with the key is said when the policy's turn comes.
        """
        try:
            presented = presented_key(request.headers)
        except Unauthorized:
            return
        if presented is not None:
            context.caller = self._resolver.known(presented)

    def __call__(self, request: Request, call_next: Next) -> Awaitable[Response]:
        # No coroutine of its own where there is nothing to wait for: 0.3 microseconds a request.
        if request.context.caller is not None:
            return call_next(request)
        return self._resolved(request, call_next)

    async def _resolved(self, request: Request, call_next: Next) -> Response:
        presented = presented_key(request.headers)
        if presented is None:
            raise unauthorized("No API key is presented")
        request.context.caller = await self._resolver.resolve(presented)
        return await call_next(request)


def build(resolver: KeyResolver) -> Policy:
    return Authenticate(resolver)
