"""`tidegate quickstart`: a whole gateway to try, with one command and no file to write."""

from typing import TYPE_CHECKING

from tidegate.cli.inputs import DataDirOption, data_directory, read_settings
from tidegate.cli.serve import PortOption, WorkersOption

if TYPE_CHECKING:
    import socket

    from tidegate.cli.running import GatewayRun


def quickstart(
    port: PortOption = None, workers: WorkersOption = None, data_dir: DataDirOption = None
) -> None:
    """Run a whole gateway to try, nothing to set up.

    That is a gateway, its embedded store and an echo upstream. Ctrl-C ends all of it. Keys that
    were made stay in the data directory.

    Examples:

      tidegate quickstart

      tidegate quickstart --port 8010
    """
    import asyncio
    from importlib.resources import files
    from pathlib import Path

    from tidegate.cli.echo_server import EchoServer
    from tidegate.cli.running import GatewayRun
    from tidegate.config.environment import variables

    settings = read_settings()
    upstream = _echo_socket()
    upstream_url = f"http://127.0.0.1:{upstream.getsockname()[1]}"
    run = GatewayRun(
        path=Path(str(files("tidegate.cli").joinpath("quickstart.yaml"))),
        data_dir=data_directory(data_dir, settings),
        workers=workers or settings.workers,
        port=port,
        settings=settings,
        environ={**variables(), "TIDEGATE_QUICKSTART_UPSTREAM": upstream_url},
    )

    async def serve() -> None:
        async with EchoServer(upstream):
            await run.until_stopped(lambda: _announce(run, upstream_url))

    asyncio.run(serve())


def _echo_socket() -> "socket.socket":
    """Port 9000, else a free one: the echo is only ever reached through the gateway."""
    from tidegate.supervisor import ListenFailed, open_listeners

    try:
        return open_listeners("127.0.0.1", 9000, 1)[0].socket
    except ListenFailed:
        return open_listeners("127.0.0.1", 0, 1)[0].socket


def _announce(run: "GatewayRun", upstream_url: str) -> None:
    """At most twelve lines."""
    from tidegate.cli.output import print_line

    run.announce()
    print_line(f"Echo upstream: {upstream_url}")
    print_line("Keys: user_1 (demo, free: 5/s, burst 10), premium_user (acme, premium: 100/s)")
    print_line("Try:")
    print_line(f"  curl {run.url}/health")
    print_line(f'  curl -i -H "X-API-Key: premium_user" {run.url}/api/v1/test')
    print_line(
        "  for i in $(seq 12); do curl -s -o /dev/null -w '%{http_code}\\n' "
        f'-H "X-API-Key: user_1" {run.url}/api/v1/test; done'
    )
    print_line("  " + run.command("keys", "create", "--tenant", "acme", "--name", "mine"))
    print_line("Ctrl-C ends everything.")
