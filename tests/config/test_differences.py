"""What changed between two configurations, in words and without a secret."""

import pickle
import re
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


REFERRING = """\
version: 1
listen: {port: "${PORT}"}
redis: {url: "redis://u:${WORD}@store:1"}
plans:
  free: {rate: "${RATE}"}
tenants:
  - {name: acme, plan: free, keys: [{name: laptop, value: "${WORD}"}]}
services:
  - name: things
    targets: ["${UPSTREAM}", "http://127.0.0.1:9000"]
    tls: {ca_file: "${file:authority}"}
    routes:
      - name: one
        paths: ["/${WORD}"]
        cache: "${KEEP}"
        policies: [{use: own.py, settings: {token: "${WORD}"}}]
"""
MANY = ", ".join(f'"http://${{WORD}}{n}"' for n in range(9))


@pytest.fixture
def referring(configured, tmp_path: Path):
    """A configuration whose references bring other values for each `mark`."""

    def refer(mark: int, *changes: tuple[str, str]) -> Config:
        text = REFERRING
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        path = tmp_path / "referring.yaml"
        path.write_text(text)
        (tmp_path / "authority").write_text(f"S3CRET{mark}.pem\n")
        (tmp_path / f"S3CRET{mark}.pem").touch()
        environ = {"PORT": f"777{mark}", "RATE": f"777{mark}/s", "KEEP": f"777{mark}s"}
        environ |= {"WORD": f"S3CRET{mark}", "UPSTREAM": f"http://S3CRET{mark}:9"}
        return load(path, environ)

    return refer


REFERENCES = [
    (("${PORT}", "8123"), "listen.port ${PORT} → 8123"),
    (
        ("${UPSTREAM}", "https://${WORD}"),
        "service things: targets ${UPSTREAM}, http://127.0.0.1:9000 → "
        "https://${WORD}, http://127.0.0.1:9000",
    ),
    (("${RATE}", "5/s"), "plan free, limit steady: rate ${RATE} → 5/second"),
    (('"${RATE}"}', '"${RATE}", burst: 9}'), "plan free, limit steady: burst unset → 9"),
    (("${KEEP}", "${KEEP:-9s}"), None),
    (
        ("name: one", "name: other"),
        "service things, route other added: paths /${WORD}",
    ),
    (
        ("targets: [", f"targets: [{MANY}, "),
        "service things: targets: added http://${WORD}0, http://${WORD}1, http://${WORD}2, "
        "http://${WORD}3, http://${WORD}4 and 4 more",
    ),
]


@pytest.mark.parametrize("change, said", REFERENCES)
def test_a_reference_is_told_as_it_is_written(referring, change, said):
    old, new = referring(1), referring(1, change)
    lines = differences(old, new)
    assert lines[-1:] == ([] if said is None else [said])
    assert not re.search("S3CRET|777", "\n".join(lines + differences(new, old)))


def test_a_value_that_changed_behind_its_reference_is_told_without_it(referring):
    *lines, settings = differences(referring(1), referring(2))
    assert settings.endswith("own.py: settings changed (token)")
    assert [line.replace(" (its value changed)", "*") for line in lines] == [
        "listen.port ${PORT}*",
        "redis.url redis://u:***@store:1*",
        "plan free, limit steady: rate ${RATE}*",
        "tenant acme, key laptop: value changed (it is not shown)",
        "service things: targets ${UPSTREAM}, http://127.0.0.1:9000*",
        "service things: tls.ca_file ${file:authority}*",
        "service things, route one: paths /${WORD}*",
        "service things, route one: cache.default_ttl ${KEEP}*",
    ]


def test_references_make_no_difference_and_travel_to_other_processes(referring):
    old, literal = referring(1), referring(1, ("${PORT}", "7771"))
    assert old == literal
    assert differences(old, literal) == []
    travelled = pickle.loads(pickle.dumps(old))
    assert travelled.as_written("listen").as_written("port") == "${PORT}"
