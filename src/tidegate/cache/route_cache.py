"""The cache as one route uses it: the steps of a request, from the look-up to the service.

Knows nothing of the pipeline: who asks is a tenant, and going on is a function. What may be stored
or used is said by the rules (lookup.py, storing.py), what becomes of an answer that the service
made by fetch.py. Hot: `asked` and `copied` are all of a hit from memory, and wait for nothing: one
pass over the request's fields, one look-up by a tuple, one copy of fields made ready before.
"""

from collections.abc import Callable
from time import time
from typing import Any, Final

from tidegate.cache.answers import (
    hit_headers,
    not_modified,
    prepare,
    stored_answer,
    with_fields,
)
from tidegate.cache.bodies import stored_body
from tidegate.cache.cache import Cache
from tidegate.cache.choice import Choice, chosen
from tidegate.cache.fetch import Fetch, Send
from tidegate.cache.flights import Landing
from tidegate.cache.lookup import JUDGED, Kind, decide, wants_stored_only, why_bypassed
from tidegate.cache.memory import Copy, Key
from tidegate.cache.places import Place
from tidegate.cache.question import Question
from tidegate.cache.status_field import Forwarded, forwarded_fields, unanswered_fields
from tidegate.cache.storage import Found
from tidegate.cache.stored import Stored
from tidegate.cache.vary import selecting_values
from tidegate.http import Headers, Request, Response
from tidegate.http.errors import NotStored

AsSent = Callable[[Headers], Headers]
"""Returns the fields that the service would receive: a request's, without the gateway's keys."""

FlightKey = tuple[Key, bytes]
"""What is asked, and the generations that were valid when it was looked up."""

_UNASKED: Final = Found(None)
"""Of the store, where a copy in memory answers."""


class RouteCache:
    def __init__(self, cache: Cache, route: bytes, default_ttl_s: float, as_sent: AsSent) -> None:
        self._cache = cache
        self._memory = cache.memory
        self._route = route
        self._default_ttl_s = default_ttl_s
        self._as_sent = as_sent

    def asked(
        self, request: Request[Any], tenant: str | None, claims: bytes
    ) -> Copy | Question | str:
        """Return a copy that answers, a question that is under way, or why it is passed by."""
        headers = request.headers
        method = request.method
        is_plain = method == "GET" or method == "HEAD"
        for name, _ in headers:
            if name in JUDGED and (name != b"authorization" or not _is_key(headers, tenant)):
                is_plain = False
                break
        if (not is_plain or request.body != b"") and (reason := why_bypassed(request)) is not None:
            return reason
        now = time()
        query = request.query
        key = self._route, tenant, request.host, request.path, query, request.scheme, claims
        copy = self._memory.get(key, headers, now)
        if copy is not None and is_plain:
            if not copy.prepared_from <= now < copy.prepared_until:
                prepare(copy, now)
            return copy
        place = Place(tenant, self._route, request.scheme, request.host, request.target, claims)
        question = Question(key, method, self._as_sent(headers), place, self._memory.mark())
        question.copy = copy
        if copy is None:
            question.look_up = self._cache.storage.look_up(place, question.headers)
        return question

    def copied(self, copy: Copy, method: str) -> Response:
        """Return the answer that `asked` found in this worker's memory."""
        if not copy.is_use_noted and self._memory.used(copy):
            self._cache.storage.touch(copy.entry, copy.stored)
        stored = copy.stored
        headers = Headers(copy.prepared)
        if method == "GET":
            return Response(stored.status, headers, stored.body)
        return Response(stored.status, headers, b"", content_length=stored.body_length)

    async def answer(self, question: Question, request: Request[Any], send: Send) -> Response:
        """Return what is stored, what another request fetches, or what the service says.

        Raises NotStored if the service would have to be asked and the request forbids it.
        """
        found, choice = await self._looked_up(question)
        if choice is not None and choice.answers:
            if (answer := await self._hit(question, choice)) is not None:
                return answer
            choice = None
        if wants_stored_only(question.headers):
            question.told("miss", "only-if-cached", is_from_cache=False)
            raise NotStored(
                "Nothing stored can answer, and the request says only-if-cached",
                headers=unanswered_fields("only-if-cached"),
            )
        flight = None
        if found.generations is not None and not question.has_directives:
            # Who asks after a change has another key: he never waits for what was there before.
            key = question.key, found.generations.own
            if (answer := await self._shared(question, key)) is not None:
                return answer
            if question.method == "GET":
                flight = self._cache.flights.begin(key)
        fetch = Fetch(self._cache, question, found, choice, flight, self._default_ttl_s)
        return await fetch.response(request, send)

    async def _looked_up(self, question: Question) -> tuple[Found, Choice | None]:
        """Return what is stored for the request, and of it what serves best."""
        storage, headers = self._cache.storage, question.headers
        copy, look_up = question.copy, question.look_up
        if copy is not None:
            choice = chosen(headers, ((copy.entry, copy.stored),), time())
            if choice is not None and choice.answers:
                return _UNASKED, choice
        question.look_up = None  # it holds what the store replied, and the question may live long
        found = await storage.found(look_up or storage.look_up(question.place, headers), headers)
        return found, chosen(headers, found.entries, time())

    async def _hit(self, question: Question, choice: Choice) -> Response | None:
        """Return the answer from what is stored; None if its body is not there any more."""
        entry, stored, verdict = choice
        storage = self._cache.storage
        fields = hit_headers(verdict)
        answer = not_modified(stored, question.headers, fields)
        if answer is None:
            body = b"" if question.method == "HEAD" else await stored_body(storage, stored)
            if body is None:
                return None
            headers = with_fields(stored.headers, fields)
            answer = stored_answer(stored, body, question.method, headers)
        if question.copy is None:
            storage.touch(entry, stored)
            if not stored.body_id and verdict.ttl_s > 0:
                rests_on = question.place.rests_on(entry)
                self._memory.put(question.key, entry, stored, rests_on, question.mark)
        status = "hit" if verdict.kind is Kind.FRESH else "stale"
        question.told(status, verdict.reason, is_from_cache=True)
        return answer

    async def _shared(self, question: Question, key: FlightKey) -> Response | None:
        """Wait for a request that asks the same; return its answer if it is this one's too."""
        brought = await self._cache.flights.brought(key)
        if isinstance(brought, Stored):
            return self._shared_answer(question, key, brought)
        if brought is Landing.LOOK:
            _, choice = await self._looked_up(question)
            if choice is not None and choice.answers:
                return await self._hit(question, choice)
        return None

    def _shared_answer(self, question: Question, key: FlightKey, stored: Stored) -> Response | None:
        if selecting_values(stored.vary, question.headers) != stored.selecting:
            return None
        if decide(question.headers, stored, time()).kind is not Kind.FRESH:
            self._cache.flights.note_alone(key)
            return None
        question.told("miss", is_from_cache=True)
        fields = forwarded_fields(Forwarded.MISS, is_collapsed=True)
        answer = not_modified(stored, question.headers, fields)
        if answer is not None:
            return answer
        headers = with_fields(stored.headers, fields)
        return stored_answer(stored, stored.body, question.method, headers)


def _is_key(headers: Headers, tenant: str | None) -> bool:
    """Whether Authorization holds the key that was read: then the service never sees it."""
    return tenant is not None and headers.get(b"x-api-key") is None
