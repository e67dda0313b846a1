"""The list of commands, and the one place where a failure becomes a message and an exit code.

Exit codes: 0 it worked, 1 it failed (one message on standard error), 2 the command line is wrong.
A traceback is shown for our own bugs only, and never with local variables: they hold secrets.
"""

import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from tidegate import __version__
from tidegate.cli import admin as admin_commands
from tidegate.cli import cache as cache_commands
from tidegate.cli import config as config_commands
from tidegate.cli import keys as key_commands
from tidegate.cli import limits as limit_commands
from tidegate.cli import webhooks as webhook_commands
from tidegate.cli.doctor import doctor
from tidegate.cli.echo import echo
from tidegate.cli.explain import explain
from tidegate.cli.failure import Failure
from tidegate.cli.init import init
from tidegate.cli.output import RICH_HELP, print_error
from tidegate.cli.quickstart import quickstart
from tidegate.cli.routes import routes
from tidegate.cli.serve import serve


class Commands(TyperGroup):
    """Turns a Failure of any command into its message."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except Failure as failure:
            print_error(str(failure))
            raise typer.Exit(1) from None


app = typer.Typer(
    name="tidegate",
    cls=Commands,
    no_args_is_help=True,
    rich_markup_mode=RICH_HELP,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
for command in (serve, quickstart, init, routes, explain, echo, doctor):
    app.command(command.__name__)(command)
app.add_typer(key_commands.app, name="keys")
app.add_typer(config_commands.app, name="config")
app.add_typer(limit_commands.app, name="limits")
app.add_typer(cache_commands.app, name="cache")
app.add_typer(webhook_commands.app, name="webhooks")
app.add_typer(admin_commands.app, name="admin")


def _show_version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"tidegate {__version__}\n")
        raise typer.Exit


@app.callback()
def tidegate(
    version: Annotated[
        bool,
        typer.Option("--version", is_eager=True, callback=_show_version, help="Print the version."),
    ] = False,
) -> None:
    """Tidegate, an API gateway: keys, plans, exact rate limits.

    Try it:  tidegate quickstart

    Put it before a service:  tidegate serve --to http://127.0.0.1:9000 --rate 5/s

    Begin a configuration:  tidegate init
    """


def main() -> None:
    app()
