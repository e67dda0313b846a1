"""What changed between two configurations, in words and without a secret."""

from pathlib import Path

import pytest

from tidegate.config import Config, differences, load

RIGHT = Path(__file__).parent / "right"
BASE = """\
version: 1
plans:
  free: {rate: 5/s, burst: 10}
tenants:
  - {name: acme, plan: free, keys: [{name: laptop, value: S3CRET}]}
services:
  - name: things
    targets: [http://127.0.0.1:9000]
    routes:
      - {name: one, paths: [/one]}
      - {name: two, paths: [/two]}
"""
POLICY = "policies: [{use: own.py, settings: {token: S3CRET, limit: 1}}]"


@pytest.fixture
def configured(tmp_path: Path):
    (tmp_path / "own.py").touch()

    def configure(*changes: tuple[str, str]) -> Config:
        text = BASE
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        path = tmp_path / "tidegate.yaml"
        path.write_text(text)
        return load(path, {})

    return configure


CHANGES = [
    ((), []),
    ((("5/s", "6/s"),), ["plan free, limit steady: rate 5/second → 6/second"]),
    (
        (("burst: 10", "burst: 10, quota: 9/day"),),
        ["plan free, limit daily added: quota 9/day"],
    ),
    (
        (("{rate: 5/s, burst: 10}", "{limits: [{name: steady, quota: 5/day}]}"),),
        ["plan free, limit steady: rate 5/second, burst 10 → quota 5/day"],
    ),
    (
        (("burst: 10}", "burst: 10}\n  gold: {rate: 9/s}"), ("plan: free", "plan: gold")),
        ["plan gold added", "tenant acme: plan free → gold"],
    ),
    (
        (("burst: 10}", "burst: 10, allow: [{route: one}, {route: two, methods: [GET]}]}"),),
        ["plan free: allow added: one, two"],
    ),
    ((("S3CRET", "S3CRET2"),), ["tenant acme, key laptop: value changed (it is not shown)"]),
    ((("laptop", "desk"),), ["tenant acme, key laptop removed", "tenant acme, key desk added"]),
    (
        (("name: two, paths: [/two]", "name: two, paths: [/2], auth: none, cache: 90s"),),
        [
            "service things, route two: paths /two → /2",
            "service things, route two: auth api-key → none",
            "service things, route two: cache added: default_ttl 90s",
        ],
    ),
    (
        (("{name: two, paths: [/two]}", "{name: 3, paths: [/3], cost: 2}"),),
        [
            "service things, route two removed",
            "service things, route 3 added: paths /3, cost 2",
        ],
    ),
    (
        (("paths: [/one]", f"paths: [/one], {POLICY}"),),
        ["service things, route one, policy OWN added"],
    ),
    (
        (("version: 1", "version: 1\nlisten: {port: 80, bounds: {body_bytes: 5MiB}}"),),
        ["listen.port 8000 → 80", "listen.bounds.body_bytes 1GiB → 5MiB"],
    ),
    (
        (("version: 1", "version: 1\nredis: {url: 'redis://u:S3CRET@store:1'}"),),
        ["redis.url embedded → redis://u:***@store:1"],
    ),
    (
        (("http://127.0.0.1:9000", ", ".join(f"http://a{n}" for n in range(12))),),
        [
            "service things: targets: added http://a0, http://a1, http://a2, http://a3, "
            "http://a4 and 7 more; removed http://127.0.0.1:9000"
        ],
    ),
]


@pytest.mark.parametrize("changes, said", CHANGES)
def test_each_change_is_a_line(configured, tmp_path, changes, said):
    lines = differences(configured(), configured(*changes))
    assert [line.replace(str(tmp_path / "own.py"), "OWN") for line in lines] == said


@pytest.mark.parametrize("changes, said", CHANGES)
def test_no_line_tells_a_secret_in_either_direction(configured, changes, said):
    old, new = configured(), configured(*changes)
    assert "S3CRET" not in "\n".join(differences(old, new) + differences(new, old))


def test_only_the_names_of_a_policy_s_settings_are_told(configured):
    old = configured(("paths: [/one]", f"paths: [/one], {POLICY}"))
    new = configured(("paths: [/one]", f"paths: [/one], {POLICY.replace('S3CRET', 'S3CRET2')}"))
    (line,) = differences(old, new)
    assert line.endswith("own.py: settings changed (token)")


def test_a_password_that_changed_is_told_without_showing_it(configured):
    old, new = (
        configured(("version: 1", f"version: 1\nredis: {{url: 'redis://u:{word}@store:1'}}"))
        for word in ("S3CRET", "S3CRET2")
    )
    (line,) = differences(old, new)
    assert line == "redis.url changed where it is not shown (redis://u:***@store:1)"


def test_order_is_told_where_it_means_something(configured):
    routes = ("{name: one, paths: [/one]}", "{name: two, paths: [/two]}")
    swapped = configured((routes[0], "HERE"), (routes[1], routes[0]), ("HERE", routes[1]))
    assert differences(configured(), swapped) == [
        "service things, routes in another order: two, one"
    ]


def test_the_same_policy_twice_is_told_apart(configured):
    twice = "policies: [{use: own.py}, {use: own.py}]"
    old = configured(("paths: [/one]", f"paths: [/one], {twice}"))
    new = configured(("paths: [/one]", f"paths: [/one], {twice[:-2]}, on_error: open}}]"))
    (line,) = differences(old, new)
    assert line.endswith("own.py #2: on_error closed → open")


@pytest.mark.parametrize("name", ["everything.yaml", "short_forms.yaml"])
def test_every_setting_can_appear_and_disappear(name, configured):
    environ = {"ACME_KEY": "abcdef"}
    whole, base = load(RIGHT / name, environ), configured()
    assert differences(whole, whole) == []
    assert differences(base, whole)
    assert differences(whole, base)


def test_what_a_plan_allows_is_told_by_route(configured):
    def allowing(entries: str) -> Config:
        return configured(("burst: 10}", f"burst: 10, allow: [{entries}]}}"))

    old = allowing("{route: one}, {route: two}")
    assert differences(old, allowing("{route: one, methods: [GET]}")) == [
        "plan free, allow one: methods unset → GET",
        "plan free, allow two removed",
    ]
    assert differences(old, configured()) == ["plan free: allow removed"]
