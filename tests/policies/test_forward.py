"""What the upstream receives: the caller as the gateway knows it, never as the client claims."""

import pytest

from tidegate.identity import Repository
from tidegate.policies import forward

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

SPOOFS = {
    "X-Tidegate-Tenant": "evil",
    "X-Tidegate-Plan": "enterprise",
    "X-Tidegate-Key-Id": "key_evil",
    "X_Tidegate_Tenant": "evil",
    "X-Tidegate-Anything": "evil",
}


def received(kit) -> list[tuple[bytes, bytes]]:
    return [(name.lower(), value) for name, value in kit.upstream.requests[-1].headers]


def values(kit, name: bytes) -> list[bytes]:
    return [value for field, value in received(kit) if field == name]


async def test_the_caller_goes_upstream_and_its_key_does_not(tidegate_kit):
    kit = await tidegate_kit()
    await kit.get("/api/x", headers=SPOOFS)
    assert values(kit, b"x-tidegate-tenant") == [b"acme"]
    assert values(kit, b"x-tidegate-plan") == [b"premium"]
    assert len(values(kit, b"x-tidegate-key-id")) == 1
    everything = b"".join(name + value for name, value in received(kit))
    assert b"evil" not in everything
    assert b"premium_user" not in everything


async def test_spoofs_are_stripped_without_auth_too(tidegate_kit):
    kit = await tidegate_kit(route={"auth": []})
    await kit.get("/api/x", key=None, headers=SPOOFS)
    assert b"evil" not in b"".join(name + value for name, value in received(kit))


@pytest.mark.parametrize(
    ("route", "key", "authorization", "expected"),
    [
        ({}, "premium_user", "Bearer upstream-token", [b"Bearer upstream-token"]),
        ({}, None, "Bearer premium_user", []),
        ({"auth": []}, None, "Bearer upstream-token", [b"Bearer upstream-token"]),
        ({"auth": []}, None, "Bearer premium_user", []),
        ({"auth": []}, "wrong", "bearer premium_user", []),
        ({}, "premium_user", "Bearer premium_user", []),
    ],
)
async def test_authorization_passes_on_unless_it_was_the_key(
    tidegate_kit, route, key, authorization, expected
):
    kit = await tidegate_kit(route=route)
    answer = await kit.get("/api/x", key=key, headers={"Authorization": authorization})
    assert answer.status == 200
    assert values(kit, b"authorization") == expected


async def test_a_key_of_the_file_stays_behind_beside_another_key(tidegate_kit):
    kit = await tidegate_kit()
    other = await Repository(kit.gateway.config, kit.gateway.store).create_key("acme", "laptop")
    answer = await kit.get(
        "/api/x", key=other.key, headers={"Authorization": "Bearer premium_user"}
    )
    assert answer.status == 200
    assert values(kit, b"authorization") == []


async def test_a_key_that_stays_behind_makes_no_answer_one_persons(tidegate_kit):
    kit = await tidegate_kit(route={"auth": [], "cache": {"default_ttl": 60}})
    for headers in ({"Authorization": "Bearer premium_user"}, {}):
        assert (await kit.get("/api/x", key=None, headers=headers)).status == 200
    assert len(kit.upstream.requests) == 1


async def test_the_way_of_the_request_is_the_gateways_word(tidegate_kit):
    kit = await tidegate_kit()
    await kit.get(
        "/api/x", client="192.0.2.7", headers={"X-Forwarded-For": "10.0.0.1", "Forwarded": "for=x"}
    )
    assert values(kit, b"x-forwarded-for") == [b"192.0.2.7"]
    assert values(kit, b"forwarded") == []
    assert values(kit, b"x-forwarded-proto") == [b"http"]
    assert values(kit, b"x-forwarded-host") == [b"gateway.test"]
    assert values(kit, b"via") == [b"1.1 tidegate"]
    assert values(kit, b"host") == [b"gateway.test"]


async def test_path_and_query_arrive_as_they_were_routed(tidegate_kit):
    kit = await tidegate_kit()
    await kit.get("/api/a%2Fb?q=1&r=%20")
    assert kit.upstream.requests[-1].target == b"/api/a%2Fb?q=1&r=%20"


async def test_a_prefix_is_stripped_where_the_route_says_so(tidegate_kit):
    kit = await tidegate_kit(route={"strip_prefix": True})
    for target, expected in [
        ("/api/a/b?q", b"/a/b?q"),
        ("/api", b"/"),
        ("/api/", b"/"),
        ("/api?q", b"/?q"),
        ("/api//other.test/x", b"/other.test/x"),
    ]:
        await kit.get(target)
        assert kit.upstream.requests[-1].target == expected


