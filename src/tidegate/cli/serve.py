"""`tidegate serve`: a supervisor in this process, its workers and the control process."""

from typing import Annotated

import typer

from tidegate.cli.inputs import (
    ConfigOption,
    DataDirOption,
    JsonOption,
    config_path,
    data_directory,
    read_settings,
)

WorkersOption = Annotated[
    int | None,
    typer.Option(
        "--workers",
        "-w",
        min=1,
        max=256,
        help="Worker processes. Default: TIDEGATE_WORKERS, else one for each usable core.",
    ),
]
PortOption = Annotated[
    int | None,
    typer.Option("--port", "-p", min=0, max=65535, help="In place of listen.port; 0: a free one."),
]
AdminPortOption = Annotated[
    int | None,
    typer.Option("--admin-port", min=0, max=65535, help="In place of admin.port; 0: a free one."),
]
HostOption = Annotated[
    str | None, typer.Option("--host", metavar="ADDRESS", help="In place of listen.host.")
]


def serve(
    config: ConfigOption = None,
    workers: WorkersOption = None,
    port: PortOption = None,
    host: HostOption = None,
    admin_port: AdminPortOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run the gateway.

    SIGINT and SIGTERM end it and let requests in flight finish; a second one cuts them. SIGHUP
    replaces the workers, one after the other, on the configuration as it is then; one that is not
    valid changes nothing. With --json, one line of JSON says that all workers are up.

    Examples:

      tidegate serve --config tidegate.yaml

      tidegate serve --workers 4 --port 8080 --host 0.0.0.0
    """
    import asyncio

    from tidegate.cli.running import GatewayRun

    settings = read_settings()
    run = GatewayRun(
        path=config_path(config, settings),
        workers=workers or settings.workers,
        host=host,
        port=port,
        admin_port=admin_port,
        data_dir=data_directory(data_dir, settings),
        settings=settings,
    )
    asyncio.run(run.until_stopped(run.announce_as_json if as_json else run.announce))
