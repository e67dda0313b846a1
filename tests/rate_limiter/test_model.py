"""The script against a pure model in exact fractions, for any times, costs, limits and plans."""

from collections.abc import Sequence
from datetime import UTC, datetime
from fractions import Fraction
from itertools import count, pairwise
from math import ceil, floor

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tidegate.config.fields import FILL_S_MAX, RATE_PER_S_MAX
from tidegate.config.schema import Limit, Quota, TokenBucket
from tidegate.config.units import PERIOD_S, Rate
from tidegate.rate_limiter.limits import caller_counters, capacity, compiled_subject, units
from tidegate.rate_limiter.units import Kind

SECOND = 10**6
STEP_BACK = 60 * SECOND
PERIODS = ("second", "minute", "hour", "day", "month")
tenants = (f"tenant{number}" for number in count())


class Model:
    """What the script must answer. A record is (when it is void, rate) and what is spent."""

    def __init__(self) -> None:
        self.records: dict[tuple[str, str, Kind], tuple[Fraction, int, int]] = {}

    def decide(self, limits: Sequence[Limit], cost: int, now: int) -> list[int]:
        found = [self._measured(limit, now) for limit in limits]
        refusing = [
            cost > capacity(limit) or debt + cost > capacity(limit)
            for limit, (debt, _, _) in zip(limits, found, strict=True)
        ]
        spent = 0 if any(refusing) else cost
        reply = [0 if any(refusing) else 1]
        for limit, refuses, (debt, start, _) in zip(limits, refusing, found, strict=True):
            reply += self._outlook(limit, debt + spent, start, cost if refuses else None, now)
        if spent or any(mended for _, _, mended in found):
            self._write(limits, found, spent, now)
        return reply

    def _measured(self, limit: Limit, now: int) -> tuple[Fraction, int, bool]:
        """Return the tokens spent, now or the end of the quota's window, and whether mended."""
        kind, rate, emission = units(limit)
        record = self.records.get((limit.per, limit.name, kind))
        if kind == Kind.QUOTA:
            return self._measured_quota(rate, record, now)
        if record is None:
            return Fraction(0), now, False
        void, at_rate, _ = record
        debt = ((void if at_rate == rate else ceil(void)) - now) * Fraction(rate, emission)
        return min(max(Fraction(0), debt), Fraction(capacity(limit))), now, debt > capacity(limit)

    def _measured_quota(
        self, period_s: int, record: tuple[Fraction, int, int] | None, now: int
    ) -> tuple[Fraction, int, bool]:
        _, end = window(period_s, now)
        if record is None or record[0] <= now:
            return Fraction(0), end, False
        void, spent = int(record[0]), Fraction(record[2])
        if void > end and window(period_s, void - 1)[0] - now <= STEP_BACK:
            return spent, void, False
        return spent, end, void != end

    def _outlook(
        self, limit: Limit, debt: Fraction, start: int, wanted: int | None, now: int
    ) -> tuple[int, int]:
        kind, rate, emission = units(limit)
        if kind == Kind.QUOTA:
            return max(0, capacity(limit) - int(debt)), ceil(Fraction(start - now, SECOND))
        if debt == 0:
            return capacity(limit), 0
        room = capacity(limit) - debt
        remaining = floor(room)
        if wanted is None or wanted > capacity(limit):
            wanted = remaining + 1
        wait_us = ceil((wanted - room) * Fraction(emission, rate))
        return remaining, ceil(Fraction(wait_us, SECOND))

    def _write(
        self, limits: Sequence[Limit], found: list[tuple[Fraction, int, bool]], spent: int, now: int
    ) -> None:
        written = {per for per in ("key", "tenant") if self._is_written(per, limits, found, spent)}
        fresh = {
            name: record
            for name, record in self.records.items()
            if name[0] not in written or ceil(record[0]) > now
        }
        for limit, (debt, start, _) in zip(limits, found, strict=True):
            kind, rate, emission = units(limit)
            name = (limit.per, limit.name, kind)
            if limit.per not in written:
                continue
            fresh.pop(name, None)
            if kind == Kind.QUOTA and debt + spent:
                fresh[name] = (Fraction(start), rate, int(debt) + spent)
            elif debt + spent:
                fresh[name] = (start + (debt + spent) * Fraction(emission, rate), rate, 0)
        self.records = fresh

    def _is_written(
        self, per: str, limits: Sequence[Limit], found: list[tuple[Fraction, int, bool]], spent: int
    ) -> bool:
        """A state in which nothing is spent is left alone."""
        debts = [
            debt for limit, (debt, _, _) in zip(limits, found, strict=True) if limit.per == per
        ]
        return any(debt + spent for debt in debts)


