"""Limits that the API is told are held against the routes and units of the file."""

from typing import Any

import pytest

from tidegate.config import Config
from tidegate.config.limits import NoLimit, TokenBucket
from tidegate.config.units import parse_rate
from tidegate.identity import InvalidObject
from tidegate.identity.file_objects import FileObjects
from tidegate.identity.said_limits import check_limits, check_limits_by_route


@pytest.fixture
def file() -> FileObjects:
    routes: list[dict[str, Any]] = [
        {"name": "talk", "paths": ["/talk"], "costs": {"tokens": {"reserve": 5}}},
        {"name": "search", "paths": ["/search"]},
        {"name": "open", "paths": ["/open"], "auth": ()},
    ]
    service = {"name": "shop", "targets": ["http://127.0.0.1:9000"], "routes": routes}
    return FileObjects(Config.model_validate({"version": 1, "services": [service]}))


def limit(unit: str = "requests", name: str = "a") -> TokenBucket:
    return TokenBucket(name=name, rate=parse_rate("5/s"), unit=unit)


def test_a_unit_is_one_that_a_route_costs(file: FileObjects) -> None:
    check_limits(file, (limit("tokens"), NoLimit(name="b", rate=None)))
    with pytest.raises(InvalidObject, match="No route costs rows: the limit a would never count"):
        check_limits(file, (limit("rows"),))


def test_on_a_route_it_is_one_that_this_route_costs(file: FileObjects) -> None:
    check_limits_by_route(file, {"talk": (limit("tokens"),), "search": (limit(),)})
    with pytest.raises(InvalidObject, match="The route search does not cost tokens"):
        check_limits_by_route(file, {"search": (limit("tokens"),)})


def test_a_name_is_there_once(file: FileObjects) -> None:
    with pytest.raises(InvalidObject, match="the same name"):
        check_limits(file, (limit(), NoLimit(name="a", rate=None)))


@pytest.mark.parametrize("route, words", [("nope", "no route nope"), ("open", "auth: none")])
def test_a_plans_route_is_one_that_has_plans(file: FileObjects, route: str, words: str) -> None:
    with pytest.raises(InvalidObject, match=words):
        check_limits_by_route(file, {route: (limit(),)})
