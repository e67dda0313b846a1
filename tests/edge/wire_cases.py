"""What goes in on the wire, and what must come out on both sides: the table both doors are held to.

Each case says what a client sends, the statuses it gets, whether the connection stays, and
exactly what the upstream received. Where ASGI or one server cannot do it, `excepted_on` says why,
by door; such a case must fail there, so that no exception outlives its reason.
"""

from dataclasses import dataclass, field

HEADER_BYTES = 4096
HEADER_FIELDS = 20
TARGET_BYTES = 512
BODY_BYTES = 2048
"""The bounds that the table is run with."""


@dataclass(frozen=True)
class Received:
    """One request as the upstream got it. `fields`: every value of each field named."""

    method: str
    target: bytes
    body: bytes = b""
    fields: dict[bytes, list[bytes]] = field(default_factory=dict)


@dataclass(frozen=True)
class Case:
    name: str
    sent: bytes
    statuses: tuple[int, ...]
    stays: bool = True
    received: tuple[Received, ...] = ()
    excepted_on: dict[str, str] = field(default_factory=dict)
    heads: tuple[int, ...] = ()
    """Which of the requests are HEAD: their answers have no body."""


def get(target: bytes = b"/x", fields: bytes = b"", version: bytes = b"HTTP/1.1") -> bytes:
    return b"GET %b %b\r\nHost: a\r\n%b\r\n" % (target, version, fields)


def post(fields: bytes, body: bytes = b"", target: bytes = b"/x") -> bytes:
    return b"POST %b HTTP/1.1\r\nHost: a\r\n%b\r\n%b" % (target, fields, body)


def sized(body: bytes) -> bytes:
    return post(b"Content-Length: %d\r\n" % len(body), body)


def chunked(octets: bytes, fields: bytes = b"") -> bytes:
    return post(b"Transfer-Encoding: chunked\r\n" + fields, octets)


def ok(name: str, sent: bytes, *received: Received, **more) -> Case:
    """Every request is forwarded and answered with 200."""
    return Case(name, sent, (200,) * len(received), received=received, **more)


def refused(name: str, sent: bytes, status: int = 400, **more) -> Case:
    """One answer, connection closed, nothing forwarded."""
    return Case(name, sent, (status,), stays=False, **more)


def target(name: str, raw: bytes, forwarded: bytes, **more) -> Case:
    return ok(name, get(raw), Received("GET", forwarded), **more)


X = Received("GET", b"/x")
HOST = {b"host": [b"a"]}
NO_LENGTH = {b"content-length": [], b"transfer-encoding": []}

LENIENT = "the server parses it leniently and passes on a valid request"
CLOSES_OTHERWISE = "the server decides by itself whether the connection stays"
NO_BOUND = "bounds before parsing are the server's"
NO_PIPELINE = "the server answers the parse error ahead of requests that wait"
HIDDEN = "the server does not show it to the application"

TARGETS = (
    target("plain path", b"/x", b"/x"),
    target("root", b"/", b"/"),
    target("query", b"/x?a=1&b=%20", b"/x?a=1&b=%20"),
    target(
        "empty query", b"/x?", b"/x?", excepted_on={"asgi": "no query and an empty one look alike"}
    ),
    target("query with brackets", b"/x?a[]=1", b"/x?a[]=1"),
    target("question mark in query", b"/x?a?b", b"/x?a?b"),
    target("unreserved decoded", b"/%78%7e", b"/x~"),
    target("upper-case triplets", b"/a%2fb", b"/a%2Fb"),
    target("dot segments resolved", b"/a/../x/./y", b"/x/y"),
    target("encoded dot segments resolved", b"/a/%2e%2E/x", b"/x"),
    target("double slash kept", b"//x", b"//x"),
    target("semicolon kept", b"/x;a=b", b"/x;a=b"),
    target("sub-delimiters kept", b"/!$&'()*+,=:@", b"/!$&'()*+,=:@"),
    ok(
        "absolute form names the host",
        b"GET http://b/x HTTP/1.1\r\nHost: a\r\n\r\n",
        Received("GET", b"/x", fields={b"host": [b"b"]}),
        excepted_on={"httptools": "the authority of an absolute target is not passed on"},
    ),
    ok(
        "absolute form without path",
        b"GET http://b HTTP/1.1\r\nHost: b\r\n\r\n",
        Received("GET", b"/"),
        excepted_on={"httptools": "the authority of an absolute target is not passed on"},
    ),
    ok(
        "asterisk for OPTIONS",
        b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
        Received("OPTIONS", b"*"),
    ),
    refused("asterisk for GET", get(b"*")),
    refused("climbs above the root", get(b"/../x")),
    refused("climbs above the root, encoded", get(b"/%2e%2e/x")),
    refused("fragment", get(b"/x#y"), excepted_on={"httptools": "drops the fragment"}),
    refused("quote in path", get(b'/x"y')),
    refused("angle bracket in path", get(b"/<x>")),
    refused("backslash in path", get(b"/x\\y")),
    refused("brace in query", get(b"/x?{}")),
    refused("caret in path", get(b"/x^")),
    refused("pipe in query", get(b"/x?a|b")),
    refused("backtick in path", get(b"/`x`")),
    refused("percent without digits", get(b"/x%")),
    refused("percent with one digit", get(b"/x%2")),
    refused("percent with no hex", get(b"/x%zz")),
    refused("encoded NUL", get(b"/x%00")),
    refused("bytes above ASCII in the path", get(b"/x\xff")),
    refused("control character in the path", get(b"/x\x01y")),
    refused("relative path", get(b"x")),
    refused("userinfo in absolute form", get(b"http://u:p@a/x"), excepted_on={"httptools": HIDDEN}),
    refused("other scheme in absolute form", get(b"ftp://a/x"), excepted_on={"httptools": HIDDEN}),
    refused("authority form for GET", get(b"a:80")),
)

