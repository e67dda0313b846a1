"""What the plan has: whether a caller's plan allows this route and method, or the answer is a 403.

Decided by authenticate as soon as the caller is known, hence before anything is charged: a plan
made through the API may begin to carry `allow` at any moment, so no chain can do without, and a
layer of its own would cost every request two calls. This costs one `is None` where the plan allows
everything, else one look-up.
"""

from collections.abc import Mapping

from tidegate.config import Plan
from tidegate.http.errors import GatewayError
from tidegate.identity import Caller, grants_of


class PlanNotEntitled(GatewayError):
    status = 403
    slug = "plan-not-entitled"
    title = "The plan does not have this route"


class Entitlement:
    """Decides for one route. `plans` are the file's: the ones a refusal may name."""

    def __init__(self, route: str, plans: Mapping[str, Plan]) -> None:
        self._route = route
        self._grants = {name: grants_of(plan.allow) for name, plan in plans.items()}

    def covers(self, caller: Caller, method: str) -> bool:
        return _covers(caller.grants, self._route, method)

    def refusal(self, caller: Caller, method: str) -> PlanNotEntitled:
        """Return the 403, which names the plans that have what was asked for.

        A plan made through the API is not named: it may be one customer's own.
        """
        having = [
            name for name, grants in self._grants.items() if _covers(grants, self._route, method)
        ]
        others = f"it is on {', '.join(having)}" if having else "no plan of the file has it"
        return PlanNotEntitled(
            f"Plan {caller.plan} does not have {method} on route {self._route}; {others}",
            members={
                "plan": caller.plan,
                "route": self._route,
                "method": method,
                "entitled-plans": having,
            },
        )


def _covers(grants: Mapping[str, frozenset[str]] | None, route: str, method: str) -> bool:
    if grants is None:
        return True
    methods = grants.get(route)
    return methods is not None and (not methods or method in methods)
