"""On a Cluster: one decision over limits of several hash slots, which no script can see at once.

Those outside the tenant's slot are asked first, all in one wait; the tenant's, together, only if
they admit. A refusal gives back what others had charged by then. So nothing is ever over; what is
lost is bounded: while a request that will be refused is being decided, its cost is missing to other
requests of the same outer limits, and one whose worker dies in between is not given back. A request
that is cancelled in between is given back all of it, also what is charged only later. Where all
limits lie in one slot, and on any store that is no Cluster, there are no parts.
"""

import asyncio
from collections.abc import Callable, Iterable
from functools import partial
from time import perf_counter
from typing import Any, NamedTuple

from tidegate.rate_limiter.errors import unusable
from tidegate.rate_limiter.limits import Costs, Counter, SlotPart, Subject, compiled_subject
from tidegate.store.slots import key_slot


class Asking(NamedTuple):
    """How one part is asked and given back: the limiter's own ways, for one slot each."""

    ask: Callable[[Subject], asyncio.Future[Any]]
    look: Callable[[Subject], asyncio.Future[Any]]
    """Ask the same of a request that is refused: it spends nothing, whatever is left."""
    give_back: Callable[[Subject, float], None]
    """What was charged so many seconds ago at most."""


def subject_by_slots(counters: Iterable[Counter], units: tuple[str, ...]) -> Subject:
    """Compile a subject with a part for each slot; without parts where there is but one."""
    given = tuple(counter for counter in counters if counter.limits)
    by_slot: dict[int, list[Counter]] = {}
    for counter in sorted(given, key=lambda counter: not counter.is_outside):
        by_slot.setdefault(key_slot(counter.state), []).append(counter)
    if len(by_slot) < 2:
        return compiled_subject(given, units)
    whole = compiled_subject(given, units, may_be_plain=False)
    places = {place: index for index, place in enumerate(_places(whole))}
    for group in by_slot.values():
        subject = compiled_subject(group, units, may_be_plain=False)
        positions = tuple(places[place] for place in _places(subject))
        if positions:
            whole.parts.append(SlotPart(subject, positions, group[0].is_outside))
    return whole


async def decided_in_parts(subject: Subject, costs: Costs, asking: Asking) -> list[Any]:
    """Return the reply of one script that could see all parts. Raises what the store fails with."""
    asked_at = perf_counter()
    replies: dict[SlotPart, list[Any]] = {}
    charged: list[SlotPart] = []
    is_admitted = True

    def give_back(part: SlotPart) -> None:
        asking.give_back(part.subject, perf_counter() - asked_at)

    try:
        for is_outside in (True, False):
            wave = [part for part in subject.parts if part.is_outside == is_outside]
            ask = asking.ask if is_admitted else asking.look
            answers = await _answers(wave, ask, give_back)
            charged += [part for part, reply in answers.items() if _admits(part, reply)]
            is_admitted = len(charged) == len(replies) + len(answers)
            replies |= _checked(answers)
    except BaseException:
        is_admitted = False
        raise
    finally:
        if not is_admitted:
            for part in charged:
                give_back(part)
    return _merged(subject, costs, replies, [] if is_admitted else charged)


async def _answers(
    wave: Iterable[SlotPart],
    ask: Callable[[Subject], asyncio.Future[Any]],
    give_back: Callable[[SlotPart], None],
) -> dict[SlotPart, Any]:
    """Ask some parts in one wait; of a part that could not be asked, the answer is what it met.

    A question that was sent is not taken back by nobody waiting for it any more: cancelled, it has
    `give_back` called for each part that admits, when its answer comes.
    """
    waiting = {part: ask(part.subject) for part in wave}
    if not waiting:
        return {}
    try:
        await asyncio.wait(waiting.values())
    except asyncio.CancelledError:
        for part, answer in waiting.items():
            answer.add_done_callback(partial(_came_too_late, part, give_back))
        raise
    return {part: _met(answer) for part, answer in waiting.items()}


def _came_too_late(
    part: SlotPart, give_back: Callable[[SlotPart], None], answer: asyncio.Future[Any]
) -> None:
    if _admits(part, _met(answer)):
        give_back(part)


def _met(answer: asyncio.Future[Any]) -> Any:
    return answer.exception() or answer.result()


def _checked(answers: dict[SlotPart, Any]) -> dict[SlotPart, list[Any]]:
    for part, reply in answers.items():
        if isinstance(reply, BaseException):
            raise reply
        if not _is_reply(part, reply):
            raise unusable()
    return answers


def _admits(part: SlotPart, reply: Any) -> bool:
    return _is_reply(part, reply) and bool(reply[0] == 1)


def _is_reply(part: SlotPart, reply: Any) -> bool:
    return type(reply) is list and len(reply) > 2 * len(part.positions)


def _merged(
    subject: Subject, costs: Costs, replies: dict[SlotPart, list[Any]], given_back: list[SlotPart]
) -> list[Any]:
    is_admitted = all(reply[0] == 1 for reply in replies.values())
    merged: list[Any] = [int(is_admitted), *[0] * (2 * len(subject.limits))]
    for part, reply in replies.items():
        for index, at in enumerate(part.positions):
            left, seconds = reply[2 * index + 1 : 2 * index + 3]
            if part in given_back and left >= 0:
                want = 1 if at >= subject.first_lease else costs[subject.unit_of[at]]
                left = min(subject.capacities[at], left + want)
                seconds = 0 if left == subject.capacities[at] else seconds
            merged[2 * at + 1 : 2 * at + 3] = left, seconds
    if is_admitted:
        ends = (reply[2 * len(part.positions) + 1 :] for part, reply in replies.items())
        merged += next(filter(None, ends), [])  # the lease, the same in all parts
    return merged


def _places(subject: Subject) -> list[tuple[bytes, str]]:
    return [(counter.state, limit.name) for counter in subject.counters for limit in counter.limits]
