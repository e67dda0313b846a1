"""Routing: which route takes a request, and which path nobody can use to slip past one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.gateway.routing import Match, RouteTable, loose_readings, methods_with_head
from tidegate.http.errors import BadRequest, MethodNotAllowed, RouteNotFound
from tidegate.http.target import normalised_path

TABLE = RouteTable(
    [
        Match("root", b"/"),
        Match("api", b"/api"),
        Match("admin", b"/api/admin", methods=methods_with_head(["GET"])),
        Match("status", b"/api/status", is_exact=True),
        Match("write", b"/api/things", methods=methods_with_head(["POST", "PUT"])),
        Match("read", b"/api/things", methods=methods_with_head(["GET"])),
        Match("named", b"/", host=b"api.example.com"),
        Match("below", b"/", host=b"*.example.com"),
        Match("deep", b"/only", host=b"*.deep.example.com"),
    ]
)
ONE = RouteTable([Match("api", b"/api/v1")])


@pytest.mark.parametrize(
    ("method", "host", "path", "expected"),
    [
        ("GET", b"h", b"/", ("root", 0)),
        ("GET", b"h", b"/other/a", ("root", 0)),
        ("GET", b"h", b"/api", ("api", 4)),
        ("GET", b"h", b"/api/", ("api", 4)),
        ("GET", b"h", b"/api/x/y/z/deeper/than/any/prefix", ("api", 4)),
        ("GET", b"h", b"/apix", ("root", 0)),
        ("GET", b"h", b"/api/admin", ("admin", 10)),
        ("HEAD", b"h", b"/api/admin/users", ("admin", 10)),
        ("GET", b"h", b"/api/administrators", ("api", 4)),
        ("GET", b"h", b"/api/status", ("status", 0)),
        ("GET", b"h", b"/api/status/x", ("api", 4)),
        ("POST", b"h", b"/api/things/1", ("write", 11)),
        ("GET", b"h", b"/api/things/1", ("read", 11)),
        ("GET", b"api.example.com", b"/api", ("named", 0)),
        ("GET", b"api.example.com:8000", b"/api", ("named", 0)),
        ("GET", b"api.example.com.", b"/api", ("named", 0)),
        ("GET", b"b.example.com", b"/api", ("below", 0)),
        ("GET", b"a.b.example.com", b"/api", ("below", 0)),
        ("GET", b"x.deep.example.com", b"/only/a", ("deep", 5)),
        ("GET", b"x.deep.example.com", b"/api", ("below", 0)),
        ("GET", b"example.com", b"/api", ("api", 4)),
        ("GET", b"[::1]:80", b"/api", ("api", 4)),
        ("GET", b"", b"/api", ("api", 4)),
    ],
)
def test_the_most_specific_host_and_the_longest_path_win(method, host, path, expected):
    assert TABLE.find(method, host, path) == expected


def test_a_path_that_no_route_covers_is_not_found():
    for path in (b"/", b"/api", b"/api/v", b"/api/v11", b"*"):
        with pytest.raises(RouteNotFound):
            ONE.find("GET", b"h", path)


def test_a_method_that_the_longest_path_does_not_take_is_405_with_allow():
    with pytest.raises(MethodNotAllowed) as caught:
        TABLE.find("DELETE", b"h", b"/api/things/1")
    assert caught.value.headers == [(b"allow", b"GET, HEAD, POST, PUT")]
    with pytest.raises(MethodNotAllowed):
        TABLE.find("POST", b"h", b"/api/admin")


@pytest.mark.parametrize(
    "path",
    [
        b"/other/..%2Fapi/admin",
        b"/x%2F..%2Fapi",
        b"/%2Fapi/admin",
        b"/api%2Fadmin",
        b"/api/x/..%2Fadmin",
        b"/api/x/..%5Cadmin",
        b"/api/%2e%2e%2Fapi/admin",
        b"/api/%252e%252e%252Fapi/admin",
        b"/api%252Fadmin",
        b"//api/admin",
        b"/api//admin",
        b"/api;x/admin",
        b"/api/admin;x=1/../y;/z"[:14],
        b"/api/;/admin",
        b"/API/admin",
        b"/api/Admin",
        b"/api/status/",
        b"/api/Status",
        b"/api/%61dmin%2F"[:12] + b"%2Fx",
        # Cut before it is decoded, by Tomcat for one.
        b"/api/admin;%2F..",
        b"/api/status;%2Fx",
        b"/api/status;%252Fx",
        # Decoded but not resolved, as WSGI and ASGI frameworks do.
        b"/api/admin%2F..",
        b"/api/admin%252F..",
        b"/api/admin%2Fx%2F..%2F..",
        b"/api/admin%3Fx",
        b"/api/admin%23x",
        # Windows ignores what ends a name; `$` of a regular expression a last line break.
        b"/api/admin.",
        b"/api/admin./x",
        b"/api/admin%20",
        b"/api/status%0A",
        b"/api/admin%C2%A0",
        b"/api/%EF%BC%A1dmin",
        b"/api/adm%C4%B1n",
        b"/api/adm%C4%B0n",
        b"/api%EF%BC%8Fadmin",
        b"/api/%C5%BFtatus",
    ],
)
def test_a_path_that_an_upstream_may_read_as_another_routes_is_refused(path):
    with pytest.raises(BadRequest, match="two ways"):
        TABLE.find("GET", b"h", normalised_path(path))


@pytest.mark.parametrize(
    "path",
    [
        b"/api/v1/..%2F..%2Fadmin",
        b"/api/v1/%2E%2E%2F%2E%2E%2Fadmin",
        b"/api/v1/..%5C..%5Cadmin",
        b"/api/v1/..;/..;/admin",
        b"/api/v1/x/..%252F..%252F..%252Fadmin",
    ],
)
def test_a_path_cannot_leave_the_only_prefix_that_is_exposed(path):
    with pytest.raises(BadRequest, match="two ways"):
        ONE.find("GET", b"h", normalised_path(path))


@pytest.mark.parametrize(
    "path",
    [
        b"/api/v1/@scope%2Fpackage",
        b"/api/v1/users/AbC",
        b"/api/v1//double",
        b"/api/v1/matrix;a=1/x",
        b"/api/v1/100%25",
        b"/api/v1/",
        b"/api/v1/a%2Fb%2Fc",
        b"/api/v1/caf%C3%A9/%E6%97%A5%20%F0%9F%8C%8A",
        b"/api/v1/latin/na%EFve",
        b"/api/v1/file.",
        b"/api/v1/why%3F",
    ],
)
def test_a_path_whose_every_reading_is_the_same_route_passes(path):
    assert ONE.find("GET", b"h", path) == ("api", 7)


def test_routes_that_differ_only_by_case_serve_their_own_spelling():
    table = RouteTable([Match("upper", b"/Users"), Match("lower", b"/users")])
    assert table.find("GET", b"h", b"/Users/1") == ("upper", 6)
    assert table.find("GET", b"h", b"/users/1") == ("lower", 6)


def test_endless_encoding_is_refused():
    with pytest.raises(BadRequest, match="again and again"):
        loose_readings(b"/%2525252525252525252E")


@pytest.mark.parametrize("path", [b"/api%C0%AFadmin", b"/%E0%80%AE%E0%80%AE/x", b"/a%2500.png"])
def test_what_no_honest_encoder_writes_is_refused(path):
    with pytest.raises(BadRequest, match=r"NUL|overlong"):
        TABLE.find("GET", b"h", path)


def test_a_route_is_reached_by_its_own_path_however_odd():
    table = RouteTable([Match("odd", b"/a;v=1/B."), Match("rest", b"/")])
    assert table.find("GET", b"h", b"/a;v=1/B./x") == ("odd", 9)
    assert table.find("GET", b"h", b"/caf%C3%A9/na%EFve/a.b") == ("rest", 0)


PIECES = st.sampled_from(
    [
        b"/",
        b"//",
        b".",
        b"..",
        b"%2F",
        b"%2f",
        b"%5C",
        b";x",
        b"api",
        b"API",
        b"admin",
        b"a",
        b"%252F",
    ]
)


@given(st.lists(PIECES, max_size=10))
def test_whatever_is_routed_is_the_same_route_in_every_looser_reading(pieces):
    """No path reaches one route while a looser reading lies in another's prefix."""
    try:
        path = normalised_path(b"/" + b"".join(pieces))
        route, _ = TABLE.find("GET", b"h", path)
    except (BadRequest, RouteNotFound, MethodNotAllowed):
        return
    for reading in loose_readings(path):
        again, _ = TABLE.find("GET", b"h", reading)
        assert again == route
