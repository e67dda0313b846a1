"""The gateways that are compared, each a way to start one: a line here adds a peer.

All run one worker, look up one key, ask the same store for one token and proxy to the same
upstream. Ours run with everything on that is on by default.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench.processes import pinned
from bench.surroundings import (
    GATEWAY_CORE,
    KEY,
    Surroundings,
    Unfit,
    fetched,
    free_port,
    nginx,
    nginx_modules,
    wait_for,
)

PATH = "/api/widgets/1"
LOG_SHOWN = 2000


@dataclass(frozen=True, slots=True)
class Start:
    command: list[str]
    env: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Gateway:
    name: str
    label: str
    start: Callable[[Surroundings, int], Start]


def native(around: Surroundings, port: int) -> Start:
    path, env = _tidegate(around, "native", port)
    command = [sys.executable, "-m", "tidegate", "serve", "--config", str(path)]
    return Start([*command, "--workers", "1", "--port", str(port)], env)


def asgi(around: Surroundings, port: int) -> Start:
    path, env = _tidegate(around, "asgi", port)
    return Start(_uvicorn("tidegate.asgi:app", port), {**env, "TIDEGATE_CONFIG": str(path)})


def lua(around: Surroundings, port: int) -> Start:
    return Start(nginx(around.written("nginx_gateway.conf", PORT=port, MODULES=nginx_modules())))


def seed(around: Surroundings, port: int) -> Start:
    env = {"BENCH_STORE": str(around.store_port), "BENCH_UPSTREAM": str(around.upstream_port)}
    return Start(_uvicorn("bench.seed:app", port), {**env, "BENCH_KEY": KEY})


def _tidegate(around: Surroundings, name: str, port: int) -> tuple[Path, dict[str, str]]:
    written = around.written("tidegate.yaml", PORT=port, ADMIN=free_port())
    path = written.rename(around.folder / f"{name}.yaml")
    return path, {"TIDEGATE_DATA_DIR": str(around.folder / name)}


def _uvicorn(app: str, port: int) -> list[str]:
    command = [sys.executable, "-m", "uvicorn", app, "--host", "127.0.0.1", "--port", str(port)]
    return [*command, "--workers", "1", "--log-level", "warning"]


PEER = "nginx"
GATEWAYS = (
    Gateway("native", "Tidegate, native door", native),
    Gateway("asgi", "Tidegate, ASGI door (uvicorn)", asgi),
    Gateway(PEER, "nginx + Lua + Redis", lua),
    Gateway("seed", "FastAPI + httpx + redis-py", seed),
)


@dataclass(frozen=True, slots=True)
class Running:
    gateway: Gateway
    pid: int
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}{PATH}"


@contextmanager
def running(gateway: Gateway, around: Surroundings) -> Iterator[Running]:
    port = free_port()
    start = gateway.start(around, port)
    with pinned(
        gateway.name, start.command, core=GATEWAY_CORE, folder=around.folder, env=start.env
    ) as process:
        try:
            body = wait_for(port, PATH, gateway.label, process)
        except Unfit as unfit:
            log = (around.folder / f"{gateway.name}.log").read_text(errors="replace")
            raise Unfit(f"{unfit}\n{log[-LOG_SHOWN:]}") from None
        if body != fetched(around.upstream_port, PATH)[1]:
            raise Unfit(f"{gateway.label} changed the body: {body!r}")
        yield Running(gateway, process.pid, port)
