"""`tidegate explain`: what it is told is checked before anything is asked."""

from typing import Any

import pytest

from tests.cli.served_admin_api import served_admin_api
from tidegate.config import load
from tidegate.store.gateways import Advertised, advertised, shown_store


@pytest.mark.parametrize("target", ["api/v1/things", "", "localhost/api"])
def test_a_path_begins_with_a_slash(commands: Any, target: str) -> None:
    refused = commands.run("explain", "GET", target)
    assert (refused.code, refused.out) == (2, "")
    assert "a path begins with /" in refused.err


@pytest.mark.parametrize("target", ["/open", "http://localhost/open"])
def test_a_path_and_a_url_are_explained(commands: Any, target: str) -> None:
    told = commands.run("explain", "GET", target, "--json")
    assert told.code == 0, told.err
    assert told.json["route"] == "open"


def test_an_empty_key_is_said_to_be_empty(commands: Any) -> None:
    refused = commands.run("explain", "GET", "/api/v1/x", "--key", "")
    assert (refused.code, refused.out) == (2, "")
    assert "the key is empty" in refused.err


def test_without_a_configuration_that_of_the_running_gateway_is_asked(
    commands: Any, run: Any
) -> None:
    where = ("--data-dir", str(commands.data_dir))
    store = shown_store(load(commands.config).redis, commands.data_dir)
    link = commands.config.with_name("link")
    link.symlink_to(commands.data_dir)
    for known, place in ((store, commands.data_dir), ("", commands.data_dir), (store, link)):
        with advertised(commands.data_dir, Advertised(str(commands.config), 1, store=known)):
            told = run("explain", "GET", "/open", "--json", "--data-dir", str(place))
        assert told.json["route"] == "open"
    refused = run("explain", "GET", "/open", *where)
    assert refused.code == 1
    assert "There is no configuration" in refused.err


def test_the_running_gateway_is_asked_and_says_the_same(commands: Any) -> None:
    requests = [
        ("GET", "/open"),
        ("PUT", "/open"),
        ("M-SEARCH", "/nowhere"),
        ("GET", "/a line\nand ü"),
        ("GET", "/open", "--host", "ü b"),
        ("GET", "/api/v1/x", "--host", "api.example.com"),
        ("GET", "/api/v1/x", "--host", "api.example.com", "--key", "ü b"),
        ("GET", "/api/v1/x?a=1", "--host", "api.example.com", "--key", commands.tenant),
    ]

    def told() -> list[Any]:
        answers = [commands.run("explain", *request, "--json") for request in requests]
        assert [answer.code for answer in answers] == [0] * len(requests)
        explanations = [answer.json | {"timings_ms": None} for answer in answers]
        for limit in explanations[-1]["limits"]:
            limit["reset_s"] = None  # goes on meanwhile
        return explanations

    from_store = told()
    with served_admin_api(commands.config, commands.data_dir) as asked:
        assert told() == from_store
        shown = commands.run("explain", *requests[-1])
    assert asked == ["POST /v1/explain 200"] * (len(requests) + 1)
    assert "Caller:  in_file (key_" in shown.out
    assert "steady" in shown.out
    assert [one["status"] for one in from_store] == [None, 405, 404, 400, 400, 401, 401, None]


@pytest.mark.parametrize(
    "arguments, status",
    [
        (("GET", "/\udcff"), 400),
        (("GET", "/open", "--host", "\udcff"), 400),
        (("GET", "/api/v1/x", "--host", "api.example.com", "--key", "\udcff"), 401),
    ],
    ids=["path", "host", "key"],
)
def test_bytes_that_are_no_text_are_refused_as_the_gateway_would(
    operated: Any, arguments: tuple[str, ...], status: int
) -> None:
    """As `$'/\\xff'` in a shell reaches a command."""
    told = operated.run("explain", *arguments, "--json")
    assert told.code == 0, told.err
    assert (told.json["verdict"], told.json["status"]) == ("refused", status)
    assert f"refused, {status}" in operated.run("explain", *arguments).out


def test_hosts_that_have_the_path_are_named(operated: Any) -> None:
    told = operated.run("explain", "GET", "/api/v1/x")
    assert told.code == 0
    assert (
        "Route:   none for Host 127.0.0.1:8000, but for api.example.com (see --host)\n" in told.out
    )
    assert operated.run("explain", "GET", "/api/v1/x", "--json").json["hosts"] == [
        "api.example.com"
    ]
    elsewhere = operated.run("explain", "GET", "/nowhere")
    assert "Route:   none\n" in elsewhere.out


