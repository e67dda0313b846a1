"""The configuration compiled: a route table, and for each route its chain of policies.

Made once, whole or not at all, and never changed: a request that began on one snapshot ends on
it. Whatever can be resolved before the first request is resolved here.
"""

from dataclasses import dataclass

from tidegate.config import Config, Route, Service
from tidegate.gateway.routing import Match, RouteTable, methods_with_head
from tidegate.policies import Ask, Layer, Next, Parts, asks_of, chain_of, ordered
from tidegate.telemetry import Meter, Recorder
from tidegate.upstream import AnyUpstream, AsgiApps, AsgiUpstream, upstream_of


@dataclass(frozen=True, slots=True, eq=False)
class CompiledRoute:
    """A route ready to run. `policies` are its layers by name, outermost first."""

    route: Route
    service: Service
    policies: tuple[tuple[str, Layer], ...]
    asks: tuple[Ask, ...]
    chain: Next
    meter: Meter

    def forwarded(self, path: bytes, prefix_bytes: int) -> bytes:
        """Return `path` as the service gets it; the matched prefix has `prefix_bytes`."""
        if not self.route.strip_prefix:
            return path
        # One slash: a service may take `//name` for another host.
        return b"/" + path[prefix_bytes:].lstrip(b"/")


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """Everything that a configuration decides about requests."""

    config: Config
    table: RouteTable[CompiledRoute]
    routes: tuple[CompiledRoute, ...]
    upstreams: tuple[AnyUpstream, ...]

    @property
    def goes_on_without_store(self) -> bool:
        """Whether some route serves while the store is away: its limits are not closed then."""
        plans = self.config.plans.values()
        has_open_plan = not plans or any(plan.on_store_failure != "closed" for plan in plans)
        routes = (compiled.route for compiled in self.routes)
        return any(
            has_open_plan if route.on_store_failure is None else route.on_store_failure != "closed"
            for route in routes
        ) or any(not compiled.route.auth for compiled in self.routes)

    async def start(self) -> None:
        """Start the applications that are upstreams in this process. Raises TargetNotLoaded."""
        try:
            for upstream in self.upstreams:
                if isinstance(upstream, AsgiUpstream):
                    await upstream.start()
        except BaseException:
            await self.aclose()
            raise

    async def aclose(self) -> None:
        """Close the connections to all upstreams, and shut down those that are applications."""
        for upstream in self.upstreams:
            await upstream.aclose()


def largest_body_bytes(config: Config) -> int:
    """Return the bound of the doors: the default, or what a route takes beyond it."""
    routes = (route for service in config.services for route in service.routes)
    return max(config.listen.bounds.body_bytes, *(route.body_bytes or 0 for route in routes))


def compile_snapshot(config: Config, parts: Parts, recorder: Recorder) -> Snapshot:
    """Compile `config`. Raises PolicyNotLoaded or TargetNotLoaded; nothing has been opened then.

    A route that `recorder` knows from an earlier snapshot goes on counting where it was.
    """
    routes: list[CompiledRoute] = []
    matches: list[Match[CompiledRoute]] = []
    upstreams: list[AnyUpstream] = []
    apps = AsgiApps(parts.directory)
    for service in config.services:
        upstream = upstream_of(service, apps)
        upstreams.append(upstream)
        for route in service.routes:
            meter = recorder.meter(service.name, route.name)
            compiled = _compiled(route, service, upstream, parts, meter)
            routes.append(compiled)
            matches.extend(_matches(compiled))
    return Snapshot(config, RouteTable(matches), tuple(routes), tuple(upstreams))


def _compiled(
    route: Route, service: Service, upstream: AnyUpstream, parts: Parts, meter: Meter
) -> CompiledRoute:
    policies = tuple(ordered(route, service, upstream, parts))
    return CompiledRoute(route, service, policies, asks_of(policies), chain_of(policies), meter)


def _matches(compiled: CompiledRoute) -> list[Match[CompiledRoute]]:
    route = compiled.route
    methods = methods_with_head(route.methods)
    paths = [(path.encode(), False) for path in route.paths]
    paths += [(path.encode(), True) for path in route.exact_paths]
    return [
        Match(compiled, path, is_exact, host.lower().encode(), methods)
        for host in route.hosts or ("",)
        for path, is_exact in paths or [(b"/", False)]
    ]
