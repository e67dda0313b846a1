"""What a client's address is counted under: told apart behind proxies, kept, and within bounds."""

from typing import Any

import pytest

from tidegate.http import Headers, Request
from tidegate.policies.client_address import TrustedProxies
from tidegate.policies.counted_addresses import CountedAddresses


def request(client: str, x_forwarded_for: str = "") -> Request[Any]:
    fields = [(b"x-forwarded-for", x_forwarded_for.encode())] if x_forwarded_for else []
    return Request("GET", b"/", Headers(fields), client=client)


def test_clients_behind_a_trusted_proxy_are_told_apart_each_time():
    addresses = CountedAddresses(TrustedProxies(("10.0.0.0/8",)))
    behind = [addresses.of(request("10.0.0.1", x_forwarded_for=f"9.9.9.{n}")) for n in (1, 2, 1)]
    assert behind == [b"9.9.9.1", b"9.9.9.2", b"9.9.9.1"]


def test_clients_without_an_address_are_told_of_once(caplog: pytest.LogCaptureFixture):
    addresses = CountedAddresses(TrustedProxies(()))
    assert {addresses.of(request(client)) for client in ("", "testclient")} == {b"unreadable"}
    assert len(caplog.records) == 1
    assert "trusted_proxies" in caplog.text


@pytest.mark.parametrize("proxies", [(), ("10.0.0.0/8",)])
def test_addresses_that_are_kept_are_bounded(
    monkeypatch: pytest.MonkeyPatch, proxies: tuple[str, ...]
):
    """Pain point 8: memory that grows with what strangers send."""
    monkeypatch.setattr("tidegate.policies.counted_addresses.READ_MAX", 3)
    addresses = CountedAddresses(TrustedProxies(proxies))
    for number in range(10):
        address = f"192.0.2.{number}"
        asked = request("10.0.0.1", x_forwarded_for=address) if proxies else request(address)
        assert addresses.of(asked) == addresses.of(asked) == address.encode()
        assert len(addresses._read) <= 3
    addresses.of(request("10.0.0.1", x_forwarded_for="9.9.9.9," * 100 + "192.0.2.1"))
    assert sum(len(key[1]) for key in addresses._read if isinstance(key, tuple)) < 100