HOSTS = (
    ok(
        "host with port",
        b"GET /x HTTP/1.1\r\nHost: a:81\r\n\r\n",
        Received("GET", b"/x", fields={b"host": [b"a:81"]}),
    ),
    ok(
        "host in upper case",
        b"GET /x HTTP/1.1\r\nhOsT: ABC\r\n\r\n",
        Received("GET", b"/x", fields={b"host": [b"abc"]}),
    ),
    ok("host of IPv6", b"GET /x HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", X),
    ok(
        "blanks around host",
        b"GET /x HTTP/1.1\r\nHost: \t a \t\r\n\r\n",
        Received("GET", b"/x", fields=HOST),
    ),
    refused("host missing", b"GET /x HTTP/1.1\r\n\r\n"),
    refused("host empty", b"GET /x HTTP/1.1\r\nHost:\r\n\r\n"),
    refused("host twice", b"GET /x HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"),
    refused("host twice, equal", b"GET /x HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n"),
    refused("host with a path", b"GET /x HTTP/1.1\r\nHost: a/b\r\n\r\n"),
    refused("host with userinfo", b"GET /x HTTP/1.1\r\nHost: u@a\r\n\r\n"),
    refused("host with a blank", b"GET /x HTTP/1.1\r\nHost: a b\r\n\r\n"),
    refused("host list", b"GET /x HTTP/1.1\r\nHost: a, b\r\n\r\n"),
    refused("host with a bad port", b"GET /x HTTP/1.1\r\nHost: a:b\r\n\r\n"),
    Case("HTTP/1.0 without host", b"GET /health HTTP/1.0\r\n\r\n", (200,), stays=False),
)

