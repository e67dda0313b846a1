"""Header fields: what one connection keeps to itself."""

from tidegate.http.headers import Headers, connection_options, forwardable


def test_hop_by_hop_fields_and_those_that_connection_names_stay_behind():
    headers = Headers(
        [
            (b"connection", b"close, X-Private"),
            (b"connection", b"x-other"),
            (b"keep-alive", b"timeout=5"),
            (b"te", b"trailers"),
            (b"trailer", b"x-sum"),
            (b"transfer-encoding", b"chunked"),
            (b"upgrade", b"h2c"),
            (b"proxy-authorization", b"Basic x"),
            (b"proxy-connection", b"keep-alive"),
            (b"content-length", b"5"),
            (b"x-private", b"1"),
            (b"x-other", b"2"),
            (b"accept", b"*/*"),
            (b"cookie", b"a"),
            (b"cookie", b"b"),
        ]
    )
    assert forwardable(headers) == [(b"accept", b"*/*"), (b"cookie", b"a"), (b"cookie", b"b")]


def test_connection_options_are_compared_without_case_and_blanks():
    headers = Headers([(b"connection", b" Close ,, X-A")])
    assert connection_options(headers) == {b"close", b"x-a"}


def test_replacing_leaves_exactly_one_field():
    headers = Headers([(b"a", b"1"), (b"b", b"2"), (b"a", b"3")])
    headers.replace(b"a", b"4")
    assert headers == [(b"b", b"2"), (b"a", b"4")]
    assert headers.get(b"a") == b"4"
    assert headers.get_all(b"missing") == []
