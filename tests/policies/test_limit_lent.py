"""Leased limits, through the chain: few trips, every field, and nothing beyond the bound."""

import asyncio

import pytest

from tests.policies.test_limit_again import decisions


@pytest.fixture
def lent_kit(tidegate_kit):
    """A kit that knows how many workers there are: one, unless told."""

    async def opened(**options):
        kit = await tidegate_kit(**options)
        kit.gateway.parts.limiter.degraded.note_workers(1)
        return kit

    return opened


LEASED = [{"name": "steady", "rate": "1/h", "burst": 200, "precision": "leased"}]


async def test_of_a_hot_key_few_requests_ask_the_store(lent_kit, tidegate_store):
    kit = await lent_kit(plan=[{**LEASED[0], "rate": "10000/s", "burst": 10000}])
    before = await decisions(tidegate_store)
    answers = [await kit.get("/api/x") for _ in range(400)]
    assert {answer.status for answer in answers} == {200}
    assert await decisions(tidegate_store) - before < 100
    for answer in answers:
        assert answer.header("x-ratelimit-limit") == "10000"
        assert 0 <= int(answer.header("x-ratelimit-remaining")) < 10000
        assert answer.header("ratelimit-policy") == '"steady";q=10000;w=1'
        assert answer.header("ratelimit") is not None
    assert len(kit.upstream.requests) == 400


async def test_one_worker_admits_the_burst_and_not_one_more(lent_kit):
    kit = await lent_kit(plan=LEASED)
    statuses = [(await kit.get("/api/x")).status for _ in range(300)]
    held = kit.gateway.parts.borrower.held
    assert statuses.count(200) + held == 200
    assert held <= 20
    assert statuses.count(429) == 100 + held


async def test_a_worker_that_ends_gives_back_what_it_holds(lent_kit, tidegate_store):
    kit = await lent_kit(plan=LEASED)
    for _ in range(60):
        await kit.get("/api/x")
    assert kit.gateway.parts.borrower.held > 0
    kit.gateway.parts.borrower.close()
    for _ in range(3):  # a batch may be under way, and the script that gives back new to the server
        await tidegate_store.execute("PING")
    other = await lent_kit(plan=[{**LEASED[0], "precision": "exact"}])
    assert (await other.get("/api/x")).header("x-ratelimit-remaining") == "139"


@pytest.mark.parametrize("cost", [2, 7])
async def test_what_costs_more_takes_more_of_what_is_held(lent_kit, cost):
    kit = await lent_kit(plan=LEASED, route={"cost": cost})
    statuses = [(await kit.get("/api/x")).status for _ in range(200)]
    spent = statuses.count(200) * cost + kit.gateway.parts.borrower.held
    assert 200 - cost < spent <= 200


async def test_two_workers_together_stay_within_a_tenth_more(lent_kit):
    kits = [await lent_kit(plan=LEASED) for _ in range(2)]
    for kit in kits:
        kit.gateway.parts.limiter.degraded.note_workers(2)

    async def asks(kit) -> int:
        return sum([(await kit.get("/api/x")).status == 200 for _ in range(200)])

    admitted = sum(await asyncio.gather(*map(asks, kits)))
    held = sum(kit.gateway.parts.borrower.held for kit in kits)
    assert admitted + held == 200
    assert held <= 20


async def test_what_costs_nothing_passes_a_leased_limit(lent_kit):
    kit = await lent_kit(plan=LEASED, route={"cost": {"GET": 0, "default": 1}})
    assert [(await kit.get("/api/x")).status for _ in range(5)] == [200] * 5
