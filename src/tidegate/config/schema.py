"""The configuration as checked values: what a snapshot is compiled from.

Only shapes, defaults and rules that one object can decide by itself; positions, references,
`extends`, what two objects must agree on, and messages are the loader's. Durations are seconds,
sizes bytes.
"""

from typing import Any, Final, Literal, Self, get_args

from pydantic import Field, PrivateAttr

from tidegate.config import fields as f
from tidegate.config.costs import UNITS_MAX, CheckedCost, UnitCost
from tidegate.config.limits import CheckedEntry, CheckedLimit
from tidegate.config.limits import Concurrency as Concurrency
from tidegate.config.limits import Limit as Limit
from tidegate.config.limits import Quota as Quota
from tidegate.config.limits import SlidingWindow as SlidingWindow
from tidegate.config.limits import TokenBucket as TokenBucket
from tidegate.config.model import Model
from tidegate.config.places import Places
from tidegate.config.units import Rate
from tidegate.config.webhooks import Webhooks as Webhooks


class EdgeBounds(Model):
    """What a stranger can make a worker hold, and for how long."""

    header_bytes: f.Size = Field(32 * 1024, ge=64, le=2**20)
    header_fields: int = Field(100, ge=1, le=1000)
    target_bytes: f.Size = Field(8 * 1024, ge=16, le=2**16)
    body_bytes: f.Size = 2**30
    connections: int = Field(10_000, ge=1, le=10**6)
    connections_per_address: int | None = Field(None, ge=1, le=10**6)
    requests_ahead: int = Field(64, ge=1, le=1024)
    header_timeout: f.Timeout = 10.0
    keepalive_timeout: f.Timeout = 75.0
    body_timeout: f.Timeout = 30.0
    body_rate_min: f.Size = Field(240, le=2**20)
    """Bytes a second that each `body_timeout` of waiting for a body must bring; 0: none."""
    drain_timeout: f.Timeout = 30.0
    hang_timeout: f.Timeout = Field(30.0, ge=2.0)
    """A worker whose event loop stands still for so long is killed and replaced."""


class Listen(Model):
    host: f.ListenHost = "127.0.0.1"
    port: f.Port = 8000
    health_path: f.Path = "/health"
    ready_path: f.Path = "/ready"
    usage_path: f.Path = "/.tidegate/usage"
    """Where a caller reads, with his key and without a charge, what is left of his limits."""
    trusted_proxies: tuple[f.Network, ...] = ()
    """Networks whose X-Forwarded-* fields are believed and extended; others are replaced."""
    auth_failures: f.FailureRate | None = Rate(20, "minute")
    """Failed authentications taken from an address (IPv6: a /64) over all workers, before what
    it presents is no longer looked up; `null`: no bound."""
    bounds: EdgeBounds = EdgeBounds()


class Admin(Model):
    """Where the admin API, its pages and /metrics are; `admin: false` is none of them."""

    enabled: bool = True
    host: f.ListenHost = "127.0.0.1"
    port: f.Port = 8001
    """Left out: 8001, or a free port if that is taken."""
    hosts: tuple[f.ListenHost, ...] = ()
    """Names by which it is reached beside localhost, addresses and `host`; others are refused."""


class Redis(Model):
    url: f.RedisUrl = "embedded"
    """`embedded`, or a URL: redis://, rediss://, unix://, redis+sentinel://, redis+cluster://."""
    timeout: f.Timeout = 0.05
    """How long a request waits for the store."""


class CacheStore(Model):
    """What all routes with `cache` share."""

    url: f.CacheUrl | None = None
    """A store for cached answers alone. Left out: the store of `redis`."""
    bytes: f.Size = Field(256 * 2**20, ge=2**20)
    """All that is stored; what was not used for longest makes room."""
    memory_bytes: f.Size = 32 * 2**20
    """Each worker's own copies of what it serves often; 0: none."""
    entry_bytes: f.Size = 8 * 2**20
    """The largest body that is stored."""


StoreFailure = Literal["open", "closed", "local"]
"""What becomes of a request whose limits cannot be asked: let through, refused, or counted by the
worker alone."""
STORE_FAILURES: Final[tuple[StoreFailure, ...]] = get_args(StoreFailure)


class Allowed(Model):
    """One route that a plan has, with all methods or those that are named (GET brings HEAD)."""

    route: f.Name
    methods: tuple[f.Method, ...] = Field((), min_length=1)


class PlanRoute(Model):
    """What a plan says of one route."""

    limits: tuple[CheckedEntry, ...] = ()
    """In place of those of the same name, and counted apart for this route."""


class Plan(Model):
    """`extends` is resolved by the loader: `limits` and `routes` are merged."""

    limits: tuple[CheckedEntry, ...] = ()
    allow: tuple[Allowed, ...] | None = None
    """The routes that callers on this plan may call; left out: every route."""
    routes: dict[f.Name, PlanRoute] = Field({})
    on_store_failure: StoreFailure | None = None
    """Where the store cannot be reached, and the route does not say: `local`, the default."""


