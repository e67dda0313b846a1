"""Servers and clients of other people as processes, without what the machine set for them."""

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

START_S_MAX = 20


def environment(**variables: str) -> dict[str, str]:
    """Return what the processes see: no proxy, and nothing that the machine set for clients."""
    machine = ("pip_", "npm_", "git_", "http_proxy", "https_proxy", "all_proxy")
    plain = {k: v for k, v in os.environ.items() if not k.lower().startswith(machine)}
    return plain | variables


async def run(*arguments: str | Path, cwd: Path, env: dict[str, str]) -> str:
    """Run a client to its end; return what it printed, or fail with what it said."""
    process = await asyncio.create_subprocess_exec(
        *map(str, arguments), cwd=cwd, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    out, err = await process.communicate()
    assert process.returncode == 0, (out + err).decode()
    return out.decode()


@asynccontextmanager
async def served(
    port: int,
    log: Path,
    *arguments: str | Path,
    inherited: Sequence[int] = (),
    **variables: str,
) -> AsyncIterator[str]:
    """Run a server until the block ends; yield its URL when it listens.

    It has the `inherited` descriptors, by the same numbers.
    """
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *map(str, arguments), env=environment(**variables), cwd=log.parent,
            stdout=output, stderr=output, pass_fds=inherited,
        )  # fmt: skip
    try:
        async with asyncio.timeout(START_S_MAX):
            while True:
                assert process.returncode is None, f"it ended: see {log}"
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                except OSError:
                    await asyncio.sleep(0.05)
                    continue
                writer.close()
                break
        yield f"http://127.0.0.1:{port}"
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


@asynccontextmanager
async def asgi_gateway(folder: Path, config: str) -> AsyncIterator[int]:
    """Run a gateway of this configuration in `folder` behind uvicorn; yield its port."""
    (folder / "tidegate.yaml").write_text(config)
    variables = {"TIDEGATE_CONFIG": "tidegate.yaml", "REDIS_URL": ""}
    with socket.socket() as bound:
        # The server inherits it and listens: nobody else takes the port meanwhile.
        bound.bind(("127.0.0.1", 0))
        port: int = bound.getsockname()[1]
        server = (sys.executable, "-m", "uvicorn", "tidegate.asgi:app", "--fd", str(bound.fileno()))
        log = folder / "uvicorn.log"
        async with served(port, log, *server, inherited=(bound.fileno(),), **variables):
            yield port
