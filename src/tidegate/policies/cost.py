"""What a request costs, in each unit of its route: a number, or what the request itself says.

Compiled once for a route: where all is fixed, nothing is left to do for a request. A header is
believed from trusted proxies alone, since whoever may name the price of his own requests has no
limit; from them, what is no whole number is a 400 and never a guess. A function of the user's own
runs on the event loop, at the moment the limits are asked: it is for what can be told from the
request at once. Where it fails, nothing is charged and nothing is sent on.
"""

import inspect
import logging
from collections.abc import Callable, Iterable
from pathlib import Path
from time import perf_counter
from typing import Any, Final, Self

from tidegate.config import Route
from tidegate.config.costs import Cost, FunctionCost, HeaderCost
from tidegate.http import GatewayError
from tidegate.http.errors import PolicyFailed
from tidegate.policies.client_address import TrustedProxies
from tidegate.policies.now_and_then import NowAndThen
from tidegate.policies.own_code import PolicyNotLoaded, function_of
from tidegate.policies.policy import Request
from tidegate.policies.usage_paths import whole_number
from tidegate.rate_limiter import REQUESTS, Costs, Subject

logger: Final = logging.getLogger("tidegate.policies")

SLOW_S: Final = 0.02
"""A function that takes longer delays all other requests of its worker: said in the log."""

CostOf = Callable[[Request], int]
"""What a user's function is: `def cost(request: Request) -> int`."""


class CostUnclear(GatewayError):
    status = 400
    slug = "cost-unclear"
    title = "What this request costs is not clear"


class RouteCosts:
    """The costs of one route, in the order of `units`: requests first, then what is reserved."""

    __slots__ = ("_cost", "_reserved", "fixed", "units")

    def __init__(
        self, cost: int | CostOf, reserved: Iterable[tuple[str, int | CostOf]] = ()
    ) -> None:
        self._cost = cost
        self._reserved = tuple(reserved)
        self.units = (REQUESTS, *(unit for unit, _ in self._reserved))
        self.fixed = (cost,) if isinstance(cost, int) and not self._reserved else None
        """Of every request; None: it depends."""

    @classmethod
    def of_route(cls, route: Route, proxies: TrustedProxies, directory: Path) -> Self:
        """Raises PolicyNotLoaded."""
        reserved = (
            (unit, cost_of(cost.reserve, proxies, directory)) for unit, cost in route.costs.items()
        )
        return cls(cost_of(route.cost, proxies, directory), reserved)

    def of(self, request: Request, subject: Subject) -> Costs:
        """Return what `request` costs; no more is reserved than limits hold, or none would pass.

        Raises CostUnclear or PolicyFailed.
        """
        costs = [_amount(self._cost, request)]
        for unit, amount in self._reserved:
            most = subject.capacity_of(unit)
            reserved = _amount(amount, request)
            costs.append(reserved if most is None else min(reserved, most))
        return tuple(costs)


def _amount(cost: int | CostOf, request: Request) -> int:
    return cost if isinstance(cost, int) else cost(request)


def cost_of(cost: Cost, proxies: TrustedProxies, directory: Path) -> int | CostOf:
    """Return a cost as a number, or as the function that finds it. Raises PolicyNotLoaded."""
    match cost:
        case int():
            return cost
        case HeaderCost():
            return _by_header(cost, proxies)
        case FunctionCost():
            return _by_function(cost, directory)
        case _:
            return _by_method(cost)


def _by_method(costs: dict[str, int]) -> CostOf:
    default = costs.get("default", 1)
    return lambda request: costs.get(request.method, default)


def _by_header(settings: HeaderCost, proxies: TrustedProxies) -> CostOf:
    name, default, cost_max = settings.header.encode(), settings.default, settings.max

    def cost(request: Request) -> int:
        said = request.headers.get_all(name)
        if not said or not proxies.trusts(request.client):
            return default
        number = whole_number(said[0]) if len(said) == 1 else None
        if number is None:
            raise CostUnclear(
                f"{settings.header} must be one whole number; more than {cost_max} counts as that",
                members={"header": settings.header},
            )
        return min(number, cost_max)

    return cost


def load(settings: FunctionCost, directory: Path) -> CostOf:
    """Return the user's function as it is. Raises PolicyNotLoaded."""
    function = function_of(settings.function, "cost", directory, "cost function")
    called = function if inspect.isroutine(function) else type(function).__call__
    if inspect.iscoroutinefunction(called):
        message = "it is `async`, but a cost is told at once: write `def cost(request)`"
        raise PolicyNotLoaded(f"cost function `{settings.function}`: {message}")
    try:
        inspect.signature(function).bind(None)
    except (TypeError, ValueError):
        message = "it takes one argument, the request: write `def cost(request)`"
        raise PolicyNotLoaded(f"cost function `{settings.function}`: {message}") from None
    return function


def _by_function(settings: FunctionCost, directory: Path) -> CostOf:
    function, name, cost_max = load(settings, directory), settings.function, settings.max
    now_and_then = NowAndThen()

    def cost(request: Request) -> int:
        began = perf_counter()
        try:
            found: Any = function(request)
        except GatewayError:
            raise
        except Exception as error:
            logger.error("cost function %s raised", name, exc_info=error)
            raise PolicyFailed("The function that tells what a request costs raised") from error
        took_s = perf_counter() - began
        if took_s > SLOW_S and now_and_then.has_come():
            logger.warning(
                "cost function %s took %d ms: nothing else runs then", name, took_s * 1e3
            )
        if type(found) is not int or found < 0:
            logger.error("cost function %s returned %.100r, which is no cost", name, found)
            raise PolicyFailed("The function that tells what a request costs returned no cost")
        return min(found, cost_max)

    return cost
