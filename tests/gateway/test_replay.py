"""What if: recorded decisions decided again, with answers that are known beforehand.

Opening 6 of the peers' survey: no other gateway says whom a change of limits would hit.
"""

from typing import Any

import pytest

from tidegate.config import Config
from tidegate.gateway.proposed_limits import API_TENANTS, ProposedLimits
from tidegate.gateway.replay import (
    OTHER_REASONS,
    OTHERS,
    REASONS_MAX,
    ROWS_MAX,
    Replay,
    Row,
    in_order,
)
from tidegate.identity.models import file_key_id

START = 1_800_000_000.0
CI = file_key_id("acme", "ci")
DAILY = {"name": "daily", "quota": "150/day"}
NIGHTLY = file_key_id("acme", "nightly")


def proposed(*limits: dict[str, Any], **more: Any) -> Replay:
    """A replay of one plan with these limits; `more` adds to the configuration."""
    routes = [{"name": "api", "paths": ["/api"]}, {"name": "search", "paths": ["/s"], "cost": 5}]
    keys = [{"name": name, "value": f"{name}_value"} for name in ("ci", "nightly")]
    config = {
        "version": 1,
        "plans": {"pro": {"limits": list(limits)}},
        "tenants": [{"name": "acme", "plan": "pro", "keys": keys}],
        "services": [{"name": "test", "targets": ["http://127.0.0.1:9000"], "routes": routes}],
    }
    return Replay(ProposedLimits(Config.model_validate(config | more)), START, START + 3600)


def bucket(rate: str, burst: int, **more: Any) -> dict[str, Any]:
    return {"name": "steady", "rate": rate, "burst": burst, **more}


def record(at: float, key: str = CI, **said: Any) -> dict[str, Any]:
    return {
        "time": START + at,
        "route": "api",
        "method": "GET",
        "status": 200,
        "verdict": "admitted",
        "weight": 1,
        "unrecorded": 0,
        "tenant": "acme",
        "plan": "old",
        "key_id": key,
        "cost": 1,
        "limits": [{"name": "steady", "capacity": 100, "remaining": 50}],
    } | said


def refused(at: float, **said: Any) -> dict[str, Any]:
    return record(at) | {"verdict": "refused", "status": 429} | said


def replayed(replay: Replay, *records: dict[str, Any]) -> dict[str, Row]:
    for one in records:
        replay.add(one)
    return {row.key: row for row in replay.rows.values()}


def test_a_bucket_refuses_what_its_burst_and_its_rate_leave_over() -> None:
    """Burst 4, one a second: of ten at once six are refused, of ten in twenty seconds none."""
    replay = proposed(bucket("1/s", 4))
    at_once = [record(0.0) for _ in range(10)]
    spread = [record(2.0 * number, NIGHTLY) for number in range(10)]
    rows = replayed(replay, *at_once, *spread)
    ci, nightly = rows["ci"], rows["nightly"]
    assert (ci.requests, ci.met, ci.would, ci.newly, ci.by) == (10, 0, 6, 6, {"steady": 6})
    assert (nightly.requests, nightly.would) == (10, 0)
    assert replay.slots[0] == [0, 6]


def test_what_an_answer_used_counts_where_it_was_recorded() -> None:
    route = {
        "name": "api",
        "paths": ["/api"],
        "costs": {"tokens": {"reserve": 9, "settle": {"json": "usage.total"}}},
    }
    service = {"name": "test", "targets": ["http://127.0.0.1:9000"], "routes": [route]}
    replay = proposed(bucket("1/h", 100, unit="tokens"), services=[service])
    used = [record(n, costs={"tokens": 40}) for n in range(3)]
    row = replayed(replay, *used, record(4))["ci"]
    assert (row.requests, row.would) == (4, 1)
    assert list(replay._proposed.left_out) == [
        'limit "steady": records do not tell what answers used in tokens'
    ]


def test_who_met_429_and_would_not_is_told() -> None:
    replay = proposed(bucket("100/s", 100))
    row = replayed(replay, record(0), refused(0.1), refused(0.2))["ci"]
    assert (row.requests, row.met, row.would, row.freed, row.newly) == (3, 2, 0, 2, 0)