LINES = (
    refused(
        "two blanks after the method",
        b"GET  /x HTTP/1.1\r\nHost: a\r\n\r\n",
        excepted_on={"httptools": LENIENT},
    ),
    refused(
        "two blanks before the version",
        b"GET /x  HTTP/1.1\r\nHost: a\r\n\r\n",
        excepted_on={"httptools": LENIENT},
    ),
    refused("blank after the version", b"GET /x HTTP/1.1 \r\nHost: a\r\n\r\n"),
    refused("blank before the method", b" GET /x HTTP/1.1\r\nHost: a\r\n\r\n"),
    refused("tab after the method", b"GET\t/x HTTP/1.1\r\nHost: a\r\n\r\n"),
    refused("method in lower case", b"get /x HTTP/1.1\r\nHost: a\r\n\r\n"),
    refused("no target", b"GET HTTP/1.1\r\nHost: a\r\n\r\n"),
    refused("no version", b"GET /x\r\nHost: a\r\n\r\n", excepted_on={"httptools": LENIENT}),
    refused("HTTP/0.9", get(version=b"HTTP/0.9"), 505, excepted_on={"asgi": LENIENT}),
    refused("HTTP/2.0", get(version=b"HTTP/2.0"), 505, excepted_on={"asgi": LENIENT}),
    refused(
        "HTTP/1.2",
        get(version=b"HTTP/1.2"),
        505,
        excepted_on={"asgi": "the server answers 400 by itself"},
    ),
    refused(
        "HTTP/3.0",
        get(version=b"HTTP/3.0"),
        505,
        excepted_on={"asgi": "the server answers 400 by itself"},
    ),
    refused(
        "preface of HTTP/2",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        505,
        excepted_on={"asgi": "the server answers 400 by itself"},
    ),
    refused("HTTP/1.10", get(version=b"HTTP/1.10")),
    refused("http/1.1 in lower case", get(version=b"http/1.1")),
    refused("RTSP", get(version=b"RTSP/1.0"), excepted_on={"httptools": LENIENT}),
    refused("ICE", b"SOURCE /x ICE/1.0\r\nHost: a\r\n\r\n", excepted_on={"httptools": LENIENT}),
    refused(
        "unknown method",
        b"BREW /x HTTP/1.1\r\nHost: a\r\n\r\n",
        excepted_on={"h11": "takes any method; no route refuses it"},
    ),
    refused(
        "CONNECT",
        b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n",
        501,
        excepted_on={"httptools": "fails on an authority as target"},
    ),
    refused(
        "line ended by LF alone", b"GET /x HTTP/1.1\nHost: a\r\n\r\n", excepted_on={"h11": LENIENT}
    ),
    refused("line ended by CR alone", b"GET /x HTTP/1.1\rHost: a\r\n\r\n"),
    refused(
        "line without a version, ended by LF, that looks like one with a version",
        b"GET /x\nX-A: HTTP/1.1\r\nHost: a\r\n\r\n",
        excepted_on={"httptools": LENIENT},
    ),
    refused(
        "field ended by LF alone",
        b"GET /x HTTP/1.1\r\nHost: a\nX: b\r\n\r\n",
        excepted_on={"h11": LENIENT},
    ),
    refused("not HTTP at all", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"),
    ok("one empty line ahead", b"\r\n" + get(), X, excepted_on={"h11": "refuses it"}),
    refused("three empty lines ahead", b"\r\n\r\n\r\n" + get(), excepted_on={"httptools": LENIENT}),
)

FIELDS = (
    ok(
        "value kept",
        get(fields=b"X-A: b, c\r\n"),
        Received("GET", b"/x", fields={b"x-a": [b"b, c"]}),
    ),
    ok(
        "blanks around a value",
        get(fields=b"X-A: \t b c \t \r\n"),
        Received("GET", b"/x", fields={b"x-a": [b"b c"]}),
    ),
    ok(
        "empty value",
        get(fields=b"X-A:\r\nX-B: \r\n"),
        Received("GET", b"/x", fields={b"x-a": [b""], b"x-b": [b""]}),
    ),
    ok(
        "field twice, in order",
        get(fields=b"X-A: 1\r\nX-B: 2\r\nx-a: 3\r\n"),
        Received("GET", b"/x", fields={b"x-a": [b"1", b"3"]}),
    ),
    ok(
        "bytes above ASCII in a value",
        get(fields=b"X-A: \xe9\r\n"),
        Received("GET", b"/x", fields={b"x-a": [b"\xe9"]}),
    ),
    ok(
        "hop-by-hop fields end here",
        get(fields=b"TE: trailers\r\nKeep-Alive: 5\r\nProxy-Authorization: p\r\nTrailer: x\r\n"),
        Received(
            "GET",
            b"/x",
            fields={b"te": [], b"keep-alive": [], b"proxy-authorization": [], b"trailer": []},
        ),
    ),
    ok(
        "fields named by Connection end here",
        get(fields=b"Connection: x-a, X-B\r\nX-A: 1\r\nX-B: 2\r\nX-C: 3\r\n"),
        Received("GET", b"/x", fields={b"x-a": [], b"x-b": [], b"x-c": [b"3"]}),
    ),
    refused("blank before the colon", get(fields=b"X-A : b\r\n")),
    refused("no colon", get(fields=b"X-A\r\n")),
    refused("empty name", get(fields=b": b\r\n")),
    refused("bad character in a name", get(fields=b"X(A: b\r\n")),
    refused("folded value", get(fields=b"X-A: b\r\n c\r\n"), excepted_on={"h11": LENIENT}),
    refused("blank before the first field", b"GET /x HTTP/1.1\r\n Host: a\r\n\r\n"),
    refused("NUL in a value", get(fields=b"X-A: b\0c\r\n")),
    refused("CR in a value", get(fields=b"X-A: b\rc\r\n")),
    refused(
        "control character in a value", get(fields=b"X-A: b\x01c\r\n"), excepted_on={"h11": LENIENT}
    ),
    refused(
        "too many fields",
        get(fields=b"X-A: b\r\n" * HEADER_FIELDS),
        431,
        excepted_on={"asgi": NO_BOUND},
    ),
    ok("as many fields as allowed", get(fields=b"X-A: b\r\n" * (HEADER_FIELDS - 1)), X),
    refused(
        "head too large",
        get(fields=b"X-A: %b\r\n" % (b"b" * HEADER_BYTES)),
        431,
        excepted_on={"asgi": NO_BOUND},
    ),
    refused(
        "endless head",
        b"GET /x HTTP/1.1\r\nHost: a\r\nX-A: " + b"b" * HEADER_BYTES,
        431,
        excepted_on={"asgi": NO_BOUND},
    ),
    refused(
        "target too long", get(b"/" + b"x" * TARGET_BYTES), 414, excepted_on={"asgi": NO_BOUND}
    ),
    refused(
        "target larger than a head",
        get(b"/" + b"x" * HEADER_BYTES),
        414,
        excepted_on={"asgi": NO_BOUND},
    ),
    ok(
        "target as long as allowed",
        get(b"/" + b"x" * (TARGET_BYTES - 1)),
        Received("GET", b"/" + b"x" * (TARGET_BYTES - 1)),
    ),
)

BODIES = (
    ok("no body, no length", get(), Received("GET", b"/x", fields=NO_LENGTH)),
    ok(
        "sized body",
        sized(b"hello"),
        Received("POST", b"/x", b"hello", {b"content-length": [b"5"], b"transfer-encoding": []}),
    ),
    ok("empty sized body", sized(b""), Received("POST", b"/x", b"", {b"content-length": [b"0"]})),
    ok(
        "GET with a body",
        get(fields=b"Content-Length: 2\r\n") + b"hi",
        Received("GET", b"/x", b"hi"),
    ),
    ok("body that looks like a request", sized(get()), Received("POST", b"/x", get())),
    ok(
        "blanks around Content-Length",
        post(b"Content-Length: \t5 \r\n", b"hello"),
        Received("POST", b"/x", b"hello"),
    ),
    ok(
        "body as large as allowed",
        sized(b"b" * BODY_BYTES),
        Received("POST", b"/x", b"b" * BODY_BYTES),
    ),
    refused("body too large", post(b"Content-Length: %d\r\n" % (BODY_BYTES + 1)), 413),
    refused("length of twenty digits", post(b"Content-Length: 18446744073709551615\r\n")),
    refused("length overflows", post(b"Content-Length: 99999999999999999999999\r\n")),
    refused("length with leading zeros", post(b"Content-Length: 0005\r\n", b"hello")),
    refused("length with a sign", post(b"Content-Length: +5\r\n", b"hello")),
    refused("negative length", post(b"Content-Length: -5\r\n", b"hello")),
    refused("hexadecimal length", post(b"Content-Length: 0x5\r\n", b"hello")),
    refused("empty length", post(b"Content-Length:\r\n")),
    refused("length with a blank inside", post(b"Content-Length: 5 5\r\n", b"hello")),
    refused(
        "length twice, equal",
        post(b"Content-Length: 5\r\nContent-Length: 5\r\n", b"hello"),
        excepted_on={"h11": LENIENT},
    ),
    refused(
        "length twice, different", post(b"Content-Length: 5\r\nContent-Length: 6\r\n", b"hello")
    ),
    refused(
        "length list, equal",
        post(b"Content-Length: 5, 5\r\n", b"hello"),
        excepted_on={"h11": LENIENT},
    ),
    refused(
        "length and chunked",
        post(b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n"),
    ),
    refused(
        "chunked and length",
        post(b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", b"0\r\n\r\n"),
    ),
    ok(
        "chunked body",
        chunked(b"5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n"),
        Received("POST", b"/x", b"hello!"),
    ),
    ok("empty chunked body", chunked(b"0\r\n\r\n"), Received("POST", b"/x")),
    ok(
        "chunk data that looks like an end",
        chunked(b"9\r\n0\r\n\r\n\r\n\r\n\r\n0\r\n\r\n"),
        Received("POST", b"/x", b"0\r\n\r\n\r\n\r\n"),
    ),
    ok(
        "chunk size in upper case",
        chunked(b"A\r\n0123456789\r\n0\r\n\r\n"),
        Received("POST", b"/x", b"0123456789"),
    ),
    ok(
        "chunk size with zeros",
        chunked(b"0005\r\nhello\r\n000\r\n\r\n"),
        Received("POST", b"/x", b"hello"),
    ),
    ok(
        "short chunk extension",
        chunked(b'5;a="b"\r\nhello\r\n0\r\n\r\n'),
        Received("POST", b"/x", b"hello"),
    ),
    ok(
        "trailers are dropped",
        chunked(b"5\r\nhello\r\n0\r\nX-T: v\r\n\r\n"),
        Received("POST", b"/x", b"hello", {b"x-t": []}),
        excepted_on={"httptools": "may append trailers to the headers"},
    ),
    ok(
        "coding in upper case",
        post(b"Transfer-Encoding: CHUNKED\r\n", b"0\r\n\r\n"),
        Received("POST", b"/x"),
    ),
    refused(
        "endless chunk extension",
        chunked(b"1;%b\r\nx\r\n0\r\n\r\n" % (b"e" * 2 * HEADER_BYTES)),
        excepted_on={"asgi": NO_BOUND},
    ),
    refused(
        "endless zeros of a chunk size",
        chunked(b"%b1\r\nx\r\n0\r\n\r\n" % (b"0" * 2 * HEADER_BYTES)),
        excepted_on={"httptools": NO_BOUND},
    ),
    refused(
        "endless extensions of many chunks",
        chunked(b"1;%b\r\nx\r\n" % (b"e" * 40) * 200),
        excepted_on={"asgi": NO_BOUND},
    ),
    refused(
        "endless trailers",
        chunked(b"1\r\nx\r\n0\r\nX-T: %b\r\n\r\n" % (b"t" * 2 * HEADER_BYTES)),
        excepted_on={"asgi": NO_BOUND},
    ),
    refused("chunked body too large", chunked(b"801\r\n" + b"b" * 0x801 + b"\r\n0\r\n\r\n"), 413),
    refused(
        "chunk size with a blank",
        chunked(b"5 \r\nhello\r\n0\r\n\r\n"),
        excepted_on={"h11": LENIENT},
    ),
    refused("chunk size with 0x", chunked(b"0x5\r\nhello\r\n0\r\n\r\n")),
    refused("chunk size with a sign", chunked(b"+5\r\nhello\r\n0\r\n\r\n")),
    refused(
        "chunk size overflows",
        chunked(b"fffffffffffffffff\r\nx"),
        excepted_on={"h11": "takes sizes of twenty digits"},
    ),
    refused("chunk size no number", chunked(b"x\r\nhello\r\n0\r\n\r\n")),
    refused("chunk longer than its size", chunked(b"2\r\nhello\r\n0\r\n\r\n")),
    refused("chunk ended by LF alone", chunked(b"5\nhello\r\n0\r\n\r\n")),
    refused(
        "unknown coding before chunked",
        post(b"Transfer-Encoding: gzip, chunked\r\n", b"0\r\n\r\n"),
        501,
        excepted_on={"h11": "answers 400 by itself"},
    ),
    refused(
        "unknown coding alone",
        post(b"Transfer-Encoding: gzip\r\n", b"x"),
    ),
    refused(
        "chunked twice",
        post(b"Transfer-Encoding: chunked, chunked\r\n", b"0\r\n\r\n"),
    ),
    refused(
        "chunked in two fields",
        post(b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n"),
    ),
    refused(
        "identity, then chunked",
        post(b"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n"),
        501,
        excepted_on={"h11": "answers 400 by itself"},
    ),
    refused(
        "chunked, then identity",
        post(b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", b"0\r\n\r\n"),
    ),
    refused(
        "comma before chunked",
        post(b"Transfer-Encoding: ,chunked\r\n", b"0\r\n\r\n"),
    ),
    refused(
        "vertical tab before chunked",
        post(b"Transfer-Encoding: \x0bchunked\r\n", b"0\r\n\r\n"),
    ),
    refused(
        "empty coding",
        post(b"Transfer-Encoding:\r\n", b"0\r\n\r\n"),
    ),
    refused(
        "chunked in HTTP/1.0",
        b"POST /x HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    refused(
        "chunked in HTTP/1.0 with keep-alive",
        b"POST /x HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
)

CONNECTIONS = (
    ok("two requests at once", get() + get(b"/y"), X, Received("GET", b"/y")),
    ok(
        "three with bodies between",
        get() + sized(b"b") + get(b"/y"),
        X,
        Received("POST", b"/x", b"b"),
        Received("GET", b"/y"),
    ),
    ok(
        "chunked, then another",
        chunked(b"1\r\nb\r\n0\r\n\r\n") + get(b"/y"),
        Received("POST", b"/x", b"b"),
        Received("GET", b"/y"),
    ),
    ok("close", get(fields=b"Connection: close\r\n"), X, stays=False),
    ok(
        "close in capitals, in a list",
        get(fields=b"Connection: x, CLOSE\r\n"),
        X,
        stays=False,
    ),
    ok(
        "close and keep-alive: close",
        get(fields=b"Connection: keep-alive, close\r\n"),
        X,
        stays=False,
    ),
    ok(
        "what follows close is ignored",
        get(fields=b"Connection: close\r\n") + get(b"/y"),
        X,
        stays=False,
    ),
    ok(
        "garbage after close is ignored",
        get(fields=b"Connection: close\r\n") + b"garbage\r\n\r\n",
        X,
        stays=False,
    ),
    ok("HTTP/1.0 closes", get(version=b"HTTP/1.0"), X, stays=False),
    ok(
        "HTTP/1.0 keeps alive if asked",
        get(fields=b"Connection: keep-alive\r\n", version=b"HTTP/1.0"),
        X,
        excepted_on={"asgi": CLOSES_OTHERWISE},
    ),
    ok("HEAD", b"HEAD /x HTTP/1.1\r\nHost: a\r\n\r\n", Received("HEAD", b"/x"), heads=(0,)),
    ok(
        "HEAD, then GET",
        b"HEAD /x HTTP/1.1\r\nHost: a\r\n\r\n" + get(b"/y"),
        Received("HEAD", b"/x"),
        Received("GET", b"/y"),
        heads=(0,),
    ),
    Case(
        "a valid request, then a broken one",
        get() + b"BROKEN\r\n\r\n",
        (200, 400),
        stays=False,
        received=(X,),
        excepted_on={"httptools": NO_PIPELINE},
    ),
    Case(
        "a valid request, then a bad target",
        get() + get(b"/x%"),
        (200, 400),
        stays=False,
        received=(X,),
    ),
    ok(
        "Upgrade without a body is ignored",
        get(
            fields=b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
            b"HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n"
        ),
        Received("GET", b"/x", fields={b"upgrade": [], b"http2-settings": []}),
        excepted_on={"httptools": "loses what follows in the same read"},
    ),
    ok(
        "Upgrade, then another request",
        get(fields=b"Connection: Upgrade\r\nUpgrade: x\r\n") + get(b"/y"),
        X,
        Received("GET", b"/y"),
        excepted_on={"httptools": "loses what follows in the same read"},
    ),
    ok(
        "Upgrade not named by Connection",
        post(b"Upgrade: x\r\nContent-Length: 1\r\n", b"b"),
        Received("POST", b"/x", b"b", {b"upgrade": []}),
    ),
    refused(
        "Upgrade with a sized body",
        post(
            b"Connection: Upgrade\r\nUpgrade: x\r\nContent-Length: %d\r\n" % len(get(b"/y")),
            get(b"/y"),
        ),
    ),
    refused(
        "Upgrade with a chunked body",
        post(
            b"Connection: Upgrade\r\nUpgrade: x\r\nTransfer-Encoding: chunked\r\n",
            b"1\r\nb\r\n0\r\n\r\n",
        ),
    ),
    ok(
        "Upgrade with an empty body",
        post(b"Connection: Upgrade\r\nUpgrade: x\r\nContent-Length: 0\r\n"),
        Received("POST", b"/x"),
        excepted_on={"httptools": "loses what follows in the same read"},
    ),
    ok(
        "expectation of HTTP/1.0 is ignored",
        get(fields=b"Expect: 100-continue\r\n", version=b"HTTP/1.0"),
        Received("GET", b"/x", fields={b"expect": []}),
        stays=False,
    ),
    ok(
        "expectation without a body",
        get(fields=b"Expect: 100-continue\r\n"),
        Received("GET", b"/x", fields={b"expect": []}),
    ),
    ok(
        "expectation with the body at once",
        post(b"Expect: 100-Continue\r\nContent-Length: 1\r\n", b"b"),
        Received("POST", b"/x", b"b"),
    ),
    refused("unknown expectation", get(fields=b"Expect: miracles\r\n"), 417),
)

CASES = TARGETS + HOSTS + LINES + FIELDS + BODIES + CONNECTIONS
