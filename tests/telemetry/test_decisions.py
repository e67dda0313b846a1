"""Decision records: cheap to make, and read no further than somebody looks."""

import json
from types import SimpleNamespace

from tidegate.telemetry import DecisionSamples, recent_decisions
from tidegate.telemetry.meters import Meter

FACTS = SimpleNamespace(
    caller=None, decision=None, request_id=b"abc", source="gateway", cache_status=None
)


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
