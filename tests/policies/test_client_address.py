"""The client of a request: the rightmost address that no trusted proxy has."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.http import Headers
from tidegate.policies.client_address import TrustedProxies, counted_by

TRUSTED = ("10.0.0.0/8", "fd00::/8")


def client(peer: str, *claims: str, trusted: tuple[str, ...] = TRUSTED) -> str | None:
    headers = Headers((b"x-forwarded-for", claim.encode()) for claim in claims)
    address = TrustedProxies(trusted).client(peer, headers)
    return None if address is None else str(address)


@pytest.mark.parametrize(
    "peer, claims, found",
    [
        ("203.0.113.9", (), "203.0.113.9"),
        ("203.0.113.9", ("198.51.100.1",), "203.0.113.9"),  # not trusted: says nothing
        ("10.0.0.1", (), "10.0.0.1"),
        ("10.0.0.1", ("198.51.100.1",), "198.51.100.1"),
        ("10.0.0.1", ("198.51.100.1, 203.0.113.9",), "203.0.113.9"),  # the left one is a claim
        ("10.0.0.1", ("198.51.100.1", "203.0.113.9"), "203.0.113.9"),
        ("10.0.0.1", ("203.0.113.9, 10.1.1.1, 10.2.2.2",), "203.0.113.9"),
        ("10.0.0.1", ("10.3.3.3, 10.1.1.1",), "10.3.3.3"),  # all are ours: the farthest
        ("10.0.0.1", ("203.0.113.9, nonsense",), "10.0.0.1"),  # its reporter counts
        ("10.0.0.1", ("203.0.113.9, nonsense, 10.1.1.1",), "10.1.1.1"),
        ("10.0.0.1", ("",), "10.0.0.1"),
        ("10.0.0.1", ("203.0.113.9:4711",), "203.0.113.9"),
        ("10.0.0.1", ('"[2001:db8::7]:4711"',), "2001:db8::7"),
        ("fd00::1", ("2001:db8::7",), "2001:db8::7"),
        ("::ffff:10.0.0.1", ("203.0.113.9",), "203.0.113.9"),
        ("10.0.0.1", ("::ffff:203.0.113.9",), "203.0.113.9"),
        ("", ("203.0.113.9",), None),
        ("testclient", (), None),
    ],
)
def test_the_rightmost_untrusted_address_is_the_client(peer, claims, found):
    assert client(peer, *claims) == found


def test_without_trusted_proxies_only_the_peer_counts():
    assert client("10.0.0.1", "203.0.113.9", trusted=()) == "10.0.0.1"


@given(st.text(st.characters(codec="latin-1"), max_size=200))
def test_whatever_is_claimed_is_an_address_or_nothing(claim):
    headers = Headers([(b"x-forwarded-for", claim.encode("latin-1"))])
    assert TrustedProxies(TRUSTED).client("10.0.0.1", headers) is not None
    assert str(TrustedProxies(TRUSTED).client("192.0.2.1", headers)) == "192.0.2.1"


@pytest.mark.parametrize(
    "one, other, together",
    [
        ("192.0.2.1", "192.0.2.2", False),
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::1", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
    ],
)
def test_ipv6_is_counted_by_its_64(one, other, together):
    proxies = TrustedProxies(())
    addresses = [proxies.client(peer, Headers()) for peer in (one, other)]
    counted = [counted_by(address) for address in addresses if address is not None]
    assert (counted[0] == counted[1]) is together
