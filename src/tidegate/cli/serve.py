"""`tidegate serve`: a supervisor in this process, its workers and the control process."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tidegate.cli.inputs import (
    DataDirOption,
    JsonOption,
    config_path,
    data_directory,
    read_settings,
)
from tidegate.cli.one_line import (
    FILE,
    AuthOption,
    BurstOption,
    FirstKey,
    QuotaOption,
    RateOption,
    ToOption,
    said_on_the_command_line,
    text_of,
)

if TYPE_CHECKING:
    from tidegate.cli.running import GatewayRun
    from tidegate.config.one_line import OneLine

ServedConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        metavar="FILE",
        help="The configuration. Default: TIDEGATE_CONFIG, else ./tidegate.yaml.",
    ),
]
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
AdminHostOption = Annotated[
    str | None, typer.Option("--admin-host", metavar="ADDRESS", help="In place of admin.host.")
]
DevOption = Annotated[
    bool,
    typer.Option(
        "--dev", help="Apply each save of the file and of what it names, with one worker."
    ),
]
HostOption = Annotated[
    str | None, typer.Option("--host", metavar="ADDRESS", help="In place of listen.host.")
]


def serve(
    config: ServedConfigOption = None,
    to: ToOption = None,
    rate: RateOption = None,
    burst: BurstOption = None,
    quota: QuotaOption = None,
    auth: AuthOption = None,
    dev: DevOption = False,
    workers: WorkersOption = None,
    port: PortOption = None,
    host: HostOption = None,
    admin_port: AdminPortOption = None,
    admin_host: AdminHostOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run the gateway.

    SIGINT and SIGTERM end it and let requests in flight finish; a second one cuts them. SIGHUP
    replaces the workers, one after the other, on the configuration as it is then; one that is not
    valid changes nothing. With --json, one line of JSON says that all workers are up.

    With --to no file is needed: the first start makes a key and shows it.

    Examples:

      tidegate serve --config tidegate.yaml

      tidegate serve --to http://127.0.0.1:9000 --rate 5/s

      tidegate serve --dev

      tidegate serve --workers 4 --port 8080 --host 0.0.0.0
    """
    from tidegate.cli.running import GatewayRun

    said = said_on_the_command_line(to, rate=rate, burst=burst, quota=quota, auth=auth)
    if said is not None:
        _without(config, dev)
    settings = read_settings()
    place = data_directory(data_dir, settings)
    path = config_path(config, settings, data_dir) if said is None else place / FILE
    written = "" if said is None else text_of(said, path)
    workers = workers or settings.workers or (1 if dev else None)
    run = GatewayRun(
        path, place, settings, workers, host, port, admin_host, admin_port, written=written
    )
    _run(run, said, dev, as_json)


def _run(run: "GatewayRun", said: "OneLine | None", dev: bool, as_json: bool) -> None:
    import asyncio

    from tidegate.cli.dev import Watch

    announce = run.announce_as_json if as_json else run.announce
    if said is not None:
        announce = FirstKey(run, said.auth == "none", as_json).announce
    if dev:
        announce = Watch(run.path).then(announce)
    asyncio.run(run.until_stopped(announce))


def _without(config: Path | None, dev: bool) -> None:
    """Refuse what needs a file, where the command line takes the place of one."""
    if config is not None:
        raise typer.BadParameter("it is --to URL or --config FILE", param_hint="--to")
    if dev:
        raise typer.BadParameter("it watches a file; with --to there is none", param_hint="--dev")
