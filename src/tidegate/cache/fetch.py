"""Asks the service for what the cache cannot answer, and keeps of the answer what may be kept.

One object for one request, and one way through it: validate what is stored, or fetch anew; judge
the answer; store it while it goes to the client. `flight`, if this request leads others, lands on
every way out. What may be stored, and as whose, is said by the rules (storing.py).
"""

import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, Final

from tidegate.cache.answers import fields_to_store, not_modified, stored_answer, with_fields
from tidegate.cache.bodies import StoringBody, gather_short, stored_body
from tidegate.cache.cache import Cache
from tidegate.cache.choice import Choice
from tidegate.cache.flights import Flight, Landing
from tidegate.cache.freshness import initial_age_s, lifetime_s
from tidegate.cache.question import Question
from tidegate.cache.status_field import Forwarded, forwarded_fields
from tidegate.cache.storage import Found
from tidegate.cache.stored import Stored
from tidegate.cache.storing import is_explicitly_public, why_not_stored
from tidegate.cache.validation import (
    CONDITIONS,
    conditional_fields,
    is_answered_by_304,
    updated_by_304,
)
from tidegate.cache.vary import selecting_values, vary_names
from tidegate.http import Headers, Outcome, Request, Response

STALE_S: Final = 3600.0
"""For so long an entry that can be validated is kept beyond its freshness."""

Send = Callable[[Request[Any]], Awaitable[Response]]


