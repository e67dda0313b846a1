"""`tidegate doctor`: are this machine, this configuration and this store fit to serve?"""

from typing import TYPE_CHECKING, Final

import typer

from tidegate.cli.inputs import (
    ConfigOption,
    DataDirOption,
    JsonOption,
    data_directory,
    read_settings,
)
from tidegate.cli.output import print_json, print_table

if TYPE_CHECKING:
    from tidegate.cli.checks import Finding

_MARKS: Final = {"ok": "ok", "warning": "WARNING", "broken": "BROKEN"}


def doctor(
    config: ConfigOption = None, data_dir: DataDirOption = None, as_json: JsonOption = False
) -> None:
    """Check whether a gateway can run here.

    Exit code 1 if something is broken; warnings alone are 0. Beside a gateway that runs, its own
    store is looked at; otherwise the embedded one is started for the check. No file is left behind.

    Examples:

      tidegate doctor

      tidegate doctor --config staging.yaml --json
    """
    import asyncio
    from pathlib import Path

    from tidegate.cli import checks

    settings = read_settings()
    place: Path = data_directory(data_dir, settings)
    found, loaded, running = checks.config_found(config, settings, data_dir)
    findings = [checks.python_found(), checks.wheels_found(), found]
    if running is not None:
        findings.append(checks.data_dir_found(place))
        findings += asyncio.run(checks.its_store_found(running, loaded, place))
        findings += checks.served_ports_found(running)
    elif loaded is not None:
        if loaded.redis.url == "embedded" or loaded.admin.enabled:
            findings.append(checks.data_dir_found(place))
        findings += asyncio.run(checks.store_found(loaded.redis, place))
        findings += [checks.port_found(loaded), checks.admin_port_found(loaded)]
    if loaded is not None:
        findings.append(checks.open_files_found(loaded))
        findings += asyncio.run(checks.targets_found(loaded))
    _print(findings, as_json)
    if any(finding.level == "broken" for finding in findings):
        raise typer.Exit(1)


def _print(findings: "list[Finding]", as_json: bool) -> None:
    if as_json:
        levels = {finding.level for finding in findings}
        worst = next(level for level in ("broken", "warning", "ok") if level in levels)
        members = [
            {"check": finding.check, "level": finding.level, "text": finding.text}
            for finding in findings
        ]
        print_json({"result": worst, "findings": members})
        return
    print_table(
        ("CHECK", "RESULT", "DETAIL"),
        [(finding.check, _MARKS[finding.level], finding.text) for finding in findings],
    )
