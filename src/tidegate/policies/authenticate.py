"""Who calls: the API key of the request becomes `context.caller`, or the answer is a 401.

A key this worker already knows costs no I/O. Everything about formats, hashes and copies is
identity's, whether the plan has this route is entitle's, and how often an address may present what
is no key is auth_throttle's; here is only the order of steps.
"""

import asyncio
from collections.abc import Awaitable

from tidegate.http import GatewayError, Response
from tidegate.http.errors import Unauthorized
from tidegate.identity import Caller, KeyResolver, Stranger, presented_key, unauthorized
from tidegate.policies.auth_throttle import AuthThrottle
from tidegate.policies.entitle import Entitlement
from tidegate.policies.policy import Context, Next, Policy, Request


class Recognition:
    """From a request to its caller, or to the error that refuses it."""

    def __init__(self, resolver: KeyResolver, throttle: AuthThrottle | None) -> None:
        self._resolver = resolver
        self._throttle = throttle

    async def caller(self, request: Request) -> Caller:
        found = self.recognised(request)
        return await self.looked_up(found, request) if isinstance(found, Stranger) else found

    def recognised(self, request: Request) -> Caller | Stranger:
        """Return who presents a key, as far as this worker knows. Raises Unauthorized."""
        found = self.by_heart(request)
        if found is None:
            raise unauthorized("No API key is presented")
        return found

    def by_heart(self, request: Request) -> Caller | Stranger | None:
        """Return the same, None where no key is presented. Raises Unauthorized for several."""
        presented = presented_key(request.headers)
        return None if presented is None else self._resolver.recognise(presented)

    def as_arrived(self, request: Request) -> Caller | Stranger | None:
        """Do what `by_heart` does, for a request whose fields nobody has changed yet."""
        block, resolver = request.block, self._resolver
        if block is None:
            return self.by_heart(request)
        noted = block.notes.get(resolver)
        if noted is None:
            presented = presented_key(request.headers)
            if presented is None:
                return None
            block.notes[resolver] = noted = presented, resolver.meet(presented)
        return resolver.known(*noted)

    def refuse(self, stranger: Stranger) -> None:
        """Raise Unauthorized if there is nothing to look up, and nothing to count."""
        if self._throttle is None:
            self._resolver.refuse(stranger)

    async def looked_up(self, stranger: Stranger, request: Request) -> Caller:
        """Look up what this worker does not know by heart, unless its address guesses."""
        throttle = self._throttle
        # Without any address, as on a Unix socket, all clients would be one.
        if throttle is None or not request.client or self._resolver.has_met(stranger):
            return await self._resolver.look_up(stranger)
        counted = throttle.addresses.of(request)
        await throttle.enter(counted)
        # By itself, for a client may hang up: what it asked is counted all the same, by what comes
        # of it, and its place is taken until then. Else keys could be tried without bound.
        outcome = await asyncio.shield(
            asyncio.create_task(self._outcome(stranger, throttle, counted))
        )
        if not isinstance(outcome, GatewayError):
            return outcome
        try:
            raise outcome
        finally:
            del outcome  # its traceback holds this frame: together they would be a circle

    async def _outcome(
        self, stranger: Stranger, throttle: AuthThrottle, counted: bytes
    ) -> Caller | GatewayError:
        """Look up and count. A failure is a value, because nobody may be left to raise it to."""
        try:
            try:
                return await self._resolver.look_up(stranger)
            except Unauthorized:
                await throttle.failed(counted)
                raise
        except GatewayError as error:
            return error
        finally:
            throttle.leave(counted)


class Authenticate:
    """Lets in callers whose key is known and whose plan has the route, and nobody else."""

    def __init__(self, entitlement: Entitlement, recognition: Recognition) -> None:
        self._entitlement = entitlement
        self._recognition = recognition

    def ask(self, request: Request, context: Context) -> None:
        """Recognise a known key, so that its limits can be asked for at once.

        Whatever is wrong with the key, or with what its plan has, is said when the policy's turn
        comes; until then there is no caller, and nothing is asked or charged on its behalf.
        """
        try:
            found = self._recognition.as_arrived(request)
        except Unauthorized:
            return
        if found is None:
            return
        if isinstance(found, Stranger):
            context.stranger = found
        elif found.grants is None or self._entitlement.covers(found, request.method):
            context.caller = found

    def __call__(self, request: Request, call_next: Next) -> Awaitable[Response]:
        # No coroutine where there is nothing to wait for: that costs a refusal more than the rest.
        context = request.context
        if context.caller is not None:
            return call_next(request)
        found = context.stranger or self._recognition.recognised(request)
        context.stranger = None
        if not isinstance(found, Stranger):
            self._let_in(found, request)
            return call_next(request)
        self._recognition.refuse(found)
        return self._looked_up(found, request, call_next)

    async def _looked_up(self, stranger: Stranger, request: Request, call_next: Next) -> Response:
        self._let_in(await self._recognition.looked_up(stranger, request), request)
        return await call_next(request)

    def _let_in(self, caller: Caller, request: Request) -> None:
        request.context.caller = caller
        if not self._entitlement.covers(caller, request.method):
            raise self._entitlement.refusal(caller, request.method)


def build(resolver: KeyResolver, entitlement: Entitlement, throttle: AuthThrottle | None) -> Policy:
    return Authenticate(entitlement, Recognition(resolver, throttle))
