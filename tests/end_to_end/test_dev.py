"""`tidegate serve --dev`: what is saved is applied, or what is wrong with it is said."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.conftest import CONFIG, PREMIUM

REPLACED_S_MAX = 40
"""A worker starts in a second; on a machine that is busy with other tests it takes longer."""

pytestmark = pytest.mark.timeout(180)

APP = """\
async def app(scope, receive, send):
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": [(b"x-app", b"one")]})
        await send({"type": "http.response.body"})
"""

POLICY = """\
def build():
    async def policy(request, call_next):
        response = await call_next(request)
        response.headers.append((b"x-own", b"one"))
        return response
    return policy
"""


def saved(path: Path, text: str) -> None:
    """As most editors save: a new file takes the old one's name."""
    draft = path.with_name(f".{path.name}.swp")
    draft.write_text(text)
    draft.replace(path)


async def until(gateway: Any, path: str, headers: str, claim: Callable[[Any], bool]) -> None:
    """Ask until the answer is as claimed; every answer before is one of a gateway that serves."""
    async with asyncio.timeout(REPLACED_S_MAX):
        while not claim(answer := await gateway.get(path, headers)):
            assert answer.status in (200, 401, 404)
            await asyncio.sleep(0.02)


async def test_a_save_is_applied_and_told_and_a_mistake_changes_nothing(
    running_gateway: Any, clients: Any
) -> None:
    gateway = running_gateway(workers=1, options=("--dev",))
    assert (await gateway.get("/more", PREMIUM)).status == 404

    saved(gateway.config, CONFIG.replace("[/open]", "[/open, /more]"))
    said = "service test, route open: paths /open → /open, /more"
    await clients.eventually(lambda: said in gateway.said(), REPLACED_S_MAX)
    await until(gateway, "/more", PREMIUM, lambda answer: answer.status == 200)

    saved(gateway.config, CONFIG.replace("100000/s", "many"))
    await clients.eventually(lambda: 'found "many"' in gateway.said(), REPLACED_S_MAX)
    assert (await gateway.get("/more", PREMIUM)).status == 200
    assert (await gateway.get("/api/v1/test", PREMIUM)).status == 200


async def test_what_the_file_names_is_followed_too(
    running_gateway: Any, clients: Any, short_dir: Path
) -> None:
    own, key = short_dir / "own.py", short_dir / "secrets" / "key"
    own.write_text(POLICY)
    for version in ("old", "new"):
        (short_dir / version).mkdir()
        (short_dir / version / "key").write_text(f"{version}-key")
    # As Kubernetes mounts secrets: a link to a folder, which is replaced.
    key.parent.symlink_to("old")
    config = CONFIG.replace("value: premium_user", 'value: "${file:secrets/key}"').replace(
        "paths: [/open]", "paths: [/open], policies: [{use: own.py}]"
    )
    gateway = running_gateway(workers=1, config=config, options=("--dev",))
    assert b"x-own: one" in (await gateway.get("/open")).head

    # Same length, and soon: cached bytecode could not tell the difference.
    own.write_text(POLICY.replace("one", "two"))
    await clients.eventually(lambda: "Saved: own.py" in gateway.said(), REPLACED_S_MAX)
    await until(gateway, "/open", "", lambda answer: b"x-own: two" in answer.head)

    link = short_dir / "link"
    link.symlink_to("new")
    link.replace(key.parent)
    await clients.eventually(
        lambda: "key premium_user: value changed" in gateway.said(), REPLACED_S_MAX
    )
    await until(gateway, "/api/v1/x", "X-API-Key: new-key\r\n", lambda answer: answer.status == 200)
    assert "new-key" not in gateway.said()

    own.write_text("boom(")
    await clients.eventually(lambda: "'(' was never closed" in gateway.said(), REPLACED_S_MAX)
    assert b"x-own: two" in (await gateway.get("/open")).head


async def test_the_module_of_an_application_is_followed(
    running_gateway: Any, clients: Any, short_dir: Path
) -> None:
    module = short_dir / "up.py"
    module.write_text(APP)
    config = CONFIG.replace("${UPSTREAM}", "asgi:up:app")
    gateway = running_gateway(workers=1, config=config, options=("--dev",))
    assert b"x-app: one" in (await gateway.get("/open")).head
    await clients.eventually(lambda: f"{gateway.config.name}, up.py\n" in gateway.said(), 10)

    saved(module, APP.replace("one", "two"))
    await until(gateway, "/open", "", lambda answer: b"x-app: two" in answer.head)
    assert "Saved: up.py" in gateway.said()

    saved(module, "boom(")
    said = "'(' was never closed"
    await clients.eventually(lambda: said in gateway.said(), REPLACED_S_MAX)
    assert b"x-app: two" in (await gateway.get("/open")).head
