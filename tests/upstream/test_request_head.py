"""What goes upstream is written anew, and two requests never fit into one."""

import pytest

from tidegate.http import Headers, Request
from tidegate.http.errors import BadRequest, PolicyFailed
from tidegate.upstream.request_head import HeadWriter, host_rule


def written(method="GET", path=b"/a", *, setting="", scheme="http", headers=(), **fields):
    fields = {"host": b"shop.test:81", **fields}
    request = Request(method, path, Headers(headers), **fields)
    return HeadWriter(host_rule(setting, scheme)).head(request, b"10.0.0.1:9000")


async def pieces():
    yield b"x"


def test_a_request_without_body_has_no_framing():
    head = written(query=b"b=%20", headers=[(b"accept", b"*/*")])
    assert head == b"GET /a?b=%20 HTTP/1.1\r\nhost: shop.test:81\r\naccept: */*\r\n\r\n"


@pytest.mark.parametrize(
    ("method", "body", "content_length", "line"),
    [
        ("POST", b"", None, b"content-length: 0"),
        ("PUT", b"", None, b"content-length: 0"),
        ("PATCH", b"abc", 99, b"content-length: 3"),
        ("GET", b"abc", None, b"content-length: 3"),
        ("POST", pieces(), 7, b"content-length: 7"),
        ("GET", pieces(), None, b"transfer-encoding: chunked"),
    ],
)
def test_framing_is_written_from_the_body(method, body, content_length, line):
    head = written(method, body=body, content_length=content_length)
    assert head.endswith(b"\r\n" + line + b"\r\n\r\n")


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize(
    ("setting", "to_http", "to_https"),
    [
        ("", b"shop.test:81", b"10.0.0.1:9000"),
        ("preserve", b"shop.test:81", b"shop.test:81"),
        ("target", b"10.0.0.1:9000", b"10.0.0.1:9000"),
        ("api.example", b"api.example", b"api.example"),
    ],
)
def test_host_is_as_the_service_says(scheme, setting, to_http, to_https):
    expected = to_http if scheme == "http" else to_https
    assert b"\r\nhost: " + expected + b"\r\n" in written(setting=setting, scheme=scheme)


def test_a_request_without_host_gets_the_targets():
    assert b"\r\nhost: 10.0.0.1:9000\r\n" in written(host=b"")


@pytest.mark.parametrize(
    "name",
    [
        b"host",
        b"connection",
        b"content-length",
        b"Content-Length",
        b"transfer-encoding",
        b"Transfer-Encoding",
        b"expect",
        b"te",
        b"trailer",
        b"upgrade",
        b"keep-alive",
        b"proxy-connection",
    ],
)
def test_fields_of_the_writer_are_left_out_wherever_they_stand(name):
    head = written(headers=[(b"a", b"b"), (name, b"5"), (b"c", b"d")])
    assert head == b"GET /a HTTP/1.1\r\nhost: shop.test:81\r\na: b\r\nc: d\r\n\r\n"


@pytest.mark.parametrize("character", [b"\r", b"\n", b"\r\n", b"\0", b"\r\nx: y", b"\n\r"])
@pytest.mark.parametrize("where", ["name", "value", "host"])
def test_a_hidden_line_break_is_refused(character, where):
    smuggled = b"a" + character + b"b"
    fields = {
        "name": {"headers": [(smuggled, b"v")]},
        "value": {"headers": [(b"n", smuggled)]},
        "host": {"host": smuggled},
    }
    with pytest.raises(PolicyFailed):
        written(**fields[where])


@pytest.mark.parametrize("name", [b"", b"a b", b"a:", b"a\xff", b"a,b", b"host "])
def test_a_name_that_is_no_token_is_refused(name):
    with pytest.raises(PolicyFailed):
        written(headers=[(b"host", b"left.out"), (name, b"v")])


def test_a_name_is_judged_again_after_a_good_one():
    writer = HeadWriter(host_rule("", "http"))
    writer.head(Request("GET", b"/", Headers([(b"good", b"1")])), b"t")
    with pytest.raises(PolicyFailed):
        writer.head(Request("GET", b"/", Headers([(b"good", b"1"), (b"b d", b"1")])), b"t")


@pytest.mark.parametrize("method", ["", "GE T", "GET\r\n", "GÉT", "GET:", "CONNECT"])
def test_a_method_that_is_no_token_or_a_tunnel_is_refused(method):
    with pytest.raises(BadRequest):
        written(method)


@pytest.mark.parametrize("method", ["TRACE", "PROPFIND", "X-Y", "get"])
def test_other_methods_pass_as_they_are(method):
    assert written(method).startswith(method.encode() + b" /a HTTP/1.1\r\n")


@pytest.mark.parametrize(
    ("path", "query"),
    [
        (b"", None),
        (b"a", None),
        (b"*", None),
        (b"/a b", None),
        (b"/a\r\n", None),
        (b"/\x80", None),
        (b"/", b"a b"),
        (b"/", b"\0"),
        (b"http://a/", None),
        (b"/ HTTP/1.1\r\nx:", None),
    ],
)
def test_a_target_that_is_not_one_path_is_refused(path, query):
    with pytest.raises(BadRequest):
        written(path=path, query=query)


def test_asterisk_form_is_for_options():
    assert written("OPTIONS", b"*").startswith(b"OPTIONS * HTTP/1.1\r\n")


def test_the_memory_of_names_is_bounded():
    writer = HeadWriter(host_rule("", "http"))
    for number in range(3000):
        writer.head(Request("GET", b"/", Headers([(b"n%d" % number, b"")])), b"t")
    assert len(writer._known_names) <= 1024
