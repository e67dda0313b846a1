"""Decision records: cheap to make, and read no further than somebody looks."""

import json
from time import perf_counter, time
from types import SimpleNamespace

import pytest

from tidegate.config.schema import Redis
from tidegate.store import open_store
from tidegate.telemetry import DecisionSamples, decisions_after, recent_decisions
from tidegate.telemetry.decisions import (
    REFUSALS_A_FLUSH,
    REFUSALS_OF_ONE,
    SAMPLES_A_FLUSH,
    SAMPLES_OF_ONE,
)
from tidegate.telemetry.meters import Meter

FACTS = SimpleNamespace(
    caller=None,
    decision=None,
    request_id=b"abc",
    source="gateway",
    cache_status=None,
    decided_at=0.0,
)


METER = Meter("s", "r")


def facts_of(key_id, **said):
    caller = SimpleNamespace(tenant="acme", plan="pro", key_id=key_id)
    return SimpleNamespace(**{**vars(FACTS), "caller": caller, **said})


@pytest.fixture
async def away(tmp_path):
    """A store that nobody serves."""
    nowhere = Redis(url=f"unix://{tmp_path}/none.sock")
    store = await open_store(nowhere, tmp_path, wait_s=0.01, require=False)
    yield store
    await store.aclose()


def made(*args, **options):
    raise AssertionError("an encoder is made for one record")


async def test_a_record_makes_no_encoder_of_its_own(valkey, monkeypatch):
    samples = DecisionSamples(0.01, 100)
    with monkeypatch.context() as patched:
        patched.setattr(json, "JSONEncoder", made)
        samples.take_refusal(Meter("s", "r"), FACTS, "GET", 401)
    await samples.flush(valkey)
    (record,) = [record async for record in recent_decisions(valkey, 10)]
    assert (record["request_id"], record["status"], record["limits"]) == ("abc", 401, [])


async def test_a_record_says_for_how_many_requests_it_stands(valkey):
    samples = DecisionSamples(0.25, 1000)
    meter = Meter("s", "r")
    samples.take_some(meter, [(FACTS, "GET", 200, 0, 0.0)] * 8)
    samples.take_refusal(meter, FACTS, "GET", 429)
    await samples.flush(valkey)
    records, _ = await decisions_after(valkey, "0", 10)
    assert [(r["verdict"], r["weight"]) for r in records] == [
        ("admitted", 4),
        ("admitted", 4),
        ("refused", 1),
    ]


async def test_what_there_was_no_room_for_is_told_by_the_next_record(valkey):
    samples = DecisionSamples(0.01, 1000)
    for number in range(REFUSALS_A_FLUSH + 7):
        samples.take_refusal(METER, facts_of(f"key_{number}"), "GET", 429)
    await samples.flush(valkey)
    for _ in range(2):
        samples.take_refusal(METER, FACTS, "GET", 429)
    await samples.flush(valkey)
    records, _ = await decisions_after(valkey, "0", 1000)
    assert [r["unrecorded"] for r in records] == [0] * REFUSALS_A_FLUSH + [7, 0]
    assert samples.dropped == 7


@pytest.mark.parametrize("one", [FACTS, facts_of("key_greedy")])
async def test_of_one_key_only_so_many_refusals_are_taken(valkey, one):
    """Its refusals alone were the whole stream after 100 seconds."""
    samples = DecisionSamples(0.01, 1000)
    for _ in range(REFUSALS_A_FLUSH * 2):
        samples.take_refusal(METER, one, "GET", 429)
    samples.take_refusal(METER, facts_of("key_other"), "GET", 429)
    await samples.flush(valkey)
    samples.take_refusal(METER, one, "GET", 429)
    await samples.flush(valkey)
    records, _ = await decisions_after(valkey, "0", 1000)
    left_out = REFUSALS_A_FLUSH * 2 - REFUSALS_OF_ONE
    assert len(records) == REFUSALS_OF_ONE + 2
    assert (records[-2]["key_id"], records[-2]["unrecorded"]) == ("key_other", left_out)
    assert sum(r["weight"] + r["unrecorded"] for r in records) == REFUSALS_A_FLUSH * 2 + 2


async def test_of_one_key_only_so_many_samples_are_taken(valkey):
    samples = DecisionSamples(0.5, 10_000)
    one, other = (facts_of(key, source="upstream") for key in ("key_greedy", "key_other"))
    samples.take_some(METER, [(one, "GET", 200, 0, 0.0)] * (SAMPLES_A_FLUSH * 4))
    samples.take_some(METER, [(other, "GET", 200, 0, 0.0)] * 2)
    samples.take_refusal(METER, one, "GET", 429)
    await samples.flush(valkey)
    records, _ = await decisions_after(valkey, "0", 10_000)
    assert len(records) == SAMPLES_OF_ONE + 2
    assert records[-2]["unrecorded"] == SAMPLES_A_FLUSH * 4 - SAMPLES_OF_ONE * 2


async def test_what_a_flush_loses_is_told_by_the_next_record(valkey, away):
    samples = DecisionSamples(0.25, 1000)
    for _ in range(REFUSALS_OF_ONE + 3):
        samples.take_refusal(METER, FACTS, "GET", 429)
    samples.take_some(METER, [(facts_of("key", source="upstream"), "GET", 200, 0, 0.0)] * 4)
    await samples.flush(away)
    samples.take_refusal(METER, FACTS, "GET", 429)
    await samples.flush(valkey)
    (record,), _ = await decisions_after(valkey, "0", 10)
    assert record["unrecorded"] == REFUSALS_OF_ONE + 3 + 4
    assert samples.dropped == 3 + REFUSALS_OF_ONE + 1


async def test_records_are_read_forward_page_by_page_and_from_a_time_on(valkey):
    samples = DecisionSamples(0.01, 1000)
    for status in (401, 403, 429):
        samples.take_refusal(Meter("s", "r"), FACTS, "GET", status)
    await samples.flush(valkey)
    first, place = await decisions_after(valkey, "0", 2)
    second, end = await decisions_after(valkey, place, 2)
    assert [r["status"] for r in first + second] == [401, 403, 429]
    assert end is None
    assert await decisions_after(valkey, str(2**45), 2) == ([], None)
    assert await decisions_after(valkey, "no place", 2) == ([], None)


async def test_a_record_tells_when_it_was_decided_not_when_a_slow_service_answered(valkey):
    now = perf_counter()
    facts = SimpleNamespace(**{**vars(FACTS), "source": "upstream", "decided_at": now - 40})
    samples = DecisionSamples(1, 10)
    samples.take_some(Meter("s", "r"), [(facts, "GET", 200, 0, now - 10)])
    await samples.flush(valkey)
    (record,), _ = await decisions_after(valkey, "0", 10)
    assert abs(time() - 40 - record["time"]) < 1
