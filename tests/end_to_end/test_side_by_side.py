"""What is started beside a running gateway: commands find it, other gateways keep away."""

import asyncio
import json
import os
import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.end_to_end.conftest import TIDEGATE
from tests.end_to_end.services import asgi_gateway


async def run(folder: Path, *arguments: str) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        *TIDEGATE, *arguments, cwd=folder, env=environ(),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


def environ() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "REDIS_URL"}


@asynccontextmanager
async def one_line_gateway(folder: Path, to: str, *options: str) -> AsyncIterator[Any]:
    """`serve --to` in `folder`: the value is what it says, with its process."""
    free = ("--port", "0", "--admin-port", "0", "--workers", "1", "--json")
    process = await asyncio.create_subprocess_exec(
        *TIDEGATE, "serve", "--to", to, *free, *options,
        cwd=folder, env=environ(), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        async with asyncio.timeout(30):
            yield json.loads(await process.stdout.readline()) | {"process": process}
    finally:
        process.terminate()
        await process.communicate()


async def test_commands_find_the_gateway_that_runs_here(short_dir: Path, echo_url: str) -> None:
    async with one_line_gateway(short_dir, echo_url, "--rate", "5/s") as told:
        listed, routes, login, reset, explained, purged = [
            (code, json.loads(out or err))
            for code, out, err in await asyncio.gather(
                run(short_dir, "keys", "list", "--json"),
                run(short_dir, "routes", "--json"),
                run(short_dir, "admin", "login", "--json"),
                run(short_dir, "limits", "reset", "--tenant", "me", "--json"),
                run(short_dir, "explain", "GET", "/", "--key", told["key"], "--json"),
                run(short_dir, "cache", "purge", "--all", "--json"),
            )
        ]
    assert [key["name"] for key in listed[1]] == ["first"]
    assert [route["targets"] for route in routes[1]["routes"]] == [[echo_url]]
    assert login[1]["url"] == told["admin_url"]
    assert reset[1]["tenant"] == "me"
    assert explained[1]["caller"]["tenant"] == "me"
    assert purged[1] == {"purged": {"all": True}}


async def test_a_gateway_with_another_configuration_is_told_who_runs_there(
    short_dir: Path, echo_url: str, clients: Any, config_text: str
) -> None:
    other = short_dir / "tidegate.yaml"
    other.write_text(config_text.replace("${UPSTREAM}", echo_url))
    async with one_line_gateway(short_dir, echo_url, "--rate", "5/s") as told:
        port, process = told["port"], told["process"]
        for words in (("--to", echo_url), ("--config", str(other))):
            code, out, err = await run(short_dir, "serve", *words, "--port", "0")
            assert (code, out) == (1, "")
            assert f"pid {process.pid} at {told['url']}" in err
            assert f"configuration {short_dir / '.tidegate' / 'serve.yaml'}" in err
            assert "TIDEGATE_DATA_DIR, or --data-dir" in err
        # The refused one has changed nothing that a reload would find.
        process.send_signal(signal.SIGHUP)
        async with asyncio.timeout(30):
            while b"Replaced 1 worker" not in await process.stderr.readline():
                pass
        _, routes, _ = await run(short_dir, "routes", "--json")
        assert json.loads(routes)["plans"] == {"default": ["steady 5/second, burst 5, per key"]}
        assert (await clients.get(port, "/", headers=f"X-API-Key: {told['key']}\r\n")).status == 200
        # Another one with the same words shares what it has, as the workers of one gateway do.
        async with one_line_gateway(short_dir, echo_url, "--rate", "5/s") as second:
            assert second["key"] is None


async def test_behind_an_asgi_server_a_gateway_is_found_and_kept_apart_too(
    short_dir: Path, echo_url: str, config_text: str
) -> None:
    config = config_text.replace("${UPSTREAM}", echo_url)
    async with asgi_gateway(short_dir, config):
        code, out, _ = await run(short_dir, "keys", "list", "--tenant", "demo", "--json")
        assert (code, [key["name"] for key in json.loads(out)]) == (0, ["user_1"])
        code, _, err = await run(short_dir, "serve", "--to", echo_url, "--port", "0")
        assert code == 1
        assert f"configuration {short_dir / 'tidegate.yaml'}" in err
    async with one_line_gateway(short_dir, echo_url), asgi_gateway(short_dir, config):
        assert "Another gateway runs on" in (short_dir / "uvicorn.log").read_text()