def test_a_403_of_then_is_no_429_that_was_met() -> None:
    """A request that costs more than a limit holds: the record has the limits that were asked."""
    replay = proposed(bucket("1/h", 1))
    row = replayed(replay, record(0), refused(0.1, status=403), refused(0.2))["ci"]
    assert (row.requests, row.met, row.would, row.newly, row.freed) == (3, 1, 2, 0, 0)
    assert replay.slots[0] == [1, 2]


def test_what_would_meet_403_is_told_apart() -> None:
    replay = proposed(bucket("1/h", 4), {"name": "tiny", "rate": "1/h", "burst": 1, "shadow": True})
    rows = replayed(replay, record(0, route="search"), refused(1, route="search", status=403))
    assert rows == {}
    assert dict(replay.not_replayed) == {
        'requests cost more than the limit "steady" ever holds: they would meet 403': 2
    }


def test_keys_of_a_tenant_share_what_is_per_tenant() -> None:
    hourly = {"name": "hourly", "quota": "3/hour", "per": "tenant"}
    rows = replayed(proposed(hourly), *(record(n, (CI, NIGHTLY)[n % 2]) for n in range(6)))
    assert (rows["ci"].would, rows["nightly"].would) == (1, 2)


def test_the_proposed_cost_counts_and_the_proposed_route() -> None:
    row = replayed(proposed(bucket("1/h", 10)), *(record(n, route="search") for n in range(3)))[
        "ci"
    ]
    assert row.would == 1


def test_a_sliding_window_is_exact_where_everything_was_recorded() -> None:
    minute = {"name": "minute", "rate": "2/m", "algorithm": "sliding-window"}
    row = replayed(proposed(minute), record(0), record(30), record(59), record(61))["ci"]
    assert (row.would, row.by) == (1, {"minute": 1})


def test_a_quota_begins_with_what_the_record_says_was_spent() -> None:
    was = [{"name": "daily", "capacity": 1000, "remaining": 501}]
    row = replayed(
        proposed(DAILY | {"quota": "500/day"}), *(record(n, limits=was) for n in range(4))
    )["ci"]
    assert row.would == 2  # 498 of the 500 were spent before the first of them


def test_of_a_quota_in_another_unit_the_first_request_has_spent_its_own_cost_there() -> None:
    route = {"name": "api", "paths": ["/api"], "costs": {"tokens": {"reserve": 60}}}
    service = {"name": "test", "targets": ["http://127.0.0.1:9000"], "routes": [route]}
    replay = proposed(DAILY | {"unit": "tokens"}, services=[service])
    # 40 of the 150 were spent before the first: with its 60 there are 50 left.
    was = [{"name": "daily", "capacity": 150, "remaining": 50}]
    one = replayed(replay, record(0, limits=was, costs={"tokens": 60}))["ci"]
    assert (one.requests, one.would) == (1, 0)
    two = replayed(replay, record(1, limits=was, costs={"tokens": 60}))["ci"]
    assert (two.requests, two.would) == (2, 1)


def test_a_limit_in_the_shadow_is_told_apart() -> None:
    row = replayed(proposed(bucket("1/h", 1, shadow=True)), record(0), record(1))["ci"]
    assert (row.would, row.shadow) == (0, 1)


def test_a_sample_counts_for_those_it_stands_for_and_says_how_sure_it_is() -> None:
    """Two hundred a second are asked of a limit of one hundred: half of them must go."""
    replay = proposed(bucket("100/s", 100))
    rows = replayed(replay, *(record(n / 2, weight=100) for n in range(240)))
    row = rows["ci"]
    assert row.requests == 24_000
    assert row.would == pytest.approx(12_000, rel=0.1)
    assert row.as_dict()["requests_within"] == pytest.approx(2 * (240 * 100 * 99) ** 0.5, abs=1)
    assert row.as_dict()["would_meet_429_within"] > 0


