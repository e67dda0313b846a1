"""`tidegate webhooks test`, with a receiver on a real socket."""

import asyncio
from typing import Any

import pytest

from tests.webhooks.conftest import KEY, SECRET, receiving


def use_webhooks(commands: Any, url: str) -> None:
    text = commands.config.read_text()
    commands.config.write_text(f'{text}webhooks: {{url: "{url}", secret: {SECRET}}}\n')


async def test_a_receiver_that_takes_it_is_told(commands: Any) -> None:
    async with receiving() as receiver:
        use_webhooks(commands, receiver.url)
        done = await asyncio.to_thread(commands.run, "webhooks", "test")
    (delivery,) = receiver.got
    assert (done.code, done.err) == (0, "")
    assert done.out == f"http://127.0.0.1:{receiver.port} took the event {delivery.id}.\n"
    assert delivery.event["type"] == "webhook.test"
    assert delivery.is_signed_with(KEY)


@pytest.mark.parametrize(
    ("status", "why"),
    [(500, "it answered 500"), (302, "redirects are not followed"), (410, "410 Gone")],
)
async def test_why_it_was_not_taken_is_told(commands: Any, status: int, why: str) -> None:
    async with receiving() as receiver:
        receiver.answers = [status]
        use_webhooks(commands, receiver.url)
        done = await asyncio.to_thread(commands.run, "webhooks", "test", "--json")
    assert done.code == 1
    assert (done.json["delivered"], why in done.json["why"]) == (False, True)
    assert why in done.err
    assert "token=" not in done.out + done.err


def test_without_webhooks_it_is_told_what_to_write(commands: Any) -> None:
    done = commands.run("webhooks", "test")
    assert done.code == 1
    assert "has no webhooks; write webhooks: {url: https://…, secret: whsec_…}" in done.err