def test_the_host_is_that_of_the_running_gateway_unless_another_is_given(commands: Any) -> None:
    def host(*more: str) -> str:
        return str(commands.run("explain", "GET", "/open", "--json", *more).json["host"])

    assert host() == "127.0.0.1:8000"
    for url, sent in (
        ("http://127.0.0.1:8765", "127.0.0.1:8765"),
        ("http://127.0.0.1:80", "127.0.0.1"),
        ("http://[::1]:8000", "[::1]:8000"),
    ):
        told = Advertised(str(commands.config), 1, traffic_url=url)
        with advertised(commands.data_dir, told):
            assert host() == sent
            assert host("--host", "api.example.com") == "api.example.com"


def test_records_carry_a_date_and_who_answers_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    from tidegate.cli.explain import _print
    from tidegate.gateway import Explanation

    record = {"time": 0.25, "status": 200, "verdict": "admitted", "source": "cache"}
    _print(
        Explanation("GET", "h", "/", "answered", cache="hit: fresh for 9 s more", recent=[record])
    )
    shown = capsys.readouterr().out
    assert "Verdict: answered from the cache\n" in shown
    assert "1970-01-01 00:00:00Z  200" in shown
    _print(Explanation("GET", "h", "/health", "answered"))
    assert "Verdict: answered by the gateway itself\n" in capsys.readouterr().out


def test_shadow_and_near_limits_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    from tidegate.cli.explain import _print
    from tidegate.gateway import Explanation
    from tidegate.gateway.explain import ExplainedLimit

    limits = [
        ExplainedLimit("trial", 2, 0, 9, refuses=True, shadow=True),
        ExplainedLimit("later", 2, 1, 9, refuses=False, shadow=True),
        ExplainedLimit("monthly", 10, 1, 9, refuses=False, near=True),
    ]
    record = {"time": 0, "status": 200, "verdict": "admitted", "source": "upstream"}
    recent = [record | {"would_refuse": ["trial"]}, record]
    _print(Explanation("GET", "h", "/x", "forwarded", limits=limits, recent=recent))
    out = capsys.readouterr().out
    words = ("would, in shadow", "no, in shadow", "no, but near")
    rows = [line for line in out.splitlines() if "9 s" in line]
    assert all(word in row for word, row in zip(words, rows, strict=True)), out
    assert "admitted, in shadow trial" in out


def test_an_address_and_headers_are_told_as_limits_count_by_them(commands: Any) -> None:
    limits = "limits: [{name: a, rate: 1/h, per: address}, {name: u, rate: 1/h, per: 'header:X-U'}]"
    text = commands.config.read_text().replace("auth: none", f"auth: none, {limits}")
    commands.config.write_text(text)
    asked = ("explain", "GET", "/open", "--from", "2001:db8::1")
    missing = commands.run(*asked, "--json").json
    assert (missing["status"], "header x-u" in missing["reason"]) == (400, True)
    told = commands.run(*asked, "-H", "X-U: ada", "--json").json
    assert [limit["name"] for limit in told["limits"]] == ["u", "a"]
    assert told["caller"] is None


@pytest.mark.parametrize(
    "option, value", [("--from", "example.com"), ("--header", "X-U"), ("--header", ": x")]
)
def test_what_is_no_address_or_header_is_refused(commands: Any, option: str, value: str) -> None:
    printed = commands.run("explain", "GET", "/open", option, value)
    assert printed.code == 2
    assert option in printed.err


def test_what_is_reserved_in_other_units_is_part_of_the_cost(commands: Any) -> None:
    text = commands.config.read_text()
    text = text.replace("cost: 3", "cost: 3, costs: {tokens: {reserve: 500}, images: {reserve: 2}}")
    text = text.replace("quota: 1000/day", "limits: [{name: t, rate: 400/m, unit: tokens}]")
    commands.config.write_text(text)
    request = ("GET", "/api/v1/x", "--host", "api.example.com", "--key", commands.tenant)

    def told() -> Any:
        # A reservation is at most what the limit holds.
        assert "Cost:    3, 400 tokens, 2 images\n" in commands.run("explain", *request).out
        return commands.run("explain", *request, "--json").json["costs"]

    assert told() == {"tokens": 400, "images": 2}
    with served_admin_api(commands.config, commands.data_dir):
        assert told() == {"tokens": 400, "images": 2}