class Key(Model):
    name: f.Name
    value: f.KeyValue
    limits: tuple[CheckedEntry, ...] = ()
    """In place of the tenant's and the plan's of the same name."""


class Tenant(Model):
    name: f.Name
    plan: f.Name
    limits: tuple[CheckedEntry, ...] = ()
    """In place of the plan's of the same name."""
    keys: tuple[Key, ...] = ()


class Cache(Model):
    enabled: bool = True
    default_ttl: f.Seconds = 0.0
    """For how long an answer is kept of which the upstream says nothing."""


class CustomPolicy(Model):
    """A policy of the user's own: `use` is `path/to/file.py` or `module`, with `:name` to pick.

    The loader makes a file's path absolute: it is relative to the configuration.
    """

    use: str = Field(min_length=1)
    before: Literal["authenticate", "limit", "forward"] = "forward"
    on_error: Literal["closed", "open"] = "closed"
    timeout: f.Timeout = 1.0
    settings: dict[str, Any] = Field({})


class Route(Model):
    """With neither `paths` nor `exact_paths` the route takes every path of its hosts."""

    name: f.Name
    hosts: tuple[f.HostPattern, ...] = ()
    paths: tuple[f.Prefix, ...] = ()
    """Prefixes, on segment boundaries."""
    exact_paths: tuple[f.Path, ...] = ()
    methods: tuple[f.Method, ...] = ()
    auth: tuple[Literal["api-key"], ...] = ("api-key",)
    """Empty: `auth: none`."""
    strip_prefix: bool = False
    cost: CheckedCost = 1
    """What a request counts for in requests."""
    costs: dict[f.Unit, UnitCost] = Field({}, max_length=UNITS_MAX)
    """What it counts for in other units."""
    limits: tuple[CheckedEntry, ...] = ()
    """For every caller of this route, counted apart for it."""
    on_store_failure: StoreFailure | None = None
    """Where the store cannot be reached; left out, the plan says."""
    body_bytes: f.Size | None = None
    cache: Cache | None = None
    policies: tuple[CustomPolicy, ...] = ()


class Timeouts(Model):
    connect: f.Timeout = 2.0
    first_byte: f.Timeout = 60.0
    body_progress: f.Timeout = 60.0


class Pool(Model):
    """Connections to one target, in one worker."""

    connections: int = Field(256, ge=1, le=65_536)
    waiting: int = Field(1024, ge=0, le=10**6)
    idle_timeout: f.Timeout = 55.0


class Tls(Model):
    """Verification cannot be switched off; a private authority is named by `ca_file`."""

    ca_file: str | None = None
    """The loader makes it absolute: it is relative to the configuration."""


class Service(Model):
    name: f.Name
    targets: tuple[f.Target, ...] = Field(min_length=1)
    host: f.UpstreamHost = ""
    """`preserve`, `target` or a name; empty: preserve to http, target to https."""
    timeouts: Timeouts = Timeouts()
    pool: Pool = Pool()
    tls: Tls = Tls()
    routes: tuple[Route, ...] = Field(min_length=1)


class Usage(Model):
    """What tenants use, by key, route and minute, added to the store each second."""

    keep: f.Timeout = 7 * 86_400.0
    """For how long each minute is kept."""


class Decisions(Model):
    """Records of what was decided about requests, in the store, for explaining and replaying."""

    sample: float = Field(0.01, ge=0, le=1)
    """The share of requests that are recorded. Refusals always are, up to 100 a second
    and 10 of one key."""
    keep: int = Field(10_000, ge=0, le=10**7)
    """About how many of the latest are kept, for a week at most."""


class Config(Model):
    version: f.Version
    listen: Listen = Listen()
    admin: Admin = Admin()
    redis: Redis = Redis()
    cache: CacheStore = CacheStore()
    access_log: Literal["auto", "json", "pretty", "off"] = "auto"
    """A line for each request on standard output. `auto`: pretty on a terminal, else JSON; off
    inside another ASGI server, which has its own."""
    usage: Usage = Usage()
    decisions: Decisions = Decisions()
    webhooks: Webhooks | None = None
    limits: tuple[CheckedLimit, ...] = ()
    """For everybody, on every route."""
    retry_jitter: float = Field(0.0, ge=0, le=1)
    """Retry-After of a 429 is longer by up to this share of the wait, a minute at most, by chance:
    so clients that were refused together do not come back together."""
    plans: dict[f.Name, Plan] = Field({})
    tenants: tuple[Tenant, ...] = ()
    services: tuple[Service, ...] = Field(min_length=1)
    _places: Places = PrivateAttr(default=Places())

    @property
    def places(self) -> Places:
        """Where the file defines what."""
        return self._places

    def placed(self, places: Places) -> Self:
        """Note where the file defines what: once, by the loader."""
        self._places = places
        return self
