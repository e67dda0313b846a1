"""Sliding windows and quotas of a time zone through the whole chain, as clients meet them."""

import datetime
import zoneinfo
from typing import Any

import pytest

from tidegate.config import Config
from tidegate.testing import Kit, ScriptedUpstream

BERLIN = zoneinfo.ZoneInfo("Europe/Berlin")


async def opened(tidegate_kit: Any, upstream: ScriptedUpstream, *limits: dict[str, Any]) -> Kit:
    tenant = {"name": "acme", "plan": "pro", "keys": [{"name": "ci", "value": "k3y"}]}
    routes = [{"name": "a", "paths": ["/a"]}]
    service = {"name": "test", "targets": [upstream.url], "routes": routes}
    plans = {"pro": {"limits": limits}}
    config = {"version": 1, "plans": plans, "tenants": [tenant], "services": [service]}
    kit: Kit = await tidegate_kit(config=Config.model_validate(config))
    return kit


async def test_a_sliding_window_has_no_burst_and_no_boundary(tidegate_kit: Any) -> None:
    """Pain point 14: twice the limit around the boundary of a window."""
    window = {"name": "window", "rate": "3/h", "algorithm": "sliding-window"}
    async with ScriptedUpstream() as upstream:
        kit = await opened(tidegate_kit, upstream, window)
        answers = [await kit.get("/a", key="k3y") for _ in range(4)]
    assert [answer.status for answer in answers] == [200, 200, 200, 429]
    assert [answer.header("x-ratelimit-remaining") for answer in answers] == ["2", "1", "0", "0"]
    # The first of the three leaves the window an hour after it came.
    assert 3590 <= int(answers[-1].header("retry-after") or 0) <= 3600
    assert answers[0].header("ratelimit-policy") == '"window";q=3;w=3600'


def next_billing(now: datetime.datetime, day: int) -> datetime.datetime:
    """When the next month begins: at midnight there, on that day."""
    month = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    for _ in range(3):
        begin = month.replace(day=day)
        if begin > now:
            return begin
        month = (month + datetime.timedelta(days=32)).replace(day=1)
    raise AssertionError


@pytest.mark.parametrize("day", [1, 15, 28])
async def test_a_month_begins_on_its_billing_day_in_its_zone(tidegate_kit: Any, day: int) -> None:
    monthly = {
        "name": "monthly",
        "quota": "2/month",
        "time_zone": "Europe/Berlin",
        "billing_day": day,
    }
    async with ScriptedUpstream() as upstream:
        kit = await opened(tidegate_kit, upstream, monthly)
        answers = [await kit.get("/a", key="k3y") for _ in range(3)]
        (seconds, micros) = await kit.gateway.store.execute(b"TIME")
    assert [answer.status for answer in answers] == [200, 200, 429]
    now = datetime.datetime.fromtimestamp(int(seconds) + int(micros) / 1e6, BERLIN)
    left_s = next_billing(now, day).timestamp() - now.timestamp()
    assert abs(int(answers[-1].header("retry-after") or 0) - left_s) <= 3
