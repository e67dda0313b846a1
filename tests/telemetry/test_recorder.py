"""What recording keeps of a request, and what it must let go of."""

import asyncio
import gc
import os
import weakref
from types import SimpleNamespace

import pytest

from tidegate.http import Headers, Request, Response
from tidegate.http.errors import TooManyRequests
from tidegate.telemetry import recorder as module
from tidegate.telemetry.access_log import AccessLog
from tidegate.telemetry.log_lines import JsonLines, pretty_line
from tidegate.telemetry.recorder import Recorder


class Held:
    """Stands for what is large: a body, a cached answer."""


def facts(**known):
    defaults = dict.fromkeys(("caller", "cache_status", "target", "decision"))
    return SimpleNamespace(
        **{**defaults, "source": "upstream", "path": b"/api", "started_at": 0.0, "decided_at": 0.0,
           "forwarded_at": 0.0, "request_id": b"abc", **known}
    )  # fmt: skip


def request(body=b""):
    headers = Headers([(b"x-api-key", b"hush"), (b"authorization", b"Bearer hush")])
    return Request("POST", b"/api", headers, query=b"a=1", body=body, client="::1")


async def test_a_line_that_waits_holds_neither_the_request_nor_what_the_policies_know():
    log = AccessLog(1, pretty_line)
    recorder = Recorder(log, None)
    body, answer = Held(), Held()
    gone = weakref.ref(body), weakref.ref(answer)
    recorder.answered(recorder.unrouted, facts(pending_cache=answer), request(body), Response(200))
    del body, answer
    recorder.folded()
    gc.collect()
    assert [held() for held in gone] == [None, None]
    assert len(log._gathered) == 1
    log._gathered.clear()


@pytest.mark.parametrize("line", [JsonLines(), pretty_line])
async def test_no_header_field_is_ever_in_the_log(line):
    reading, writing = os.pipe()
    log = AccessLog(writing, line)
    recorder = Recorder(log, None)
    recorder.answered(recorder.unrouted, facts(), request(), Response(200))
    await log.aclose()
    os.close(writing)
    with os.fdopen(reading) as file:
        text = await asyncio.to_thread(file.read)
    assert "/api?a=1" in text
    assert "hush" not in text


async def test_limits_of_plans_that_come_and_go_are_bounded_and_none_is_lost(monkeypatch):
    monkeypatch.setattr(module, "LIMITS_MAX", 2)
    recorder = Recorder(None, None)
    for plan in ("a", "b", "c", "d", "a"):
        known = facts(
            caller=SimpleNamespace(tenant="t", plan=plan, key_id="k"),
            decision=SimpleNamespace(allowed=False, violated=("steady",)),
        )
        recorder.failed(recorder.unrouted, known, request(), TooManyRequests())
    assert recorder.limit_refusals == {("a", "steady"): 2, ("b", "steady"): 1, ("", ""): 2}
    recorder.unrouted.records.clear()


async def test_a_refusal_of_nobody_counts_under_no_plan():
    recorder = Recorder(None, None)
    known = facts(decision=SimpleNamespace(allowed=False, violated=("per-address",)))
    recorder.failed(recorder.unrouted, known, request(), TooManyRequests())
    assert recorder.limit_refusals == {("", "per-address"): 1}
    recorder.unrouted.records.clear()
