"""A target is scheme, host and port."""

import pytest

from tidegate.upstream.target import Target


@pytest.mark.parametrize(
    ("url", "host", "port", "authority"),
    [
        ("http://127.0.0.1:9000", "127.0.0.1", 9000, b"127.0.0.1:9000"),
        ("http://Api.Test/", "api.test", 80, b"api.test"),
        ("http://api.test:80", "api.test", 80, b"api.test"),
        ("https://api.test", "api.test", 443, b"api.test"),
        ("https://api.test:80", "api.test", 80, b"api.test:80"),
        ("http://[::1]:81", "::1", 81, b"[::1]:81"),
    ],
)
def test_a_target_knows_where_to_connect_and_its_name(url, host, port, authority):
    target = Target.parse(url)
    assert (target.host, target.port, target.authority) == (host, port, authority)


@pytest.mark.parametrize(
    "url",
    ["127.0.0.1:9000", "ftp://a", "http://", "http://a/base", "http://a?b", "http://u:p@a", "a"],
)
def test_what_else_a_url_can_hold_is_refused(url):
    with pytest.raises(ValueError, match="target"):
        Target.parse(url)
