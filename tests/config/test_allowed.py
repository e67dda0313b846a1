"""Which routes a plan has: every form people write, and what `extends` hands on."""

from pathlib import Path

import jsonschema
import pytest

from tidegate.config import Allowed, ConfigError, config_json_schema, load

FILE = """\
version: 1
plans:
  free: {{rate: 5/s, allow: {allow}}}
  basic: {{extends: free, rate: 20/s}}
  more: {{extends: basic, allow: [exports]}}
  all: {{extends: basic, allow: null}}
  unbound: {{rate: 5/s}}
services:
  - name: shop
    targets: [http://127.0.0.1:9000]
    routes: [{{name: reports, paths: [/r], methods: [GET]}}, {{name: exports, paths: [/e]}}]
"""
REPORTS = Allowed(route="reports")
GET_REPORTS = Allowed(route="reports", methods=("GET",))


def plans(tmp_path: Path, allow: str) -> dict[str, tuple[Allowed, ...] | None]:
    path = tmp_path / "tidegate.yaml"
    path.write_text(FILE.format(allow=allow))
    return {name: plan.allow for name, plan in load(path, {}).plans.items()}


@pytest.mark.parametrize(
    "written, meant",
    [
        ("reports", (REPORTS,)),
        ("[reports]", (REPORTS,)),
        ("[{route: reports}]", (REPORTS,)),
        ("{reports: }", (REPORTS,)),
        ("{route: reports, methods: GET}", (GET_REPORTS,)),
        ("[{route: reports, methods: [GET]}]", (GET_REPORTS,)),
        ("{reports: GET}", (GET_REPORTS,)),
        ("[exports, {route: reports, methods: GET}]", (Allowed(route="exports"), GET_REPORTS)),
        ("{reports: [GET], exports: }", (GET_REPORTS, Allowed(route="exports"))),
    ],
)
def test_every_form_means_a_list_of_routes_with_methods(
    tmp_path: Path, written: str, meant: tuple[Allowed, ...]
) -> None:
    assert plans(tmp_path, written)["free"] == meant


def test_a_plan_has_its_parents_list_or_one_of_its_own_whole_or_none(tmp_path: Path) -> None:
    allowed = plans(tmp_path, "[reports]")
    assert allowed["basic"] == (REPORTS,)
    assert allowed["more"] == (Allowed(route="exports"),)
    assert allowed["all"] is None
    assert allowed["unbound"] is None


@pytest.mark.parametrize("written", ["{reports: []}", "[{route: reports, methods: }]", "''"])
def test_a_list_that_is_empty_by_accident_never_means_everything(
    tmp_path: Path, written: str
) -> None:
    with pytest.raises(ConfigError, match=r"plans\.free\.allow"):
        plans(tmp_path, written)


@pytest.mark.parametrize(
    "allow",
    [
        "reports",
        ["reports", {"route": "reports", "methods": "GET"}],
        {"reports": ["GET"], "exports": None},
        {"route": "reports", "methods": ["GET"]},
        None,
    ],
)
def test_an_editor_underlines_none_of_the_forms(allow: object) -> None:
    document = {
        "version": 1,
        "plans": {"free": {"rate": "5/s", "allow": allow}},
        "services": [{"name": "a", "targets": ["asgi:a.b:c"], "routes": [{"name": "r"}]}],
    }
    jsonschema.validate(document, config_json_schema())