def test_a_sample_that_keeps_to_the_rate_meets_nothing() -> None:
    """A burst of ten cannot be seen in one of a hundred: the rate decides, and that is said."""
    replay = proposed(bucket("100/s", 10))
    row = replayed(replay, *(record(1.2 * n, weight=100) for n in range(50)))["ci"]
    assert (row.requests, row.would) == (5000, 0)
    assert replay._proposed.coarse == {"steady"}


def test_of_a_sample_that_does_not_fit_whole_the_rest_is_refused() -> None:
    row = replayed(proposed(DAILY), *(record(n, weight=100, limits=[]) for n in range(2)))["ci"]
    assert (row.requests, row.would) == (200, 50)


def test_what_records_cannot_tell_is_named() -> None:
    replay = proposed(
        {"name": "ip", "rate": "1/s", "per": "address"},
        {"name": "app", "rate": "1/s", "per": "header:x-app"},
        {"name": "at_once", "concurrency": 3},
    )
    rows = replayed(
        replay,
        record(0),
        record(1, route="gone"),
        record(2, tenant="other", plan="unheard_of", key_id="key_1"),
        refused(3, limits=[]),
        refused(4, unrecorded=7),
    )
    assert rows["ci"].requests == 2
    assert dict(replay.not_replayed) == {
        "route gone is not in the proposed configuration": 1,
        "plan unheard_of is not in the proposed configuration": 1,
    }
    assert set(replay._proposed.left_out) == {
        'limit "ip": records do not tell the client\'s address',
        'limit "app": records do not tell the header x-app',
        'limit "at_once": records do not tell how long a request lasted',
    }
    assert (replay.records, replay.unrecorded) == (5, 7)


def test_a_tenant_of_the_api_has_the_plan_that_was_recorded() -> None:
    replay = proposed(bucket("1/h", 1))
    other = {"tenant": "made_by_api", "plan": "pro", "key_id": "key_1"}
    row = replayed(replay, record(0, **other), record(1, **other))["key_1"]
    assert (row.tenant, row.would) == ("made_by_api", 1)
    assert list(replay._proposed.left_out) == [API_TENANTS]


def test_limits_of_everybody_hold_for_who_calls_without_a_key() -> None:
    replay = proposed(limits=[bucket("1/h", 2, per="global")])
    nobody = {"tenant": None, "plan": None, "key_id": None, "limits": []}
    assert replayed(replay, *(record(n, **nobody) for n in range(3)))["-"].would == 1


def test_the_configuration_in_force_gives_what_was_met() -> None:
    """Equal limits, equal answers: each was decided as the script decided it."""
    replay = proposed(bucket("1/m", 2))
    told = [record(0), record(1), refused(2), refused(30), record(61), refused(62)]
    row = replayed(replay, *told)["ci"]
    assert (row.met, row.would, row.newly, row.freed) == (3, 3, 0, 0)


def test_tenants_beyond_the_bound_are_told_as_one() -> None:
    replay = proposed(bucket("9/s", 9))
    replay.rows = {("t", str(n)): Row("t", str(n)) for n in range(ROWS_MAX)}
    replay.add(record(0))
    replay.add(record(1, NIGHTLY))
    assert len(replay.rows) == ROWS_MAX + 1
    assert replay.rows[OTHERS, OTHERS].requests == 2


def test_records_of_an_older_version_count_as_one_and_are_told() -> None:
    replay = proposed(bucket("9/s", 9))
    old = record(0)
    del old["weight"], old["unrecorded"]
    assert replayed(replay, old, record(1))["ci"].requests == 2
    assert replay.unweighed == 1


def test_reasons_beyond_the_bound_are_told_as_one() -> None:
    replay = proposed(bucket("9/s", 9))
    replayed(replay, *(record(n, route=f"gone_{n}") for n in range(REASONS_MAX + 3)))
    assert len(replay.not_replayed) == REASONS_MAX + 1
    assert replay.not_replayed[OTHER_REASONS] == 3


async def test_records_are_put_in_order_of_their_time() -> None:
    async def appended() -> Any:
        for at in (1.0, 3.0, 2.0, 9.0, 8.5, 20.0):
            yield record(at)

    times = [one["time"] - START async for one in in_order(appended())]
    assert times == [1.0, 2.0, 3.0, 8.5, 9.0, 20.0]
