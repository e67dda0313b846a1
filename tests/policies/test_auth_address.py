"""Whose failure a wrong key is: of a site, behind proxies, without an address."""

from tests.policies.throttled_kit import OTHER, statuses


async def test_an_ipv6_site_is_one_address(kit_listening):
    kit = await kit_listening()
    for number in range(20):
        assert await statuses(kit, 1, client=f"2001:db8:1:2::{number:x}") == [401]
    assert await statuses(kit, 1, client="2001:db8:1:2:9::") == [429]
    assert await statuses(kit, 1, client="2001:db8:1:3::1") == [401]


async def test_a_trusted_proxy_tells_whose_failure_it_is(kit_listening):
    kit = await kit_listening(trusted_proxies=["10.0.0.0/8"])

    async def from_proxy(claim: str, key: str = "wrong") -> int:
        headers = {"X-Forwarded-For": claim}
        return (await kit.get("/api/x", key=key, headers=headers, client="10.0.0.1")).status

    # The left of the list is the client's own invention.
    assert [await from_proxy(f"198.51.100.{n}, 203.0.113.9") for n in range(20)] == [401] * 20
    assert await from_proxy("203.0.113.9") == 429
    assert await from_proxy("203.0.113.9", "premium_user") == 200
    assert await from_proxy("198.51.100.1") == 401
    assert await from_proxy("") == 401


async def test_nobody_can_spend_the_failures_of_another(kit_listening):
    kit = await kit_listening(trusted_proxies=["10.0.0.0/8"])
    spoofed = {"X-Forwarded-For": "203.0.113.9", "X-Real-IP": "203.0.113.9"}
    assert 429 in await statuses(kit, 22, headers=spoofed, client=OTHER)
    assert await statuses(kit, 1, client="203.0.113.9") == [401]


async def test_a_client_without_an_address_is_not_held_up(kit_listening):
    kit = await kit_listening()
    assert await statuses(kit, 30, client="") == [401] * 30


async def test_clients_whose_address_cannot_be_read_are_counted_together(kit_listening, caplog):
    kit = await kit_listening()
    answers = [await statuses(kit, 1, client=f"nonsense {number}") for number in range(60)]
    assert answers == [[401]] * 20 + [[429]] * 40
    assert await statuses(kit, 1, client=OTHER) == [401]
    assert await statuses(kit, 1, client="") == [401]
    assert [record.name for record in caplog.records] == ["tidegate.policies"]
    assert "'nonsense 0'" in caplog.text
