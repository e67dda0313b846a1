"""`tidegate init`: a commented configuration to begin with, and its schema for editors."""

import json
from pathlib import Path
from typing import Annotated, Final

import typer

from tidegate.cli.failure import Failure
from tidegate.cli.inputs import CONFIG_DEFAULT
from tidegate.cli.output import print_line

SCHEMA: Final = "tidegate.schema.json"
"""Beside the configuration, which names it: an editor needs no network then."""


def init(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="Where to write it.", show_default=True)
    ] = CONFIG_DEFAULT,
    force: Annotated[
        bool, typer.Option("--force", help="Write over a file that is there.")
    ] = False,
) -> None:
    """Write a commented configuration to begin with.

    Its schema comes beside it, so that editors with a YAML language server complete and check.

    Examples:

      tidegate init

      tidegate init api.yaml && tidegate serve --config api.yaml --dev
    """
    from importlib.resources import files

    from tidegate.config import config_json_schema

    text = files("tidegate.cli").joinpath("init.yaml").read_text()
    schema = json.dumps(config_json_schema(), indent=2, ensure_ascii=False) + "\n"
    beside = file.parent / SCHEMA
    try:
        if not force:
            _refuse_another(beside, schema)
        with file.open("w" if force else "x") as config:
            config.write(text)
        beside.write_text(schema)
    except FileExistsError:
        raise Failure(f"{file} is there already; --force writes over it") from None
    except OSError as error:
        raise Failure(f"{error.filename} cannot be written: {error.strerror}") from error
    print_line(f"Wrote {file}, and {beside} for your editor.")
    option = "" if file == CONFIG_DEFAULT else f" --config {file}"
    print_line("Put your service's address in it, then:")
    print_line(f"  tidegate config check{option and f' {file}'}")
    print_line(f"  tidegate keys create{option} --tenant acme --name laptop")
    print_line(f"  tidegate serve{option} --dev")


def _refuse_another(schema: Path, text: str) -> None:
    """Its own schema may be there already: another configuration beside this one has the same."""
    if schema.exists() and schema.read_bytes() != text.encode():
        raise Failure(f"{schema} is there already and differs; --force writes over it")
