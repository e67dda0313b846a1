"""The code of the user's own that a configuration names, loaded as each worker loads it.

Policies are imported and built, functions of costs imported, and `asgi:` applications imported but
not started. What goes wrong is told with the line that names it, all of it at once. What a module
prints while it is imported goes to standard error, since standard output is the command's.
"""

import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path

from tidegate.config import Config, ConfigError, Problem, Route, Service
from tidegate.config.costs import Cost, FunctionCost
from tidegate.config.places import Places
from tidegate.policies import PolicyNotLoaded
from tidegate.policies.cost import load as load_cost
from tidegate.policies.custom import load as load_policy
from tidegate.upstream import AsgiApps, TargetNotLoaded, upstream_of


def check_own_code(config: Config) -> None:
    """Raise ConfigError with everything on which a worker would refuse to start."""
    apps = AsgiApps(Path.cwd())
    with redirect_stdout(sys.stderr):
        problems = [
            problem
            for number, service in enumerate(config.services)
            for problem in _of_service(service, f"services[{number}]", config.places, apps)
        ]
    if problems:
        raise ConfigError(problems)


def _of_service(service: Service, field: str, places: Places, apps: AsgiApps) -> Iterator[Problem]:
    try:
        upstream_of(service, apps)
    except TargetNotLoaded as error:
        mark = places.mark("target", f"{service.name}/0")
        yield Problem(f"{field}.targets[0]", *mark, str(error))
    except ValueError as error:
        yield Problem(f"{field}.tls", *places.mark("service", service.name), str(error))
    for number, route in enumerate(service.routes):
        yield from _of_route(route, f"{field}.routes[{number}]", places)


def _of_route(route: Route, field: str, places: Places) -> Iterator[Problem]:
    for number, entry in enumerate(route.policies):
        try:
            load_policy(entry, Path.cwd())
        except PolicyNotLoaded as error:
            mark = places.mark("policy", f"{route.name}/{number}")
            yield Problem(f"{field}.policies[{number}]", *mark, str(error))
    yield from _of_cost(route.cost, f"{field}.cost", places, route.name)
    for unit, cost in route.costs.items():
        place = f"{field}.costs.{unit}.reserve"
        yield from _of_cost(cost.reserve, place, places, f"{route.name}/{unit}")


def _of_cost(cost: Cost, field: str, places: Places, name: str) -> Iterator[Problem]:
    if isinstance(cost, FunctionCost):
        try:
            load_cost(cost, Path.cwd())
        except PolicyNotLoaded as error:
            yield Problem(f"{field}.function", *places.mark("cost function", name), str(error))
