"""What is told of limits beside yes and no: shadow refusals, limits that are near, quotas' shares.

A limit in shadow mode that would have refused, and one that is spent up to its `warn_at`, are
counted by plan and limit; the near ones are told to the client in a field of its own, since the
draft's RateLimit has none for it. A quota with `notify` is looked at by the webhooks' notices. Only
limits that have one of these cost anything here.
"""

from collections.abc import Container, Iterator, Sequence
from typing import Final

from tidegate.config.schema import Quota
from tidegate.http import HeaderField
from tidegate.policies.policy import Context
from tidegate.rate_limiter import Counter, Decision, Subject
from tidegate.rate_limiter.limits import KEY_PREFIX
from tidegate.telemetry import Reading
from tidegate.webhooks import Counted, Notices, Watched

WARNING: Final = b"tidegate-limit-warning"
SUBJECTS_MAX: Final = 20_000
"""As many as the limit policy keeps. What this worker told of others, the store knows."""
LIMITS_MAX: Final = 1000
"""Limits that are counted apart, as in telemetry: plans come and go through the admin API."""
OTHER_LIMITS: Final = ("", "")

Quotas = Sequence[tuple[int, Watched]]
"""A subject's quotas with `notify`, each with its place among a decision's figures."""


class LimitSignals:
    """Made once for a gateway. `notices` is None where there are no webhooks."""

    def __init__(self, notices: Notices | None) -> None:
        self._notices = notices
        self._quotas: dict[Subject, Quotas] = {}
        self._would_refuse: dict[tuple[str, str], int] = {}
        self._near: dict[tuple[str, str], int] = {}

    def seen(self, context: Context, subject: Subject, decision: Decision) -> None:
        """Take note of a decision, and add to its header fields what is near. To be called for
        subjects that have something to tell."""
        plan = "" if context.caller is None else context.caller.plan
        for name in decision.would_refuse:
            _add(self._would_refuse, plan, name)
        if near := decision.near:
            for name in near:
                _add(self._near, plan, name)
            decision.headers += warning(subject, decision.figures, near)
        if self._notices is not None and decision.degraded is None:
            quotas, figures = self._quotas.get(subject), decision.figures
            refusing = decision.violated + decision.would_refuse
            for place, quota in self._learned(subject) if quotas is None else quotas:
                used = quota.counted.quota - figures[place]
                refuses = quota.counted.limit in refusing
                self._notices.look(quota, used, figures[place + 1], refuses=refuses)

    def readings(self) -> Iterator[Reading]:
        """Yield what was counted."""
        for labels, count in self._would_refuse.items():
            yield "tidegate_limit_shadow_refusals", labels, count
        for labels, count in self._near.items():
            yield "tidegate_limit_near", labels, count
        if self._notices is not None:
            yield from self._notices.readings()

    async def aclose(self) -> None:
        """Write what is noticed and not yet written. The store must still be open."""
        if self._notices is not None:
            await self._notices.aclose()

    def _learned(self, subject: Subject) -> Quotas:
        if len(self._quotas) >= SUBJECTS_MAX:
            del self._quotas[next(iter(self._quotas))]
        quotas = self._quotas[subject] = tuple(_watched(subject))
        return quotas


def warning(
    subject: Subject, figures: Sequence[int], near: Container[str]
) -> tuple[HeaderField, ...]:
    """Return the field that tells how much is spent of the limits that are near: a List of
    RFC 9651. Of a limit in shadow mode nothing is told to clients.
    """
    items = []
    for index in subject.shown:
        name, capacity = subject.limits[index].name, subject.capacities[index]
        if name in near:
            share = used_share(capacity - figures[2 * index], capacity)
            items.append(b'"%b";used=%b' % (name.encode(), share))
    return ((WARNING, b", ".join(items)),) if items else ()


def used_share(used: int, capacity: int) -> bytes:
    """Return a share as a Decimal of RFC 9651, rounded down: nothing is spent before it is."""
    in_1000 = min(used, capacity) * 1000 // capacity
    whole, _, part = f"{in_1000 / 1000:.3f}".partition(".")
    return f"{whole}.{part.rstrip('0') or '0'}".encode()


def _add(counts: dict[tuple[str, str], int], plan: str, name: str) -> None:
    labels = plan, name
    if labels not in counts and len(counts) >= LIMITS_MAX:
        labels = OTHER_LIMITS
    counts[labels] = counts.get(labels, 0) + 1


def _watched(subject: Subject) -> Iterator[tuple[int, Watched]]:
    index = 0
    for counter in subject.counters:
        for limit in counter.limits:
            if isinstance(limit, Quota) and limit.notify:
                watched = Watched(_counted(limit, counter), limit.notify, limit.quota.period_s)
                yield 2 * index, watched
            index += 1


def _counted(limit: Quota, counter: Counter) -> Counted:
    """Return what a receiver shall know of a quota: of its caller only what it counts by."""
    whose = counter.whose
    return Counted(
        state=counter.state,
        counted_in=counter.state.removeprefix(KEY_PREFIX).decode("utf-8", "replace"),
        limit=limit.name,
        quota=limit.quota.count,
        period=limit.quota.period,
        per=limit.per,
        unit=limit.unit,
        tenant=whose.tenant or None,
        plan=whose.plan or None,
        key_id=whose.key_id or None,
        route=whose.route or None,
    )
