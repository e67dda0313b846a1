"""The larger script against a pure model of each kind of limit, for any mixture of them."""

from fractions import Fraction
from itertools import count, pairwise
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.rate_limiter.models import SECOND, LeaseModel, Model, calendar_window
from tidegate.config.fields import FILL_S_MAX
from tidegate.config.limits import Concurrency, Limit, Quota, SlidingWindow, TokenBucket
from tidegate.config.units import Rate
from tidegate.rate_limiter import Counter, Decision
from tidegate.rate_limiter.decision import decision
from tidegate.rate_limiter.limits import compiled_subject

UNITS = ("requests", "tokens")
ZONES = (
    "UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "America/St_Johns",
    "Pacific/Auckland", "Pacific/Apia", "Asia/Beirut", "America/Santiago",
)  # fmt: skip
states = (b"tg:limits:{all%d}:k:k" % number for number in count())

counts = st.one_of(st.integers(1, 12), st.integers(1, 12), st.sampled_from([1000, 1001, 10**6]))
shadows = st.sampled_from([False, False, False, True])
units = st.sampled_from([*UNITS, "requests"])


@st.composite
def buckets(draw: st.DrawFn, name: str) -> TokenBucket:
    rate = Rate(draw(counts), draw(st.sampled_from(["second", "minute", "hour"])))
    burst = min(draw(counts), FILL_S_MAX * rate.count // rate.period_s)
    return TokenBucket(name=name, rate=rate, burst=burst, shadow=draw(shadows), unit=draw(units))


@st.composite
def windows(draw: st.DrawFn, name: str) -> SlidingWindow:
    rate = Rate(draw(counts), draw(st.sampled_from(["second", "minute", "hour", "day"])))
    return SlidingWindow(
        name=name, rate=rate, algorithm="sliding-window", shadow=draw(shadows), unit=draw(units)
    )


@st.composite
def quotas(draw: st.DrawFn, name: str) -> Quota:
    period = draw(st.sampled_from(["day", "month", "month", "hour"]))
    return Quota(
        name=name,
        quota=Rate(draw(counts), period),
        time_zone=draw(st.sampled_from(ZONES)),
        billing_day=draw(st.integers(1, 31)) if period == "month" else 1,
        shadow=draw(shadows),
        unit=draw(units),
    )


@st.composite
def parallels(draw: st.DrawFn, name: str) -> Concurrency:
    lease = draw(st.sampled_from([1.0, 7.5, 30.0, 3600.0]))
    return Concurrency(
        name=name, concurrency=draw(st.integers(1, 5)), lease=lease, shadow=draw(shadows)
    )


def limit_named(name: str) -> st.SearchStrategy[Limit]:
    return st.one_of(buckets(name), windows(name), quotas(name), parallels(name))


plans = st.lists(st.sampled_from("abcde"), min_size=1, max_size=5, unique=True).flatmap(
    lambda names: st.tuples(*map(limit_named, names))
)
moves = st.one_of(
    st.integers(0, 3 * SECOND),
    st.integers(0, 3),
    st.sampled_from([SECOND, 10 * SECOND, 60 * SECOND, 3600 * SECOND, 86400 * SECOND]),
    st.integers(0, 90 * SECOND),
    st.integers(0, 40 * 86400 * SECOND),
)
costs = st.tuples(st.integers(0, 6), st.integers(0, 14))
starts = st.integers(14 * 10**14, 20 * 10**14)
with_server = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


class Asker:
    """A subject of its own with its model, and leases that nobody releases unless told."""

    def __init__(self, decide: Any, limits: tuple[Limit, ...]) -> None:
        self.subject = compiled_subject([Counter(next(states), limits)], UNITS, may_be_plain=False)
        self.model = Model(self.subject.limits)
        self._decide = decide
        self._leases = count()

    def wants(self, asked: tuple[int, ...]) -> list[int]:
        return [
            1 if isinstance(limit, Concurrency) else asked[unit]
            for limit, unit in zip(self.subject.limits, self.subject.unit_of, strict=True)
        ]

    def ask(self, asked: tuple[int, ...], now: int) -> list[Any]:
        lease = b"%d" % next(self._leases) if self.subject.leases else b""
        return self._decide(self.subject, asked, now, lease=lease)

    def look(self, now: int) -> list[Any]:
        return self._decide(self.subject, (0, 0), now)

    def settle(self, differences: tuple[int, ...], age: int, now: int) -> None:
        self._decide(self.subject, differences, now, age=b"%d" % age)

    def decided(self, asked: tuple[int, ...], now: int) -> Decision:
        return decision(self.subject, asked, list(self.ask(asked, now)))


asks = st.tuples(st.just("ask"), costs, st.just(0))
settlements = st.tuples(
    st.just("settle"),
    st.tuples(st.integers(-9, 9), st.integers(-30, 30)),
    st.one_of(st.integers(0, 5 * SECOND), st.integers(0, 2 * 3600 * SECOND)),
)
steps = st.lists(st.tuples(moves, st.one_of(asks, asks, settlements)), max_size=25)


@with_server
@given(plans, starts, steps)
def test_the_script_equals_the_model(decide, limits, now, steps) -> None:
    asker = Asker(decide, limits)
    for move, (what, amounts, age) in steps:
        now += move
        if what == "settle":
            asker.settle(amounts, age, now)
            differences = [amounts[unit] for unit in asker.subject.unit_of]
            asker.model.settle(differences, age, now)
            continue
        reply = asker.ask(amounts, now)
        size = 1 + 2 * len(limits)
        assert reply[:size] == asker.model.decide(asker.wants(amounts), now)
        assert (len(reply) > size) == bool(reply[0] and asker.subject.leases)


few = st.integers(1, 12)
single_kinds = st.sampled_from(("second", "minute", "day")).flatmap(
    lambda period: st.one_of(
        st.builds(
            TokenBucket, name=st.just("a"), rate=st.builds(Rate, few, st.just(period)), burst=few
        ),
        st.builds(
            SlidingWindow,
            name=st.just("a"),
            rate=st.builds(Rate, few, st.just(period)),
            algorithm=st.just("sliding-window"),
        ),
        st.builds(
            Quota,
            name=st.just("a"),
            quota=st.builds(Rate, few, st.just("day")),
            time_zone=st.sampled_from(ZONES),
        ),
    )
)
tenths = st.sampled_from([0, 0, 0, 1, 2, 3, 5, 9, 10, 11])
close_steps = st.lists(
    st.tuples(
        tenths,
        st.one_of(
            st.tuples(st.just("ask"), st.integers(1, 6), st.just(0)),
            st.tuples(st.just("settle"), st.integers(-9, 14), tenths),
        ),
    ),
    max_size=30,
)


@settings(parent=with_server, max_examples=120)
@given(single_kinds, starts, close_steps)
def test_one_limit_equals_its_model_while_it_is_settled(decide, limit, now, steps) -> None:
    """All happens within a few lengths of the limit: what is given back is of then, not of now."""
    asker = Asker(decide, (limit,))
    rate = limit.quota if isinstance(limit, Quota) else limit.rate
    tenth = rate.period_s * SECOND // 10
    for move, (what, amount, age) in steps:
        now += move * tenth
        if what == "settle":
            asker.settle((amount, 0), age * tenth, now)
            asker.model.settle((amount,), age * tenth, now)
        else:
            assert asker.ask((amount, 0), now) == asker.model.decide((amount,), now)


@with_server
@given(plans, starts, st.lists(st.tuples(moves, costs), max_size=10), costs)
def test_who_waits_as_told_is_admitted_and_a_second_earlier_is_not(
    decide, limits, now, steps, asked
) -> None:
    """Pain point 10: 429 without Retry-After, or with one that does not hold."""
    asker = Asker(decide, limits)
    for move, spent in steps:
        now += move
        asker.ask(spent, now)
    refused = asker.decided(asked, now)
    if not refused.allowed and refused.retry_after_s is not None:
        wait = refused.retry_after_s * SECOND
        assert asker.ask(asked, now + wait - SECOND)[0] == 0
        assert asker.ask(asked, now + wait)[0] == 1


@with_server
@given(plans, starts, st.lists(st.tuples(moves, costs), max_size=10), costs)
def test_the_header_fields_of_both_styles_say_the_same(decide, limits, now, steps, asked) -> None:
    asker = Asker(decide, limits)
    for move, spent in steps:
        now += move
        asker.ask(spent, now)
    decided = asker.decided(asked, now)
    shown = [limit for limit in asker.subject.limits if not limit.shadow]
    if not shown:
        assert decided.headers == ()
        return
    fields = {name.decode(): value.decode() for name, value in decided.headers}
    listed = _items(fields["ratelimit"])
    policies = _items(fields["ratelimit-policy"])
    assert list(listed) == list(policies) == [limit.name for limit in shown]
    tightest = [
        (int(policies[name]["q"]), int(listed[name]["r"]), int(listed[name]["t"]))
        for name in listed
    ]
    legacy = tuple(int(fields[f"x-ratelimit-{word}"]) for word in ("limit", "remaining", "reset"))
    assert legacy in tightest
    states = {state.name: state for state in decided.states}
    for name, item in listed.items():
        assert (states[name].remaining, states[name].reset_s) == (int(item["r"]), int(item["t"]))
    if decided.allowed:
        assert legacy[1] / legacy[0] == min(left / whole for whole, left, _ in tightest)
    elif decided.retry_after_s is not None:
        waits = [states[name].reset_s for name in decided.violated]
        assert decided.retry_after_s == legacy[2] == max(waits)


def _items(field: str) -> dict[str, dict[str, str]]:
    items = {}
    for item in field.split(", "):
        name, *parameters = item.split(";")
        items[name.strip('"')] = dict(parameter.split("=") for parameter in parameters)
    return items


@with_server
@given(plans, starts, st.lists(st.tuples(moves, costs), max_size=12), costs, st.integers(0, 999))
def test_a_refund_gives_back_exactly(decide, limits, now, steps, asked, later) -> None:
    """What is left, and when there is more, are as if the request had never been."""
    asker = Asker(decide, limits)
    for move, spent in steps:
        now += move
        asker.ask(spent, now)
    before = asker.look(now + later)
    reply = asker.ask(asked, now)
    if reply[0] and not asker.subject.leases and not any(limit.shadow for limit in limits):
        asker.settle(tuple(-cost for cost in asked), later, now + later)
        assert asker.look(now + later) == before


@with_server
@given(plans, starts, st.lists(st.tuples(moves, costs), max_size=25))
def test_a_refusal_changes_nothing_of_any_limit(decide, limits, now, steps) -> None:
    """Pain point 15: rejected requests are counted, and the client never recovers."""
    asker = Asker(decide, limits)
    for move, spent in steps:
        now += move
        before = asker.look(now)
        if not asker.ask(spent, now)[0]:
            assert asker.look(now) == before


@with_server
@given(windows("a"), starts, st.lists(st.tuples(st.integers(-9, 40), st.integers(1, 12))))
def test_a_window_admits_no_more_than_itself_wherever_it_begins(decide, limit, now, steps) -> None:
    """Pain point 14: twice the limit around the end of a window."""
    limit = limit.model_copy(update={"shadow": False, "unit": "requests"})
    asker = Asker(decide, (limit,))
    length = limit.rate.period_s * SECOND
    real, spent = 0, []
    for tenths, cost in steps:
        move = tenths * length // 10
        now, real = now + move, real + max(0, move)
        if asker.ask((cost, 0), now)[0]:
            spent.append((real, cost))
    for start, _ in spent:
        inside = sum(cost for at, cost in spent if start <= at < start + length)
        assert inside <= limit.rate.count


@with_server
@given(quotas("a"), starts, st.lists(st.tuples(moves, st.integers(1, 12)), max_size=20))
def test_a_quota_admits_no_more_than_itself_in_any_window(decide, limit, now, steps) -> None:
    limit = limit.model_copy(update={"shadow": False, "unit": "requests"})
    asker = Asker(decide, (limit,))
    spent_in: dict[int, int] = {}
    for move, cost in steps:
        now += move
        if asker.ask((cost, 0), now)[0]:
            start, _ = calendar_window(limit, now)
            spent_in[start] = spent_in.get(start, 0) + cost
    assert all(spent <= limit.quota.count for spent in spent_in.values())


@with_server
@given(buckets("a"), starts, st.lists(st.tuples(moves, costs, st.integers(0, 6)), max_size=20))
def test_what_a_bucket_admits_less_what_it_gave_back_is_bounded(decide, limit, now, steps) -> None:
    limit = limit.model_copy(update={"shadow": False, "unit": "requests"})
    asker = Asker(decide, (limit,))
    per_us = Fraction(limit.rate.count, limit.rate.period_s * SECOND)
    net = [(now, 0)]
    for move, (cost, _), back in steps:
        now += move
        taken = cost if asker.ask((cost, 0), now)[0] else 0
        given = min(back, taken)
        asker.settle((-given, 0), 0, now)
        net.append((now, net[-1][1] + taken - given))
    for (_, before), (began, _) in pairwise(net):
        assert all(
            after - before <= limit.burst + per_us * (at - began)
            for at, after in net
            if at >= began
        )


@with_server
@given(parallels("a"), starts, st.lists(st.tuples(st.integers(0, 20), st.booleans()), max_size=30))
def test_no_more_leases_are_alive_than_the_limit_says(decide, server, limit, now, steps) -> None:
    asker = Asker(decide, (limit.model_copy(update={"shadow": False}),))
    ((key, lasts),) = asker.subject.leases
    alive: dict[bytes, int] = {}
    for tenths, releases in steps:
        now += tenths * lasts // 10
        alive = {lease: end for lease, end in alive.items() if end > now}
        if releases and alive:
            lease, _ = alive.popitem()
            server.zrem(key, lease)
        elif (reply := asker.ask((1, 0), now))[0]:
            alive[reply[-1]] = now + lasts
        assert len(alive) <= limit.concurrency
        model = LeaseModel(limit)
        model.ends = list(alive.values())
        assert asker.look(now)[1] == limit.concurrency - model.used(now)
