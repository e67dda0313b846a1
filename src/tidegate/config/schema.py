"""The configuration as checked values: what a snapshot is compiled from.

Only shapes, defaults and rules that one object can decide by itself; positions, references,
`extends` and messages are the loader's. Durations are seconds, sizes bytes.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr

from tidegate.config.units import Rate, parse_duration_s, parse_rate, parse_size

Seconds = Annotated[
    float, BeforeValidator(lambda v: parse_duration_s(v) if isinstance(v, str) else v), Field(ge=0)
]
Size = Annotated[
    int, BeforeValidator(lambda v: parse_size(v) if isinstance(v, str) else v), Field(ge=0)
]
RateValue = Annotated[
    Rate, BeforeValidator(lambda v: parse_rate(v) if isinstance(v, str) else v), Field()
]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
Port = Annotated[int, Field(ge=0, le=65535)]


class Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


class EdgeBounds(Model):
    """What a stranger can make a worker hold, and for how long."""

    header_bytes: Size = 32 * 1024
    header_fields: int = Field(100, ge=1, le=1000)
    target_bytes: Size = 8 * 1024
    body_bytes: Size = 2**30
    connections: int = Field(10_000, ge=1)
    connections_per_address: int | None = Field(None, ge=1)
    requests_ahead: int = Field(64, ge=1, le=1024)
    header_timeout: Seconds = 10.0
    keepalive_timeout: Seconds = 75.0
    body_timeout: Seconds = 30.0
    drain_timeout: Seconds = 30.0


class Listen(Model):
    host: str = "127.0.0.1"
    port: Port = 8000
    health_path: str = "/health"
    ready_path: str = "/ready"
    trusted_proxies: tuple[str, ...] = ()
    """Networks whose X-Forwarded-* fields are believed and extended; others are replaced."""
    bounds: EdgeBounds = EdgeBounds()


class Admin(Model):
    host: str = "127.0.0.1"
    port: Port = 8001


class Redis(Model):
    url: str = "embedded"
    timeout: Seconds = 0.05


class TokenBucket(Model):
    """`rate` tokens flow in per period, at most `burst` are held."""

    name: Name
    rate: RateValue
    burst: int = Field(ge=1, le=10**9)
    per: Literal["key", "tenant"] = "key"


class Quota(Model):
    """At most `quota.count` per calendar period (second to month, UTC)."""

    name: Name
    quota: RateValue
    per: Literal["key", "tenant"] = "key"


Limit = TokenBucket | Quota


class Plan(Model):
    """`extends` is resolved by the loader: `limits` is the merged list."""

    limits: tuple[Limit, ...] = ()


class Key(Model):
    name: Name
    value: SecretStr


class Tenant(Model):
    name: Name
    plan: Name
    keys: tuple[Key, ...] = ()


class Cache(Model):
    enabled: bool = True
    default_ttl: Seconds = 0.0


class CustomPolicy(Model):
    """A policy of the user's own: `use` is `path/to/file.py` or `module`, with `:name` to pick."""

    use: str
    before: Literal["authenticate", "limit", "forward"] = "forward"
    on_error: Literal["closed", "open"] = "closed"
    timeout: Seconds = 1.0
    settings: dict[str, Any] = {}


class Route(Model):
    """With neither `paths` nor `exact_paths` the route takes every path of its hosts."""

    name: Name
    hosts: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    exact_paths: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    auth: tuple[Literal["api-key"], ...] = ("api-key",)
    """Empty: `auth: none`."""
    strip_prefix: bool = False
    cost: int = Field(1, ge=1, le=10**6)
    body_bytes: Size | None = None
    cache: Cache | None = None
    policies: tuple[CustomPolicy, ...] = ()


class Timeouts(Model):
    connect: Seconds = 2.0
    first_byte: Seconds = 60.0
    body_progress: Seconds = 60.0


class Pool(Model):
    """Connections to one target, in one worker."""

    connections: int = Field(256, ge=1)
    waiting: int = Field(1024, ge=0)
    idle_timeout: Seconds = 55.0


class Tls(Model):
    """Verification cannot be switched off; a private authority is named by `ca_file`."""

    ca_file: str | None = None


class Service(Model):
    name: Name
    targets: tuple[str, ...] = Field(min_length=1)
    host: str = ""
    """`preserve`, `target` or a name; empty: preserve to http, target to https."""
    timeouts: Timeouts = Timeouts()
    pool: Pool = Pool()
    tls: Tls = Tls()
    routes: tuple[Route, ...] = Field(min_length=1)


class Config(Model):
    version: Literal[1]
    listen: Listen = Listen()
    admin: Admin = Admin()
    redis: Redis = Redis()
    plans: dict[Name, Plan] = {}
    tenants: tuple[Tenant, ...] = ()
    services: tuple[Service, ...] = Field(min_length=1)