def window(period_s: int, now: int) -> tuple[int, int]:
    """Return start and end of the calendar window by Python's calendar."""
    if period_s:
        start = now // (period_s * SECOND) * period_s * SECOND
        return start, start + period_s * SECOND
    day = datetime.fromtimestamp(now // SECOND, UTC)
    start_of = datetime(day.year, day.month, 1, tzinfo=UTC)
    next_month = (day.year + day.month // 12, day.month % 12 + 1)
    return (
        int(start_of.timestamp()) * SECOND,
        int(datetime(*next_month, 1, tzinfo=UTC).timestamp()) * SECOND,
    )


amounts = st.one_of(
    st.integers(1, 20), st.integers(1, 10**9), st.sampled_from([999_983, 999_999, 10**9])
)
periods = st.sampled_from(PERIODS)
rates = st.builds(Rate, amounts, periods)
pers = st.sampled_from(("key", "tenant"))


@st.composite
def buckets(draw: st.DrawFn, name: str, bursts: st.SearchStrategy[int] = amounts) -> TokenBucket:
    """Any bucket that the configuration allows: its bounds are met, not missed."""
    period = draw(periods)
    rate = Rate(min(draw(amounts), RATE_PER_S_MAX * PERIOD_S[period]), period)
    fill_max = FILL_S_MAX * rate.count // rate.period_s
    return TokenBucket(name=name, rate=rate, burst=min(draw(bursts), fill_max), per=draw(pers))


def limit_named(name: str) -> st.SearchStrategy[Limit]:
    return st.one_of(buckets(name), st.builds(Quota, name=st.just(name), quota=rates, per=pers))


plans = st.lists(st.sampled_from("abcd"), min_size=1, max_size=4, unique=True).flatmap(
    lambda names: st.tuples(*map(limit_named, names))
)
moves = st.one_of(
    st.integers(0, 3 * SECOND),
    st.integers(-3, 3),
    st.sampled_from([142_857, 142_858]),
    st.sampled_from([10**3, 10**5, SECOND, 60 * SECOND, 3600 * SECOND, 86400 * SECOND]),
    st.integers(0, 40 * 86400 * SECOND),
    st.integers(-70 * SECOND, 0),
    st.integers(-40 * 86400 * SECOND, 40 * 86400 * SECOND),
)
costs = st.one_of(st.integers(1, 5), st.integers(1, 30), st.integers(1, 10**6))
starts = st.integers(10**15, 4 * 10**15)
with_server = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@with_server
@given(
    st.lists(plans, min_size=1, max_size=3),
    starts,
    st.lists(st.tuples(moves, costs, st.integers(0, 2)), max_size=25),
)
def test_the_script_equals_the_model(decide, declared, now, steps) -> None:
    tenant, model = next(tenants), Model()
    subjects = [compiled_subject(caller_counters(tenant, "k", plan)) for plan in declared]
    for move, cost, plan in steps:
        now = max(0, now + move)
        subject = subjects[plan % len(subjects)]
        assert decide(subject, cost, now) == model.decide(subject.limits, cost, now)


small = st.integers(1, 12)


@with_server
@given(
    buckets("a", small),
    starts,
    st.data(),
)
def test_a_bucket_admits_no_more_than_its_burst_and_what_flowed_in(
    decide, limit, now, data
) -> None:
    subject = compiled_subject(caller_counters(next(tenants), "k", (limit,)))
    per_us = Fraction(limit.rate.count, limit.rate.period_s * SECOND)
    token_us = floor(1 / per_us)
    step = st.one_of(
        st.integers(0, 3), st.integers(max(0, token_us - 1), token_us + 1), st.integers(-9, 9)
    )
    steps = data.draw(st.lists(st.tuples(step, small)))
    spent_by = [(0, 0)]
    """How far the clock had moved forward, and what was spent by then."""
    forward_us = 0
    for move, cost in steps:
        now, forward_us = now + move, forward_us + max(0, move)
        if decide(subject, cost, now)[0]:
            spent_by.append((forward_us, spent_by[-1][1] + cost))
    for (_, spent_before), (began, _) in pairwise(spent_by):
        for ended, spent in spent_by:
            assert spent - spent_before <= limit.burst + per_us * max(0, ended - began)


@with_server
@given(
    st.builds(Quota, name=st.just("a"), quota=st.builds(Rate, small, periods)),
    starts,
    st.lists(st.tuples(st.integers(0, 10**6), small)),
)
def test_a_quota_admits_no_more_than_itself_in_any_window(decide, limit, now, steps) -> None:
    subject = compiled_subject(caller_counters(next(tenants), "k", (limit,)))
    period_s = units(limit).rate
    spent_in: dict[int, int] = {}
    for move, cost in steps:
        now += move
        if decide(subject, cost, now)[0]:
            start, _ = window(period_s, now)
            spent_in[start] = spent_in.get(start, 0) + cost
    assert all(spent <= limit.quota.count for spent in spent_in.values())


@with_server
@given(plans, starts, st.lists(st.tuples(moves, costs), max_size=10), st.integers(1, 30))
def test_who_waits_as_told_is_admitted_and_a_second_earlier_is_not(
    decide, limits, now, steps, cost
) -> None:
    subject = compiled_subject(caller_counters(next(tenants), "k", limits))
    for move, spent in steps:
        now = max(0, now + move)
        decide(subject, spent, now)
    cost = min(cost, subject.cost_max)
    reply = decide(subject, cost, now)
    admitted, *figures = reply
    if not admitted:
        remaining, seconds = figures[::2], figures[1::2]
        wait_s = max(s for left, s in zip(remaining, seconds, strict=True) if left < cost)
        assert decide(subject, cost, now + (wait_s - 1) * SECOND)[0] == 0
        assert decide(subject, cost, now + reply.wait_us - 1)[0] == 0
        assert decide(subject, cost, now + reply.wait_us)[0] == 1


@with_server
@given(plans, starts, st.lists(st.tuples(moves, costs), max_size=20))
def test_a_refusal_changes_no_answer(decide, limits, now, steps) -> None:
    """Two callers with equal limits; one of them also asks for what is refused."""
    plain, greedy = (
        compiled_subject(caller_counters(next(tenants), "k", limits)) for _ in range(2)
    )
    for move, cost in steps:
        now = max(0, now + move)
        too_much = max(plain.capacities) + 1
        assert decide(greedy, too_much, now)[0] == 0
        assert decide(plain, too_much, now)[0] == 0
        assert decide(greedy, too_much, now) == decide(greedy, too_much, now)
        assert decide(plain, cost, now) == decide(greedy, cost, now)


def test_the_model_s_windows_join_without_gap() -> None:
    moments = [window(0, month * 28 * 86400 * SECOND) for month in range(2000)]
    assert all(a == b or a[1] == b[0] for a, b in pairwise(moments))
