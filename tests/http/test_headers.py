"""Header fields: an ordered multimap, and the options of Connection."""

from tidegate.http.headers import Headers, connection_options


def test_connection_options_are_compared_without_case_and_blanks():
    headers = Headers([(b"connection", b" Close ,, X-A")])
    assert connection_options(headers) == {b"close", b"x-a"}


def test_replacing_leaves_exactly_one_field():
    headers = Headers([(b"a", b"1"), (b"b", b"2"), (b"a", b"3")])
    headers.replace(b"a", b"4")
    assert headers == [(b"b", b"2"), (b"a", b"4")]
    assert headers.get(b"a") == b"4"
    assert headers.get_all(b"missing") == []