class Fetch:
    """One request to the service. The question is told what became of it."""

    def __init__(
        self,
        cache: Cache,
        question: Question,
        found: Found,
        choice: Choice | None,
        flight: Flight | None,
        default_ttl_s: float,
    ) -> None:
        """`choice` is what is stored and does not answer as it is, if there is anything."""
        self._cache = cache
        self._question = question
        self._generations = found.generations
        self._flight = flight
        self._default_ttl_s = default_ttl_s
        self._stale = choice if choice is not None and choice.may_be_validated else None
        if choice is not None:
            self._why = choice.why_forwarded
        else:
            self._why = Forwarded.VARY_MISS if found.has_variants else Forwarded.URI_MISS
        question.told("miss", is_from_cache=False)

    async def response(self, request: Request[Any], send: Send) -> Response:
        try:
            return await self._answer(request, send)
        except Exception:
            self._land(Landing.FAILED)
            raise
        except BaseException:
            self._land(Landing.HANDED_ON)
            raise

    async def _answer(self, request: Request[Any], send: Send) -> Response:
        asked, stale = request.headers, self._stale
        conditions = conditional_fields(stale.stored.headers) if stale is not None else None
        without = [field for field in asked if field[0] not in CONDITIONS]
        if stale is not None and conditions:
            request.headers = Headers(without + conditions)
            request_time = time.time()
            response = await send(request)
            if response.status != 304:
                return await self._kept(response, request_time, asked)
            await response.aclose(Outcome.COMPLETE)
            confirmed = await self._confirmed(stale, asked, response, request_time)
            if confirmed is not None:
                return confirmed
        elif self._flight is None or len(without) == len(asked):
            request_time = time.time()
            return await self._kept(await send(request), request_time)
        # Others wait for the answer, and it is to be kept: a 304 would be this client's alone.
        request.headers = Headers(without)
        request_time = time.time()
        return await self._kept(await send(request), request_time, asked)

    async def _confirmed(
        self, choice: Choice, asked: Headers, response: Response, request_time: float
    ) -> Response | None:
        """Return the answer from what the 304 confirmed; None if that is not there any more."""
        entry, stale, _ = choice
        if not is_answered_by_304(stale.headers, response.headers):
            return None
        body = (
            await stored_body(self._cache.storage, stale) if self._question.method == "GET" else b""
        )
        if body is None:
            return None
        headers = updated_by_304(stale.headers, response.headers)
        response_time = time.time()
        reason = self._why_not_kept("GET", stale.status, headers, response_time)
        is_shared = entry == self._question.place.public
        if reason is None and is_shared and not is_explicitly_public(headers):
            reason = "not public any more"
        if reason is not None:
            # What the service says now holds for what is kept, however fresh it was.
            self._cache.forget([self._question.place.url])
        fresh = self._stored(stale, headers, request_time, response_time)
        if reason is None and self._keep(entry, fresh):
            self._land(Landing.LOOK if fresh.body_id else fresh)
        else:
            self._land(Landing.ALONE)
        self._question.told("revalidated", reason, is_from_cache=True)
        fields = forwarded_fields(self._why, status=304, is_stored=reason is None, detail=reason)
        answer = not_modified(fresh, asked, fields)
        if answer is not None:
            return answer
        return stored_answer(fresh, body, self._question.method, with_fields(fresh.headers, fields))

    async def _kept(
        self, response: Response, request_time: float, asked: Headers | None = None
    ) -> Response:
        """Store the answer if it may be; return it with what became of it.

        `asked`, if the service did not see the client's own conditions, are the fields with them.
        """
        response_time = time.time()
        headers = response.headers
        method = self._question.method
        reason = self._why_not_kept(method, response.status, headers, response_time)
        if reason is None:
            reason = self._why_not_fit(response)
        if reason is None:
            await gather_short(response)
            reason = self._stores(response, request_time, response_time)
        if reason is not None:
            self._land(Landing.ALONE)
        self._question.detail = reason
        if asked is not None:
            answer = await self._not_modified(response, asked, reason)
            if answer is not None:
                return answer
        fields = forwarded_fields(self._why, is_stored=reason is None, detail=reason)
        response.headers = with_fields(response.headers, fields)
        return response

    async def _not_modified(
        self, response: Response, asked: Headers, reason: str | None
    ) -> Response | None:
        """Return the 304 instead of `response`, if the client has that already."""
        is_whole = isinstance(response.body, bytes)
        if reason is None and not is_whole:
            return None  # it is stored while it goes to the client
        fields = forwarded_fields(
            self._why, status=response.status, is_stored=reason is None, detail=reason
        )
        answer = not_modified(response, asked, fields)
        if answer is not None:
            await response.aclose(Outcome.COMPLETE if is_whole else Outcome.ABORTED)
        return answer

    def _why_not_kept(
        self, method: str, status: int, headers: Headers, response_time: float
    ) -> str | None:
        reason = why_not_stored(
            method,
            self._question.headers,
            status,
            headers,
            default_ttl_s=self._default_ttl_s,
            response_time=response_time,
        )
        if reason is None and self._generations is None:
            reason = "the store did not answer"
        return reason

    def _why_not_fit(self, response: Response) -> str | None:
        length = response.content_length
        if isinstance(response.body, bytes):
            length = len(response.body)
        if length is not None and length > self._cache.entry_bytes_max:
            return "too large"
        return "a body that ends with its connection" if response.ends_by_close else None

    def _stores(self, response: Response, request_time: float, response_time: float) -> str | None:
        """Store the answer, now or as its body comes; return why not, or None."""
        place, generations = self._question.place, self._generations
        assert generations is not None  # noqa: S101 - see _why_not_kept
        is_shared = is_explicitly_public(response.headers)
        entry = place.public if is_shared else place.own
        empty = Stored(
            status=response.status,
            headers=response.headers,
            request_time=request_time,
            response_time=response_time,
            initial_age_s=0.0,
            lifetime_s=0.0,
            body_length=0,
            generation=generations.public if is_shared else generations.own,
        )
        stored = self._stored(empty, response.headers, request_time, response_time)
        if _keep_s(stored) <= 0:
            return "already stale"
        body = response.body
        if isinstance(body, bytes):
            whole = replace(stored, body=body, body_length=len(body))
            self._keep(entry, whole)
            self._land(whole)
            return None
        self._stores_stream(response, entry, stored)
        return None

    def _stores_stream(self, response: Response, entry: bytes, stored: Stored) -> None:
        if self._flight is not None:
            self._flight.expect_body()

        def whole(body: bytes, body_id: bytes, length: int) -> None:
            kept = replace(stored, body=body, body_id=body_id, body_length=length)
            self._keep(entry, kept)
            self._land(Landing.LOOK if body_id else kept)

        def given_up(for_client: bool) -> None:
            self._land(Landing.HANDED_ON if for_client else Landing.ALONE)

        StoringBody(
            self._cache.storage,
            self._cache.unfinished,
            response,
            self._cache.entry_bytes_max,
            on_whole=whole,
            on_given_up=given_up,
        )

    def _stored(
        self, before: Stored, headers: Headers, request_time: float, response_time: float
    ) -> Stored:
        """Return `before` with these fields and times, which decide for how long it is fresh."""
        vary = vary_names(headers) or ()
        return replace(
            before,
            headers=fields_to_store(headers, response_time),
            request_time=request_time,
            response_time=response_time,
            initial_age_s=initial_age_s(headers, request_time, response_time),
            lifetime_s=lifetime_s(before.status, headers, self._default_ttl_s, response_time),
            vary=vary,
            selecting=selecting_values(vary, self._question.headers),
        )

    def _keep(self, entry: bytes, stored: Stored) -> bool:
        keep_s = _keep_s(stored)
        if keep_s > 0:
            self._cache.storage.commit(entry, self._question.place, stored, keep_s)
        return keep_s > 0

    def _land(self, outcome: Stored | Landing) -> None:
        if self._flight is not None:
            self._flight.land(outcome)


def _keep_s(stored: Stored) -> float:
    """Return for how long an entry is of any use: while fresh, and while it can be validated."""
    fresh_s = max(0.0, stored.lifetime_s - stored.initial_age_s)
    return fresh_s + (STALE_S if conditional_fields(stored.headers) else 0.0)
