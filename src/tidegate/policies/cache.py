"""Answers from what is stored, and stores what may be (RFC 9111). Stands behind the limits.

Only translates: what is asked, stored and shared is the cache room's (cache/route_cache.py). `ask`
finds a copy in this worker's memory or lets the look-up leave beside the limits' question, so that
both cost one trip; a request that the limits refuse never gets further. Hot: a hit from memory is
`ask` and a call that has the answer at once, and neither waits.
"""

from collections.abc import Awaitable, Callable

from tidegate.cache import Cache
from tidegate.cache.answers import with_fields
from tidegate.cache.memory import Copy
from tidegate.cache.question import Question
from tidegate.cache.route_cache import RouteCache
from tidegate.cache.status_field import Forwarded, forwarded_fields
from tidegate.config import Route, Service
from tidegate.http import Headers, Response
from tidegate.http.claims import ADDRESSES, is_claim
from tidegate.identity import without_credentials
from tidegate.policies.forget import Forget, route_name
from tidegate.policies.policy import Context, Next, Policy, Request


class CachePolicy:
    def __init__(
        self,
        cache: Cache,
        route: Route,
        service: Service,
        is_key_of_file: Callable[[bytes], bool],
        *,
        trusts: bool,
    ) -> None:
        """`trusts`: there are proxies whose X-Forwarded-* the service believes."""
        needs_caller = bool(route.auth)
        default_ttl_s = 0.0 if route.cache is None else route.cache.default_ttl

        def as_sent(headers: Headers) -> Headers:
            return without_credentials(headers, not needs_caller, is_key_of_file)

        self._cache = RouteCache(cache, route_name(service, route), default_ttl_s, as_sent)
        self._forget = Forget(cache, service)
        self._needs_caller = needs_caller
        self._trusts = trusts

    def ask(self, request: Request, context: Context) -> None:
        """Find the answer in memory, or queue the look-up."""
        caller = context.caller
        if caller is None and self._needs_caller:
            return
        tenant = None if caller is None else caller.tenant
        claims = _claims(request.headers) if self._trusts else b""
        context.pending_cache = self._cache.asked(request, tenant, claims)

    def __call__(self, request: Request, call_next: Next) -> Awaitable[Response]:
        context = request.context
        if context.pending_cache is None:
            self.ask(request, context)
        # The context lives as long as the body, which may be long.
        pending, context.pending_cache = context.pending_cache, None
        if pending.__class__ is Copy:
            context.source = "cache"
            context.cache_status = "hit"
            return self._cache.copied(pending, request.method)
        if pending.__class__ is str:
            return self._passed_by(request, call_next, pending)
        return self._looked_up(request, call_next, pending)

    async def _looked_up(self, request: Request, call_next: Next, question: Question) -> Response:
        context = request.context
        try:
            return await self._cache.answer(question, request, call_next)
        finally:
            context.cache_status, context.cache_detail = question.status, question.detail
            if question.is_from_cache:
                context.source = "cache"

    async def _passed_by(self, request: Request, call_next: Next, reason: str) -> Response:
        """Pass the request on; forget what it changes."""
        request.context.cache_status, request.context.cache_detail = "bypass", reason
        response = await self._forget(request, call_next)
        why = Forwarded.BYPASS if request.method in ("GET", "HEAD") else Forwarded.METHOD
        fields = forwarded_fields(why, detail=reason if why is Forwarded.BYPASS else None)
        response.headers = with_fields(response.headers, fields)
        return response


def _claims(headers: Headers) -> bytes:
    """Return what a trusted proxy says of scheme, host, target or user: services answer by it."""
    return b"\0".join(
        [b"%b:%b" % field for field in headers if is_claim(field[0]) and field[0] not in ADDRESSES]
    )


def build(
    cache: Cache,
    route: Route,
    service: Service,
    is_key_of_file: Callable[[bytes], bool],
    *,
    trusts: bool,
) -> Policy:
    return CachePolicy(cache, route, service, is_key_of_file, trusts=trusts)
