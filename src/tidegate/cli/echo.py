"""`tidegate echo`: an upstream for trying things."""

from typing import Annotated

import typer

from tidegate.cli.failure import Failure


def echo(
    port: Annotated[
        int, typer.Option("--port", "-p", min=0, max=65535, help="0: a free one.")
    ] = 9000,
    host: Annotated[str, typer.Option("--host", metavar="ADDRESS")] = "127.0.0.1",
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the address as one line of JSON.")
    ] = False,
) -> None:
    """Run an upstream for trying things.

    It answers with what it received, as JSON. A path may end in an order: /status/503, /delay/2
    (seconds), /bytes/1000000, or /stream for server-sent events (?count=5&interval=0.2).

    Examples:

      tidegate echo

      curl http://127.0.0.1:9000/status/503
    """
    import asyncio
    import signal

    from tidegate.cli.echo_server import EchoServer
    from tidegate.cli.output import print_json_line, print_line
    from tidegate.supervisor import ListenFailed, open_listeners

    try:
        listener = open_listeners(host, port, 1)[0]
    except ListenFailed as error:
        raise Failure(str(error)) from error

    async def run() -> None:
        stopping = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stopping.set)
        async with EchoServer(listener.socket):
            address, bound = listener.address
            url = f"http://{address}:{bound}"
            if as_json:
                print_json_line({"url": url, "port": bound})
            else:
                print_line(f"Echo upstream on {url}")
            await stopping.wait()

    asyncio.run(run())
