"""What a caller is told of himself is free, and so it is bounded in what it costs others."""

import asyncio
import json

from tests.gateway.usage_kit import PATH, usage
from tidegate.gateway import caller_usage, limits_left
from tidegate.telemetry.usage import Amounts


async def test_counts_are_read_anew_only_after_a_while(kit_of, monkeypatch):
    kit = await kit_of()
    reads = []

    async def read(*arguments):
        reads.append(arguments)
        return Amounts(1, 0, 0)

    monkeypatch.setattr(caller_usage, "read_key_usage", read)
    for _ in range(5):
        await usage(kit)
    assert len(reads) == 1


async def test_a_caller_that_asks_on_and_on_is_told_to_wait_and_others_are_not(kit_of):
    kit = await kit_of()
    kit.gateway._usage._clock = lambda: 1000.5
    for _ in range(caller_usage.ASKS_A_SECOND):
        await usage(kit)
    answer = await kit.get(PATH, key="acme_key")
    assert (answer.status, answer.header("retry-after")) == (429, "1")
    assert json.loads(answer.body)["type"].endswith("usage-throttled")
    await usage(kit, key="other_key")
    kit.gateway._usage._clock = lambda: 1001.5
    await usage(kit)


async def test_routes_beyond_the_bound_cost_nothing(kit_of, monkeypatch):
    monkeypatch.setattr(caller_usage, "ROUTES_MAX", 2)
    names = [f"r{n}" for n in range(5)]
    routes = [{"name": name, "paths": [f"/{name}"]} for name in names]
    on_route = {"limits": [{"name": "slow", "rate": "1/s"}]}
    kit = await kit_of(plan={"routes": dict.fromkeys(names, on_route)}, routes=routes)
    told = (await usage(kit))["limits"]
    assert [limit["route"] for limit in told if limit["route"]] == ["r0", "r1"]


class Watched:
    """Counts what is asked of the store: in all, and at a time."""

    def __init__(self, store):
        self.calls = self.now = self.most = 0
        for name in ("call", "execute"):
            setattr(self, name, self._counting(getattr(store, name)))

    def _counting(self, ask):
        def asked(*arguments, **options):
            self.calls += 1
            self.now += 1
            self.most = max(self.most, self.now)
            answer = ask(*arguments, **options)
            answer.add_done_callback(lambda _: setattr(self, "now", self.now - 1))
            return answer

        return asked


async def crowded(kit_of, monkeypatch):
    """Open a kit of 30 callers and 50 routes, each with limits of its own; return it, watched."""
    names = [f"r{n}" for n in range(50)]
    keys = [{"name": f"k{n}", "value": f"key_{n}"} for n in range(30)]
    on_route = {"limits": [{"name": "slow", "rate": "9/s"}, {"name": "day", "quota": "99/day"}]}
    kit = await kit_of(
        plan={"routes": dict.fromkeys(names, on_route)},
        routes=[{"name": name, "paths": [f"/{name}"]} for name in names],
        tenants=[{"name": "acme", "plan": "pro", "keys": keys}],
    )
    watched = Watched(kit.gateway.store)
    monkeypatch.setattr(kit.gateway._usage, "_store", watched)
    monkeypatch.setattr(kit.gateway.parts.limiter, "_call", watched.call)
    return kit, watched


async def test_however_many_ask_at_once_the_store_is_asked_little_at_a_time(kit_of, monkeypatch):
    """Nothing that is free keeps other tenants' requests waiting behind it."""
    kit, watched = await crowded(kit_of, monkeypatch)
    asking = [usage(kit, key=f"key_{n}") for n in range(20)]
    told = await asyncio.gather(*asking)
    assert {len(each["limits"]) for each in told} == {caller_usage.LIMITS_MAX}
    assert watched.most <= limits_left.ASKED_AT_ONCE
    assert watched.calls <= 20 * (caller_usage.ROUTES_MAX + 2)


async def test_who_asks_again_and_again_is_told_what_was_read_a_moment_ago(kit_of, monkeypatch):
    kit, watched = await crowded(kit_of, monkeypatch)
    kit.gateway._usage._clock = lambda: 1000.2
    first = await usage(kit, key="key_1")
    calls = watched.calls
    again = await asyncio.gather(*(usage(kit, key="key_1") for _ in range(10)))
    assert again == [first] * 10
    assert watched.calls == calls
    kit.gateway._usage._clock = lambda: 1000.2 + caller_usage.ANSWER_KEPT_S
    await usage(kit, key="key_1")
    assert watched.calls > calls


async def test_what_a_stranger_says_of_his_address_does_not_make_it_be_read_anew(
    kit_of, monkeypatch
):
    kit = await kit_of(plan={"limits": [{"name": "a", "rate": "9/s", "per": "address"}]})
    watched = Watched(kit.gateway.store)
    monkeypatch.setattr(kit.gateway.parts.limiter, "_call", watched.call)
    kit.gateway._usage._clock = lambda: 1000.2
    for n in range(5):
        await usage(kit, **{"x-forwarded-for": f"203.0.113.{n}"})
    assert watched.calls == 1


async def test_what_was_read_for_another_address_or_value_is_not_told(kit_of):
    user = {"name": "user", "rate": "1/h", "burst": 9, "per": "header:x-user"}
    kit = await kit_of(plan={"limits": [user]})
    await kit.get("/x", key="acme_key", headers={"x-user": "ann"})
    left = {
        user: (await usage(kit, **{"x-user": user}))["limits"][0]["remaining"]
        for user in ("ann", "bob", "ann")
    }
    assert left == {"ann": 8, "bob": 9}


async def test_beyond_those_who_can_wait_for_their_turn_askers_come_back_later(kit_of, monkeypatch):
    monkeypatch.setattr(caller_usage, "WAITING_MAX", 3)
    kit, _ = await crowded(kit_of, monkeypatch)
    asked = (kit.get(PATH, key=f"key_{n}") for n in range(10))
    statuses = [answer.status for answer in await asyncio.gather(*asked)]
    assert sorted(statuses) == [200] * 3 + [429] * 7
    assert kit.gateway._usage._waiting == 0
    await usage(kit, key="key_9")


async def test_who_leaves_while_waiting_leaves_the_line(kit_of, monkeypatch):
    kit, _ = await crowded(kit_of, monkeypatch)
    asking = [asyncio.create_task(kit.get(PATH, key=f"key_{n}")) for n in range(5)]
    async with asyncio.timeout(5):
        while kit.gateway._usage._waiting < 5:  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0)
    for task in asking[:4]:
        task.cancel()
    await asyncio.gather(*asking, return_exceptions=True)
    assert asking[4].result().status == 200
    assert kit.gateway._usage._waiting == 0
