"""What a proxy says about itself and its client, and whose word it takes."""

import pytest

from tidegate.http import Headers
from tidegate.upstream import add_forwarding_fields, add_via


def added(*fields, trusted=False, client="192.0.2.7", scheme="https", host=b"shop.test"):
    headers = Headers(fields)
    add_forwarding_fields(
        headers,
        client=client,
        host=host,
        scheme=scheme,
        http_version="1.1",
        is_peer_trusted=trusted,
    )
    return headers


OWN = [
    (b"via", b"1.1 tidegate"),
    (b"x-forwarded-for", b"192.0.2.7"),
    (b"x-forwarded-proto", b"https"),
    (b"x-forwarded-host", b"shop.test"),
]


@pytest.mark.parametrize("trusted", [False, True])
def test_the_way_of_a_request_is_told(trusted):
    assert added((b"accept", b"*/*"), trusted=trusted) == [(b"accept", b"*/*"), *OWN]


CLAIMS = (
    b"cf-connecting-ip", b"client-ip", b"fastly-client-ip", b"forwarded", b"forwarded-for",
    b"front-end-https", b"proxy", b"remote-user", b"true-client-ip", b"x-auth-request-email",
    b"x-auth-request-user", b"x-client-ip", b"x-cluster-client-ip", b"x-envoy-external-address",
    b"x-envoy-original-path", b"x-forwarded", b"x-forwarded-client-cert", b"x-forwarded-email",
    b"x-forwarded-for", b"x-forwarded-groups", b"x-forwarded-host", b"x-forwarded-port",
    b"x-forwarded-proto", b"x-forwarded-user", b"x-host", b"x-original-forwarded-for",
    b"x-original-method", b"x-original-uri", b"x-original-url", b"x-real-ip", b"x-remote-user",
    b"x-rewrite-url", b"x-url-scheme",
)  # fmt: skip


@pytest.mark.parametrize("name", CLAIMS)
def test_an_untrusted_peer_cannot_speak_for_others(name):
    assert added((name, b"10.0.0.1"), (b"a", b"b"), (name, b"10.0.0.2")) == [(b"a", b"b"), *OWN]


def test_a_trusted_peers_list_is_extended_and_the_rest_kept():
    headers = added(
        (b"x-forwarded-for", b"10.0.0.1"),
        (b"x-forwarded-for", b"10.0.0.2"),
        (b"x-forwarded-proto", b"http"),
        (b"x-forwarded-host", b"www.test"),
        (b"forwarded", b"for=10.0.0.1"),
        trusted=True,
    )
    assert headers.get_all(b"x-forwarded-for") == [b"10.0.0.1, 10.0.0.2, 192.0.2.7"]
    assert headers.get_all(b"x-forwarded-proto") == [b"http"]
    assert headers.get_all(b"x-forwarded-host") == [b"www.test"]
    assert headers.get_all(b"forwarded") == [b"for=10.0.0.1"]


def test_what_a_trusted_peer_left_out_is_filled_in():
    headers = added((b"x-forwarded-for", b"10.0.0.1"), trusted=True)
    assert headers.get(b"x-forwarded-proto") == b"https"
    assert headers.get(b"x-forwarded-host") == b"shop.test"


def test_no_address_and_no_host_make_no_field():
    names = [name for name, _ in added(client="", host=b"")]
    assert names == [b"via", b"x-forwarded-proto"]


def test_via_is_appended_to_what_is_there_in_one_field():
    headers = Headers([(b"via", b"1.0 a"), (b"x", b"y"), (b"via", b"1.1 b (c)")])
    add_via(headers, "1.0")
    assert headers == [(b"x", b"y"), (b"via", b"1.0 a, 1.1 b (c), 1.0 tidegate")]


@pytest.mark.parametrize("trusted", [False, True])
def test_via_survives_whoever_sent_it(trusted):
    headers = added((b"via", b"1.0 a"), trusted=trusted)
    assert headers.get_all(b"via") == [b"1.0 a, 1.1 tidegate"]
