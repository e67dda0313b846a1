"""The limiter on real servers, through the gateway's own connections."""

import asyncio

from tidegate.config.schema import Concurrency, Limit, Quota, SlidingWindow, TokenBucket
from tidegate.config.units import parse_rate
from tidegate.rate_limiter import Counter, Decision, Limiter, Subject, caller_counters
from tidegate.store import Store

HUNDRED = TokenBucket(name="hundred", rate=parse_rate("1/h"), burst=100)
SHARED = Quota(name="shared", quota=parse_rate("1000000/month"), per="tenant")


async def decided(limiter: Limiter, subject: Subject, cost: int = 1) -> Decision:
    return limiter.decision(subject, (cost,), await limiter.ask(subject, (cost,)))


def subject(limiter: Limiter, *limits: Limit, tenant: str = "acme", key: str = "k") -> Subject:
    return limiter.subject(caller_counters(tenant, key, limits))


async def test_two_thousand_at_once_over_two_connections_admit_exactly_the_burst(
    limit_stores: list[Store],
) -> None:
    limiters = [Limiter(store) for store in limit_stores]
    asked = [subject(limiter, HUNDRED, SHARED) for limiter in limiters]
    decisions = await asyncio.gather(*(decided(limiters[n % 2], asked[n % 2]) for n in range(2000)))
    assert sum(decision.allowed for decision in decisions) == 100
    last = await decided(limiters[0], asked[0])
    assert [state.remaining for state in last.states] == [0, 1_000_000 - 100]


async def test_a_server_that_forgot_the_script_is_taught_it_without_a_double_spend(
    limit_stores: list[Store],
) -> None:
    limiter = Limiter(limit_stores[0])
    asked = subject(limiter, HUNDRED)
    for remaining in (99, 98):
        await limit_stores[1].execute("SCRIPT", "FLUSH")
        assert (await decided(limiter, asked)).states[0].remaining == remaining


async def test_questions_of_one_tick_are_decided_in_order(limit_stores: list[Store]) -> None:
    limiter = Limiter(limit_stores[0])
    asked = subject(limiter, HUNDRED)
    await decided(limiter, asked)
    replies = await asyncio.gather(*[limiter.ask(asked, (1,)) for _ in range(20)])
    assert [reply[1] for reply in replies] == list(range(98, 78, -1))


async def test_who_waits_as_told_is_admitted_on_the_server_s_clock(
    limit_stores: list[Store],
) -> None:
    limiter = Limiter(limit_stores[0])
    asked = subject(limiter, TokenBucket(name="a", rate=parse_rate("1/s"), burst=1))
    assert (await decided(limiter, asked)).allowed
    refused = await decided(limiter, asked)
    assert refused.retry_after_s == 1
    await asyncio.sleep(refused.retry_after_s)
    assert (await decided(limiter, asked)).allowed


async def test_a_key_s_reset_leaves_other_keys_and_what_is_shared(
    limit_stores: list[Store],
) -> None:
    limiter = Limiter(limit_stores[0])
    one, two = (subject(limiter, HUNDRED, SHARED, key=key) for key in ("one", "two"))
    for asked in (one, two):
        await decided(limiter, asked, 50)
    assert await limiter.reset("acme", "one") == 1
    assert [s.remaining for s in (await decided(limiter, one)).states] == [99, 999_899]
    assert [s.remaining for s in (await decided(limiter, two)).states] == [49, 999_898]


async def test_a_tenant_s_reset_covers_all_its_keys_and_no_other_tenant(
    limit_stores: list[Store],
) -> None:
    limiter = Limiter(limit_stores[0])
    keys = [subject(limiter, HUNDRED, SHARED, key=f"k{n}") for n in range(50)]
    other = subject(limiter, HUNDRED, SHARED, tenant="acme2")
    for asked in (*keys, other):
        await decided(limiter, asked)
    assert await limiter.reset("acme") == 51
    assert await limiter.reset("acme") == 0
    assert [s.remaining for s in (await decided(limiter, keys[0])).states] == [99, 999_999]
    assert [s.remaining for s in (await decided(limiter, other)).states] == [98, 999_998]


async def test_a_tenant_that_is_called_as_a_state_outside_is_reset_apart_from_it(
    limit_stores: list[Store],
) -> None:
    limiter = Limiter(limit_stores[0])
    window = SlidingWindow(
        name="window", rate=parse_rate("100/h"), algorithm="sliding-window", per="global"
    )
    leases = Concurrency(name="leases", concurrency=100, lease=60, per="global")
    shared = [
        limiter.subject([Counter(state, (limit,), is_outside=True)])
        for state, limit in (
            (b"tg:limits:{g}", HUNDRED),
            (b"tg:limits:{g}:p:pro", HUNDRED),
            (b"tg:limits:{g}", window),
            (b"tg:limits:{g}", leases),
        )
    ]
    own = subject(limiter, HUNDRED, SHARED, tenant="g")

    async def left() -> list[int]:
        of_all = [state for one in (*shared, own) for state in await limiter.states(one)]
        return [state.remaining for state in of_all]

    for one in (*shared, own):
        await decided(limiter, one)
    assert await left() == [99] * 5 + [999_999]
    assert await limiter.reset("g") == 2
    assert await left() == [99] * 4 + [100, 1_000_000]
    await decided(limiter, own)
    assert await limiter.reset_outside(b"tg:limits:{g}") == 4
    assert await left() == [100] * 4 + [99, 999_999]


async def test_asking_what_is_left_spends_nothing(limit_stores: list[Store]) -> None:
    limiter = Limiter(limit_stores[0])
    asked = subject(limiter, HUNDRED, SHARED)
    assert [state.remaining for state in await limiter.states(asked)] == [100, 1_000_000]
    assert await limit_stores[0].execute("KEYS", "*") == []
    await decided(limiter, asked, 97)
    for _ in range(2):
        left = await limiter.states(asked)
        assert [(state.remaining, state.is_violated) for state in left] == [
            (3, False),
            (999_903, False),
        ]
        assert left[0].reset_s > 0
    await decided(limiter, asked, 3)
    assert [state.is_violated for state in await limiter.states(asked)] == [True, False]


async def test_more_spent_than_a_lower_quota_gives_is_shown_as_nothing_left(
    limit_stores: list[Store],
) -> None:
    limiter = Limiter(limit_stores[0])
    await decided(limiter, subject(limiter, SHARED), 50)
    lower = Quota(name="shared", quota=parse_rate("10/month"), per="tenant")
    (state,) = await limiter.states(subject(limiter, lower))
    assert (state.remaining, state.is_violated) == (0, True)
