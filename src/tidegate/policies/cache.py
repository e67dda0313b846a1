"""Answers from what is stored, and stores what may be (RFC 9111). Stands behind the limits.

Decides nothing itself about what may be stored or used: the rules, the storage, the worker's
memory and the single flight are the cache room's. `ask` finds a copy in this worker's memory or
lets the look-up leave beside the limits' question, so that both cost one trip; a request that the
limits refuse never gets further. Hot: a hit from memory is one pass over the request's fields, one
look-up by a tuple, and a copy of fields made ready before.
"""

import time
from typing import Final

from tidegate.cache.answers import (
    copy_answer,
    hit_headers,
    not_modified,
    stored_answer,
    with_fields,
)
from tidegate.cache.bodies import stored_body
from tidegate.cache.cache import Cache
from tidegate.cache.fetch import Fetch
from tidegate.cache.flights import WAIT_S_MAX, Landing
from tidegate.cache.lookup import Kind, Verdict, decide, wants_stored_only, why_bypassed
from tidegate.cache.memory import Copy, Key
from tidegate.cache.places import Place
from tidegate.cache.question import Question
from tidegate.cache.status_field import Forwarded, forwarded_fields
from tidegate.cache.storage import Found
from tidegate.cache.stored import Stored
from tidegate.cache.vary import selecting_values
from tidegate.config import Route, Service
from tidegate.http import Headers, Response
from tidegate.http.errors import NotStored
from tidegate.identity import Caller, without_credentials
from tidegate.policies.forget import Forget, route_name
from tidegate.policies.policy import Context, Next, Policy, Request
from tidegate.upstream import CLAIMS

_SPECIAL: Final = frozenset(
    {
        b"authorization",
        b"cache-control",
        b"cookie",
        b"if-match",
        b"if-modified-since",
        b"if-none-match",
        b"if-range",
        b"if-unmodified-since",
        b"pragma",
        b"range",
        b"x-http-method",
        b"x-http-method-override",
        b"x-method-override",
    }
)
"""Requests with one of these are judged by the rules; others are only looked up."""
_ADDRESSES: Final = frozenset({b"x-forwarded-for", b"x-real-ip", b"x-client-ip", b"true-client-ip"})
_KEYED_CLAIMS: Final = CLAIMS - _ADDRESSES
"""What a trusted proxy may say of scheme, host and target: services answer by it."""
_USABLE: Final = (Kind.FRESH, Kind.STALE)

FlightKey = tuple[Key, bytes]
"""What is asked, and the generations that were valid when it was looked up."""