async def test_fields_kept_ready_never_mix_callers_or_hosts(tidegate_kit):
    kit = await tidegate_kit(route={"auth": []})
    for host, client in [("a.test", "192.0.2.1"), ("b.test", "192.0.2.1"), ("a.test", "192.0.2.2")]:
        for _ in range(2):
            await kit.get("/api/x", key=None, host=host, client=client)
            assert values(kit, b"x-forwarded-host") == [host.encode()]
            assert values(kit, b"x-forwarded-for") == [client.encode()]
            assert values(kit, b"x-tidegate-tenant") == []


async def test_both_ways_of_writing_the_fields_say_the_same(tidegate_kit):
    kit = await tidegate_kit()
    await kit.get("/api/x", headers={"X-Request-ID": "a", "traceparent": TRACE})
    plain = sorted(received(kit))
    # A claim sends the request the long way, and is then taken out.
    await kit.get("/api/x", headers={"X-Request-ID": "a", "traceparent": TRACE, "X-Real-IP": "x"})
    assert sorted(received(kit)) == plain


async def test_a_field_spelt_with_underscores_is_no_way_around_its_rule(tidegate_kit):
    kit = await tidegate_kit()
    for headers in (
        {"X_Forwarded_For": "evil"},
        {"X_Forwarded_For": "evil", "Via": "1.1 a"},
        {"X_HTTP_Method_Override": "evil"},
        {"Accept_Language": "evil", "X-Real-IP": "x"},
        {"X-Original-URI": "evil"},
    ):
        await kit.get("/api/x", headers=headers)
        assert b"evil" not in b"".join(name + value for name, value in received(kit))


async def test_the_memory_of_names_and_of_ways_is_bounded(tidegate_kit, monkeypatch):
    monkeypatch.setattr(forward, "NAMES_MAX", 4)
    monkeypatch.setattr(forward, "WAYS_MAX", 4)
    kit = await tidegate_kit()
    last = dict(kit.gateway.snapshot.routes[0].policies)["forward"]
    for number in range(12):
        await kit.get("/api/x", headers={f"X-Name-{number}": "a"}, client=f"10.0.0.{number}")
        assert values(kit, b"x-name-%d" % number) == [b"a"]
        assert values(kit, b"x-forwarded-for") == [b"10.0.0.%d" % number]
        assert 1 <= len(last._selections) <= 4
        assert 1 <= len(last._ready) <= 4
    remembered = len(last._selections)
    await kit.get("/api/x", headers={"X-" + "long" * 300: "a"})
    assert len(last._selections) == remembered


@pytest.mark.parametrize(
    "name",
    ["X-Forwarded-User", "X-Original-Url", "X-Envoy-Original-Path", "X-Remote-User", "Proxy"],
)
async def test_what_only_a_proxy_may_say_passes_from_nobody_else(tidegate_kit, name):
    kit = await tidegate_kit(route={"auth": []})
    await kit.get("/api/x", key=None, headers={name: "evil"})
    assert b"evil" not in b"".join(field + value for field, value in received(kit))


@pytest.mark.parametrize(
    "name", ["X.Forwarded.For", "X!Original!Url", "Tidegate.Debug.Token", "X_Any", "Any~thing"]
)
async def test_a_name_that_some_server_reads_as_another_passes_nowhere(tidegate_kit, name):
    kit = await tidegate_kit(route={"auth": []})
    await kit.get("/api/x", key=None, headers={name: "evil", "X-Any-1": "kept"})
    assert values(kit, name.lower().encode()) == []
    assert values(kit, b"x-any-1") == [b"kept"]


@pytest.mark.parametrize("plan", [[], [{"name": "steady", "rate": "9/s", "burst": 9}]])
async def test_the_time_before_the_service_is_asked_is_not_the_services(tidegate_kit, plan):
    """Also where no limit has a decision to date it by."""
    kit = await tidegate_kit(plan=plan)
    await kit.get("/api/x")
    (meter,) = [
        one for one in kit.gateway.telemetry.recorder._meters.values() if one.route == "test"
    ]
    ((facts, *_),) = meter.records
    assert facts.started_at < (facts.forwarded_at or facts.decided_at)
    assert bool(facts.decided_at) is bool(plan)
