"""`tidegate webhooks test`: whether the receiver takes what is sent and signed as events are."""

import asyncio
import json
import os
import time
from typing import TYPE_CHECKING, Final

import typer

from tidegate.cli.failure import Failure
from tidegate.cli.inputs import (
    ConfigOption,
    DataDirOption,
    JsonOption,
    chosen,
    loaded,
    read_settings,
)
from tidegate.cli.output import RICH_HELP, print_json, print_line

if TYPE_CHECKING:
    from tidegate.config.schema import Webhooks
    from tidegate.webhooks.sender import Attempt

TYPE: Final = "webhook.test"

app = typer.Typer(
    no_args_is_help=True, rich_markup_mode=RICH_HELP, help="Try the receiver of events."
)


@app.callback()
def webhooks() -> None:
    """Try the receiver of events."""


@app.command("test")
def try_out(
    config: ConfigOption = None, data_dir: DataDirOption = None, as_json: JsonOption = False
) -> None:
    """Send one event of type webhook.test now, signed as all are, and say what came of it.

    It is sent from here, by the file as it is, and not tried again.

    Examples:

      tidegate webhooks test
    """
    path = chosen(config, read_settings(), data_dir).path
    settings = loaded(path).webhooks
    if settings is None:
        raise Failure(
            f"{path} has no webhooks; write webhooks: {{url: https://…, secret: whsec_…}}"
        )
    event_id = "msg_test_" + os.urandom(12).hex()
    attempt, receiver = asyncio.run(_sent(settings, event_id))
    took = attempt.outcome.value == "delivered"
    if as_json:
        told = {"id": event_id, "receiver": receiver, "delivered": took, "why": attempt.why or None}
        print_json(told)
    elif took:
        print_line(f"{receiver} took the event {event_id}.")
    if not took:
        raise Failure(f"{receiver} did not take the event {event_id}: {attempt.why}")


async def _sent(settings: "Webhooks", event_id: str) -> "tuple[Attempt, str]":
    from tidegate.webhooks.event import timestamp
    from tidegate.webhooks.sender import Sender

    event = {"type": TYPE, "timestamp": timestamp(time.time()), "data": {}}
    body = json.dumps(event, separators=(",", ":"))
    async with Sender(settings) as sender:
        return await sender.send(event_id, body.encode()), sender.receiver
