"""`tidegate routes` prints what would run."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from tests.cli.served_admin_api import served_admin_api
from tidegate.cli.routes import _limit, _limit_in_words
from tidegate.config.limits import CheckedEntry
from tidegate.store.gateways import Advertised, advertised

POLICY = """\
from tidegate.policies import Next, Policy, Request, Response

def build() -> Policy:
    async def mine(request: Request, call_next: Next) -> Response:
        return await call_next(request)
    return mine
"""


def test_routes_are_printed_with_match_policies_and_limits(commands: Any) -> None:
    printed = commands.run("routes")
    assert printed.code == 0
    lines = printed.out.splitlines()
    assert lines[1].split("  ")[0] == "open"
    assert "GET /open" in lines[1]
    assert "authenticate" not in lines[1]
    assert "api.example.com /api/v1/*" in lines[2]
    assert "request_identity > authenticate > limit" in lines[2]
    assert lines[2].index("authenticate") < lines[2].index("limit") < lines[2].index("forward")
    assert "by plan, cost 3" in lines[2]
    assert "small  steady 5/second, burst 10, per key; daily 1000/day, per key" in lines


def test_json_names_the_policies_in_order(commands: Any) -> None:
    told = commands.run("routes", "--json").json
    by_name = {route["name"]: route for route in told["routes"]}
    assert by_name["open"]["limits"] is None
    assert by_name["open"]["exact_paths"] == ["/open"]
    assert by_name["api"]["policies"][:3] == ["request_identity", "authenticate", "limit"]
    assert by_name["api"]["cost"] == 3


def test_a_policy_of_the_users_own_is_shown_where_it_stands(commands: Any, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(POLICY)
    text = commands.config.read_text().replace(
        "cost: 3", "policies: [{use: mine.py, before: limit}]"
    )
    commands.config.write_text(text)
    policies = commands.run("routes", "--json").json["routes"][1]["policies"]
    at = policies.index("limit")
    assert policies[at - 2] == "authenticate"
    assert policies[at - 1].endswith("mine.py")


def test_a_policy_that_does_not_load_is_the_error(commands: Any, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("raise ValueError('broken')\n")
    commands.config.write_text(
        commands.config.read_text().replace("cost: 3", "policies: [{use: mine.py}]")
    )
    failed = commands.run("routes")
    assert failed.code == 1
    assert "mine.py" in failed.err
    assert "broken" in failed.err


def test_the_routes_that_a_plan_has_are_shown_where_a_plan_names_them(commands: Any) -> None:
    text = commands.config.read_text().replace("small: {", "small: {allow: {api: [GET]}, ")
    commands.config.write_text(text)
    assert "GET api" in commands.run("routes").out
    told = commands.run("routes", "--json").json
    assert told["allow"]["small"] == [{"route": "api", "methods": ["GET"]}]


def test_a_target_that_does_not_import_is_the_error(commands: Any) -> None:
    lines = commands.config.read_text().splitlines()
    target = next(line for line in lines if "targets:" in line)
    before, _, rest = target.partition("targets: [")
    asgi = f'{before}targets: ["asgi:tg_none:app"{rest[rest.index("]") :]}'
    commands.config.write_text("\n".join(asgi if line == target else line for line in lines))
    failed = commands.run("routes")
    assert failed.code == 1
    assert "there is no module tg_none" in failed.err


def test_the_cache_is_shown_where_it_stands(commands: Any) -> None:
    text = commands.config.read_text().replace("cost: 3", "cache: 60s")
    commands.config.write_text(text)
    printed = commands.run("routes", "--json")
    assert printed.err == ""
    open_route, cached = (route["policies"] for route in printed.json["routes"])
    assert (open_route[-1], cached[-2:]) == ("forward", ["cache", "forward"])


def test_beside_a_gateway_what_it_runs_is_printed_whatever_its_file_says_now(
    commands: Any, run: Any, tmp_path: Path
) -> None:
    (tmp_path / "mine.py").write_text(POLICY)
    text = commands.config.read_text().replace("small: {", "small: {allow: {api: [GET]}, ")
    text = text.replace("cost: 3", "cost: 3, policies: [{use: mine.py, before: limit}]")
    commands.config.write_text(text)
    where = ("--data-dir", str(commands.data_dir))
    of_the_file = [commands.run("routes", *options) for options in ((), ("--json",))]
    with served_admin_api(commands.config, commands.data_dir) as asked:
        for config in (text.replace("/api/v1", "/another"), text + "oops: 1\n"):
            commands.config.write_text(config)
            in_force = [run("routes", *options, *where) for options in ((), ("--json",))]
            assert in_force == of_the_file
    assert asked == ["GET /v1/routes 200", "GET /v1/plans 200"] * 4


@pytest.mark.parametrize("url", ["", "http://127.0.0.1:1"])
def test_beside_a_gateway_that_cannot_be_asked_the_file_is_said_to_be_the_file(
    commands: Any, run: Any, url: str
) -> None:
    told = Advertised(str(commands.config), 42, url=url, traffic_url="http://127.0.0.1:8765")
    with advertised(commands.data_dir, told):
        printed = run("routes", "--data-dir", str(commands.data_dir))
    assert "/api/v1/*" in printed.out
    assert printed.err.startswith("These are the file's: the gateway that runs (pid 42) cannot")


@pytest.mark.parametrize(
    "limit, words",
    [
        ({"rate": "5/s", "burst": 10}, "x 5/second, burst 10, per key"),
        ({"rate": "5/s", "algorithm": "sliding-window"}, "x 5/second, sliding, per key"),
        ({"quota": "9/day", "per": "tenant"}, "x 9/day, per tenant"),
        ({"concurrency": 3, "per": "header:x-user"}, "x 3 at a time, per header:x-user"),
        ({"rate": None}, "x taken away"),
    ],
)
def test_every_kind_of_limit_has_words(limit: Any, words: str) -> None:
    checked = TypeAdapter(CheckedEntry).validate_python({"name": "x"} | limit)
    assert _limit_in_words(_limit(checked)) == words
