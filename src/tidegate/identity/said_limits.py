"""Limits that the API is told, held against the routes and units of the file as the file's own are.

A null that takes nothing away is the admin API's to refuse when it is written; it may become so.
"""

from collections.abc import Mapping

from tidegate.config.limits import REQUESTS, LimitEntry, NoLimit
from tidegate.identity.errors import InvalidObject
from tidegate.identity.file_objects import FileObjects


def check_limits(
    file: FileObjects, limits: tuple[LimitEntry, ...], route: str | None = None
) -> None:
    """Raise InvalidObject where two have one name, or a unit is what no request costs.

    `route`: the only one on which they are said.
    """
    if len({limit.name for limit in limits}) < len(limits):
        raise InvalidObject("Two limits in one list have the same name")
    units = file.units if route is None else file.units_by_route[route]
    for limit in limits:
        if isinstance(limit, NoLimit) or limit.unit in (REQUESTS, *units):
            continue
        where = "No route costs" if route is None else f"The route {route} does not cost"
        raise InvalidObject(f"{where} {limit.unit}: the limit {limit.name} would never count")


def check_limits_by_route(file: FileObjects, routes: Mapping[str, tuple[LimitEntry, ...]]) -> None:
    """Raise InvalidObject where there is no such route, or nobody's plan is known on it."""
    for route, limits in routes.items():
        if route not in file.route_names:
            raise InvalidObject(f"There is no route {route}")
        if route in file.open_routes:
            raise InvalidObject(f"The route {route} has auth: none: no plan is known there")
        check_limits(file, limits, route)
