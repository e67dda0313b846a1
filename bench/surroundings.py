"""What every gateway in a run shares: ports, store, upstream, and the files made for them.

Store, upstream and load run on one core, the gateways on the other, so that a gateway's requests
per second are its own doing.
"""

import http.client
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import redis

from bench.jobs import KEY, LEASED_KEY, SPENT_KEY, TOLD_KEY
from bench.processes import pinned

FILES = Path(__file__).parent / "files"
GATEWAY_CORE, LOAD_CORE = 0, 1
START_TIMEOUT_S = 30.0
PACKAGES = {
    "wrk": "wrk",
    "nginx": "nginx-light libnginx-mod-http-lua lua-nginx-redis",
    "redis-server": "redis-server",
}


class Unfit(Exception):
    """This machine cannot run the comparison; says what it lacks."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    folder: Path
    store_port: int
    store_pid: int
    upstream_port: int

    def written(self, template: str, **values: object) -> Path:
        """A file of `files/` with its @NAMES@ filled in."""
        known = {
            "USER": "user root;" if os.geteuid() == 0 else "",
            "FOLDER": self.folder,
            "FILES": FILES,
            "KEY": KEY,
            "SPENTKEY": SPENT_KEY,
            "TOLDKEY": TOLD_KEY,
            "LEASEDKEY": LEASED_KEY,
            "STORE": self.store_port,
            "UPSTREAM": self.upstream_port,
            **values,
        }
        text = (FILES / template).read_text()
        path = self.folder / template
        path.write_text(re.sub(r"@([A-Z]+)@", lambda match: str(known[match[1]]), text))
        return path

    def upstream_requests(self) -> int:
        listing = fetched(self.upstream_port, "/count")[1].decode().split("requests", 1)[1]
        return int(listing.split()[2])

    def store_decisions(self) -> int:
        with redis.Redis(port=self.store_port) as client:
            commands = client.info("commandstats")
        return sum(
            counts["calls"]
            for name, counts in commands.items()
            if name.startswith(("cmdstat_eval", "cmdstat_fcall"))
        )


@contextmanager
def surroundings(folder: Path) -> Iterator[Surroundings]:
    check_machine()
    store_port, upstream_port = free_port(), free_port()
    store = ["redis-server", "--port", str(store_port), "--bind", "127.0.0.1", "--save", ""]
    store += ["--dir", str(folder), "--appendonly", "no"]
    with pinned("store", store, cores={LOAD_CORE}, folder=folder, env={}) as running_store:
        made = Surroundings(folder, store_port, running_store.pid, upstream_port)
        (folder / "large.bin").write_bytes(bytes(range(256)) * 400)
        upstream = nginx(made.written("upstream.conf"))
        with pinned("upstream", upstream, cores={LOAD_CORE}, folder=folder, env={}) as running:
            wait_for(upstream_port, "/", "the upstream", running)
            yield made


def check_machine() -> None:
    if not sys.platform.startswith("linux") or len(os.sched_getaffinity(0)) < 2:
        raise Unfit("needs Linux and two cores: one for the gateway, one for the rest")
    missing = [tool for tool in PACKAGES if not shutil.which(tool)]
    if missing:
        packages = " ".join(PACKAGES[tool] for tool in missing)
        raise Unfit(f"{', '.join(missing)} not found (Debian: apt install {packages})")


def nginx(configuration: Path) -> list[str]:
    return ["nginx", "-p", str(configuration.parent), "-e", "nginx.err", "-c", str(configuration)]


def nginx_modules() -> Path:
    built = subprocess.run(["nginx", "-V"], capture_output=True, text=True, check=True).stderr
    found = re.search(r"--modules-path=(\S+)", built)
    folder = Path(found[1] if found else "/usr/lib/nginx/modules")
    if not (folder / "ngx_http_lua_module.so").exists():
        raise Unfit(f"nginx has no Lua (Debian: apt install {PACKAGES['nginx']})")
    return folder


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def fetched(port: int, path: str, key: str = KEY) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path, headers={"X-API-Key": key})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def wait_for(port: int, path: str, name: str, process: subprocess.Popen[bytes]) -> bytes:
    """The body of the first 200; a gateway that answers something else is not ready yet."""
    deadline = time.monotonic() + START_TIMEOUT_S
    seen: object = "nothing"
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise Unfit(f"{name} ended with status {process.returncode}")
        try:
            status, body = fetched(port, path)
        except (OSError, http.client.HTTPException) as error:
            seen = error
        else:
            if status == 200:
                return body
            seen = f"{status} {body[:200]!r}"
        time.sleep(0.05)
    raise Unfit(f"{name} gave no 200 in {START_TIMEOUT_S:.0f} s; last: {seen}")
