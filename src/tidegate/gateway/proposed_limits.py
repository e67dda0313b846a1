"""What a proposed configuration says of a recorded request: in which limits it counts, and for how
much. And what a record cannot tell, so that nobody takes silence for an answer.

Whose limits these are is the record's word (tenant, key, plan of then), what they are the proposed
file's: a tenant that the file has is on the plan that the file gives him.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from tidegate.config import Config, Route
from tidegate.config.costs import UnitCost
from tidegate.config.fields import FILL_S_MAX
from tidegate.config.limits import Concurrency, Limit, SlidingWindow, TokenBucket
from tidegate.config.precedence import NOBODY, Applied, OwnLimits, applied
from tidegate.config.units import Rate
from tidegate.identity.file_objects import FileObjects
from tidegate.policies.applicable_limits import applicable
from tidegate.policies.scopes import ADDRESS
from tidegate.rate_limiter import REQUESTS, Subject, Whose
from tidegate.rate_limiter.limits import compiled_subject

SUBJECTS_MAX: Final = 10_000
COARSE: Final = 10
"""A sample that stands for 100 requests says nothing of a burst of 10: a limit that holds less than
so many samples is judged by its rate, over the time in which they flow."""
API_TENANTS: Final = "what the API says of single tenants and keys that the file does not have"


class NotReplayed(Exception):
    """A request that the proposed configuration says nothing of, in words."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request counts in, and what it costs there."""

    subject: Subject
    costs: tuple[int, ...]


class ProposedLimits:
    """Of one proposed configuration."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._file = FileObjects(config)
        self._routes = {route.name: route for of in config.services for route in of.routes}
        self._subjects: dict[tuple[str | None, ...], Subject] = {}
        self._weight = 1
        self.left_out: dict[str, None] = {}
        """What records cannot be held against, and why; in the order in which it was met."""
        self.coarse: set[str] = set()
        """Limits that are finer than the sample."""

    def asked(self, record: Mapping[str, Any]) -> Asked:
        """Return what a recorded request would count in. Raises NotReplayed."""
        route = self._routes.get(record["route"])
        if route is None:
            raise NotReplayed(f"route {record['route']} is not in the proposed configuration")
        if record["weight"] > self._weight:
            # Before the first sample nobody knows how coarse they are.
            self._weight = record["weight"]
            self._subjects.clear()
        told = record.get("costs", {})
        fixed = {unit: _fixed(cost) for unit, cost in route.costs.items()}
        units = (REQUESTS, *(u for u, cost in fixed.items() if cost is not None or u in told))
        key = record["tenant"], record["key_id"], record["plan"], route.name, *units
        subject = self._subjects.pop(key, None) or self._compiled(record, route, units)
        if len(self._subjects) >= SUBJECTS_MAX:
            del self._subjects[next(iter(self._subjects))]
        self._subjects[key] = subject
        others = (told[u] if (cost := fixed[u]) is None else cost for u in units[1:])
        return Asked(subject, (_cost(route, record), *others))

    def key_name(self, key_id: str) -> str:
        """Return what the file calls a key; its id where it does not know it."""
        path = self._file.key_paths_by_id.get(key_id)
        return key_id if path is None else path.partition("/")[2]

    def _compiled(self, record: Mapping[str, Any], route: Route, units: tuple[str, ...]) -> Subject:
        own, plan = self._own(record)
        whose = Whose(record["tenant"] or "", record["key_id"] or "", plan, route.name)
        said = []
        for limit, level in applied(self._config.limits, route, own):
            if reason := _not_told(limit, route, units):
                self.left_out[f'limit "{limit.name}": {reason}'] = None
            else:
                said.append(Applied(self._fitting(limit), level))
        return compiled_subject(applicable(said, whose, units).counters(), units)

    def _own(self, record: Mapping[str, Any]) -> tuple[OwnLimits, str]:
        """Return what is said of the caller, and his plan."""
        if record["tenant"] is None:
            return NOBODY, ""
        tenant = self._file.tenants.get(record["tenant"])
        name = record["plan"] if tenant is None else tenant.plan
        plan = self._file.plans.get(name)
        if plan is None:
            raise NotReplayed(f"plan {name} is not in the proposed configuration")
        if tenant is None:
            self.left_out[API_TENANTS] = None
        path = self._file.key_paths_by_id.get(record["key_id"])
        key = None if path is None else self._file.keys_by_path[path]
        own = OwnLimits(
            plan.limits,
            plan.routes,
            () if tenant is None else tenant.limits,
            () if key is None else key.limits,
        )
        return own, name

    def _fitting(self, limit: Limit) -> Limit:
        """Return the limit, or one of its rate that holds enough samples."""
        least = COARSE * self._weight
        rate = limit.rate if isinstance(limit, TokenBucket | SlidingWindow) else None
        held = limit.burst if isinstance(limit, TokenBucket) else rate.count if rate else least
        if self._weight == 1 or rate is None or held >= least:
            return limit
        self.coarse.add(limit.name)
        return TokenBucket(
            name=limit.name,
            rate=rate,
            burst=max(held, min(least, _fills(rate))),
            per=limit.per,
            unit=limit.unit,
            shadow=limit.shadow,
        )


def _fills(rate: Rate) -> int:
    """Return the largest burst that a bucket of this rate may have."""
    return FILL_S_MAX * rate.count // rate.period_s


def _not_told(limit: Limit, route: Route, units: tuple[str, ...]) -> str:
    """Return why records cannot be held against a limit; empty: they can."""
    if isinstance(limit, Concurrency):
        return "records do not tell how long a request lasted"
    if limit.per == ADDRESS:
        return "records do not tell the client's address"
    if limit.header is not None:
        return f"records do not tell the header {limit.header}"
    if limit.unit in route.costs and limit.unit not in units:
        return f"records do not tell what answers used in {limit.unit}"
    return ""


def _fixed(cost: UnitCost) -> int | None:
    """Return what every request costs in a unit; None where request or answer tell it."""
    return cost.reserve if isinstance(cost.reserve, int) and cost.settle is None else None


def _cost(route: Route, record: Mapping[str, Any]) -> int:
    """Return what the request costs in requests, by what is proposed; where that depends on more
    than a record tells, what it did cost."""
    if isinstance(route.cost, int):
        return route.cost
    if isinstance(route.cost, dict):
        return route.cost.get(record["method"], route.cost.get("default", 1))
    cost = record["cost"]
    return cost if isinstance(cost, int) else 1