class CachePolicy:
    def __init__(
        self, cache: Cache, route: Route, service: Service, default_ttl_s: float, *, trusts: bool
    ) -> None:
        """`trusts`: there are proxies whose X-Forwarded-* the service believes."""
        self._cache = cache
        self._memory = cache.memory
        self._route = route_name(service, route)
        self._forget = Forget(cache, service)
        self._needs_caller = bool(route.auth)
        self._default_ttl_s = default_ttl_s
        self._trusts = trusts

    def ask(self, request: Request, context: Context) -> None:
        """Find the answer in memory, or queue the look-up."""
        if context.caller is not None or not self._needs_caller:
            context.pending_cache = self._asked(request, context.caller)

    async def __call__(self, request: Request, call_next: Next) -> Response:
        context = request.context
        pending = context.pending_cache
        if pending is None:
            pending = self._asked(request, context.caller)
        else:
            context.pending_cache = None  # the context lives as long as the body, which may be long
        if pending.__class__ is Copy:
            context.source = "cache"
            context.cache_status = "hit"
            if self._memory.used(pending):
                self._cache.storage.touch(pending.entry, pending.stored)
            return copy_answer(pending, request.method, time.time())
        if pending.__class__ is str:
            return await self._passed_by(request, call_next, pending)
        return await self._looked_up(request, call_next, pending)

    def _asked(self, request: Request, caller: Caller | None) -> Copy | Question | str:
        """Return a copy that answers, a question that is under way, or why it is passed by."""
        headers = request.headers
        method = request.method
        is_plain = method == "GET" or method == "HEAD"
        for name, _ in headers:
            if name in _SPECIAL and (name != b"authorization" or not self._is_key(headers, caller)):
                is_plain = False
                break
        if (not is_plain or request.body != b"") and (reason := why_bypassed(request)) is not None:
            return reason
        claims = self._claims(headers) if self._trusts else b""
        tenant = None if caller is None else caller.tenant
        query = request.query
        key = self._route, tenant, request.host, request.path, query, request.scheme, claims
        copy = self._memory.get(key, headers, time.time())
        if copy is not None and is_plain:
            return copy
        headers = without_credentials(headers, not self._needs_caller)
        place = Place(tenant, self._route, request.scheme, request.host, request.target, claims)
        question = Question(key, method, headers, place, self._memory.mark())
        if copy is None:
            question.look_up = self._cache.storage.look_up(place, headers)
        else:
            question.copy = copy
        return question

    def _is_key(self, headers: Headers, caller: Caller | None) -> bool:
        """Whether Authorization holds the key that was read: then the service never sees it."""
        return caller is not None and headers.get(b"x-api-key") is None

    @staticmethod
    def _claims(headers: Headers) -> bytes:
        return b"\0".join([b"%b:%b" % field for field in headers if field[0] in _KEYED_CLAIMS])

    async def _looked_up(self, request: Request, call_next: Next, question: Question) -> Response:
        context = request.context
        found, best = await self._best(question)
        if best is not None and best[2].kind in _USABLE:
            answer = await self._hit(context, question, *best)
            if answer is not None:
                return answer
            best = None
        if wants_stored_only(question.headers):
            raise NotStored("Nothing stored can answer, and the request says only-if-cached")
        flight = None
        if found.generations is not None and not question.has_directives:
            # Who asks after a change has another key: he never waits for what was there before.
            key = question.key, found.generations.own
            if (answer := await self._shared(context, question, key)) is not None:
                return answer
            flights = self._cache.flights
            if question.method == "GET" and flights.joined(key) is None:
                flight = flights.begin(key)
        fetch = Fetch(self._cache, question, found, flight, self._default_ttl_s)
        stale, why = None, None
        if best is not None:
            entry, stored, verdict = best
            why = _why(verdict)
            stale = (entry, stored) if verdict.kind is Kind.VALIDATE else None
        try:
            response = await fetch.response(request, call_next, stale, why)
        finally:
            context.cache_status, context.cache_detail = fetch.status, fetch.detail or None
        if fetch.status == "revalidated":
            context.source = "cache"
        return response

    async def _best(self, question: Question) -> tuple[Found, tuple[bytes, Stored, Verdict] | None]:
        """Return what is stored for the request, and of it what serves best."""
        if question.copy is not None:
            copy = question.copy
            verdict = decide(question.headers, copy.stored, time.time())
            if verdict.kind in _USABLE:
                return Found(None), (copy.entry, copy.stored, verdict)
            question.look_up = self._cache.storage.look_up(question.place, question.headers)
        look_up, question.look_up = question.look_up, None  # it holds what the store replied
        assert look_up is not None  # noqa: S101 - see _asked
        found = await self._cache.storage.found(look_up, question.headers)
        best = None
        now = time.time()
        for entry, stored in found.entries:
            verdict = decide(question.headers, stored, now)
            if verdict.kind in _USABLE:
                return found, (entry, stored, verdict)
            if best is None or best[2].kind is Kind.MISS:
                best = entry, stored, verdict
        return found, best

    async def _hit(
        self, context: Context, question: Question, entry: bytes, stored: Stored, verdict: Verdict
    ) -> Response | None:
        """Return the answer from `stored`; None if its body is not there any more."""
        fields = hit_headers(verdict)
        answer = not_modified(stored, question.headers, fields)
        if answer is None:
            body = (
                b"" if question.method == "HEAD" else await stored_body(self._cache.storage, stored)
            )
            if body is None:
                return None
            headers = with_fields(stored.headers, fields)
            answer = stored_answer(stored, body, question.method, headers)
        if question.copy is None:
            self._cache.storage.touch(entry, stored)
            if not stored.body_id and verdict.ttl_s > 0:
                place = question.place
                rests_on = place.generations[:2] if entry is place.public else place.generations
                self._memory.put(question.key, entry, stored, rests_on, question.mark)
        context.source = "cache"
        context.cache_status = "hit" if verdict.kind is Kind.FRESH else "stale"
        context.cache_detail = verdict.reason
        return answer

    async def _shared(
        self, context: Context, question: Question, key: FlightKey
    ) -> Response | None:
        """Wait for a request that asks the same; return its answer if it is this one's too."""
        flights = self._cache.flights
        deadline = time.monotonic() + WAIT_S_MAX
        while (flight := flights.joined(key)) is not None:
            landed = await flight.wait(deadline - time.monotonic())
            if landed is Landing.HANDED_ON:
                continue
            if landed is Landing.LOOK:
                question.look_up = self._cache.storage.look_up(question.place, question.headers)
                _, best = await self._best(question)
                if best is not None and best[2].kind in _USABLE:
                    return await self._hit(context, question, *best)
            if isinstance(landed, Stored):
                return self._shared_answer(context, question, key, landed)
            return None
        return None

    def _shared_answer(
        self, context: Context, question: Question, key: FlightKey, stored: Stored
    ) -> Response | None:
        if selecting_values(stored.vary, question.headers) != stored.selecting:
            return None
        verdict = decide(question.headers, stored, time.time())
        if verdict.kind is not Kind.FRESH:
            self._cache.flights.note_alone(key)
            return None
        context.source, context.cache_status = "cache", "miss"
        fields = forwarded_fields(Forwarded.MISS, is_collapsed=True)
        answer = not_modified(stored, question.headers, fields)
        if answer is not None:
            return answer
        headers = with_fields(stored.headers, fields)
        return stored_answer(stored, stored.body, question.method, headers)

    async def _passed_by(self, request: Request, call_next: Next, reason: str) -> Response:
        """Pass the request on; forget what it changes."""
        request.context.cache_status, request.context.cache_detail = "bypass", reason
        response = await self._forget(request, call_next)
        why = Forwarded.BYPASS if request.method in ("GET", "HEAD") else Forwarded.METHOD
        fields = forwarded_fields(why, detail=reason if why is Forwarded.BYPASS else "")
        response.headers = with_fields(response.headers, fields)
        return response


def _why(verdict: Verdict) -> Forwarded:
    """Return why what is stored did not do."""
    if verdict.kind is Kind.MISS:
        return Forwarded.MISS
    return Forwarded.STALE if verdict.ttl_s <= 0 else Forwarded.REQUEST


def build(cache: Cache, route: Route, service: Service, *, trusts: bool) -> Policy:
    default_ttl_s = 0.0 if route.cache is None else route.cache.default_ttl
    return CachePolicy(cache, route, service, default_ttl_s, trusts=trusts)
