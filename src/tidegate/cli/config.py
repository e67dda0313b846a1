"""`tidegate config`: check a file as `serve` would, compare two, and print the schema."""

from pathlib import Path
from typing import Annotated

import typer

from tidegate.cli.failure import Failure, explained
from tidegate.cli.inputs import JsonOption, config_path, read_settings
from tidegate.cli.output import RICH_HELP, print_json, print_line

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=RICH_HELP,
    help="Check and compare configurations, print their schema.",
)


@app.command("check")
def check(
    file: Annotated[
        Path | None,
        typer.Argument(metavar="FILE", help="Default: TIDEGATE_CONFIG, else ./tidegate.yaml."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Load a configuration just as `serve` does, and say everything that is wrong.

    Policies and `asgi:` applications are imported, so their code runs; none is started.

    Examples:

      tidegate config check

      tidegate config check staging.yaml --json
    """
    from tidegate.cli.own_code import check_own_code
    from tidegate.config import ConfigError, load

    path = config_path(file, read_settings())
    try:
        config = load(path)
        check_own_code(config)
    except ConfigError as error:
        if not as_json:
            count = len(error.problems)
            raise Failure(f"{count} problem{'s' if count > 1 else ''}\n{error}") from error
        problems = [
            {
                "field": problem.field,
                "file": problem.file,
                "line": problem.line,
                "message": problem.message,
            }
            for problem in error.problems
        ]
        print_json({"ok": False, "problems": problems})
        raise typer.Exit(1) from error
    if as_json:
        print_json({"ok": True, "problems": []})
        return
    counts = {
        "service": len(config.services),
        "route": sum(len(service.routes) for service in config.services),
        "plan": len(config.plans),
        "tenant": len(config.tenants),
    }
    found = ", ".join(f"{count} {word}{'s' * (count != 1)}" for word, count in counts.items())
    print_line(f"{path} is valid: {found}")


@app.command("diff")
def diff(
    before: Annotated[Path, typer.Argument(metavar="BEFORE")],
    after: Annotated[Path, typer.Argument(metavar="AFTER")],
    as_json: JsonOption = False,
) -> None:
    """Say in words what differs between two configurations. Secrets are never shown.

    Examples:

      tidegate config diff tidegate.yaml staging.yaml
    """
    from tidegate.config import ConfigError, differences, load

    with explained(ConfigError):
        lines = differences(load(before), load(after))
    if as_json:
        print_json({"differences": lines})
        return
    for line in lines or ["The two mean the same."]:
        print_line(line)


@app.command("schema")
def schema(as_json: JsonOption = False) -> None:
    """Print the configuration's JSON Schema, for editors. Always JSON.

    Examples:

      tidegate config schema > tidegate.schema.json
    """
    from tidegate.config import config_json_schema

    print_json(config_json_schema())
