"""`tidegate limits`: which apply and why; forget what was spent; try others on what was decided."""

import typer

from tidegate.cli.limits_explain import explain
from tidegate.cli.limits_replay import replay
from tidegate.cli.limits_reset import reset
from tidegate.cli.output import RICH_HELP

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=RICH_HELP,
    help="Say which limits apply and why, forget what was spent, try other limits.",
)


@app.callback()
def limits() -> None:
    """Say which limits apply and why, forget what was spent, try other limits."""


app.command("explain")(explain)
app.command("replay")(replay)
app.command("reset")(reset)
