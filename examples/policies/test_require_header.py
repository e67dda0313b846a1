"""How to test a policy: a real chain and a real upstream, no port and no mock.

`pytest_plugins = ["tidegate.testing"]` in your conftest.py brings the `tidegate_kit` fixture.
"""

from pathlib import Path

from tidegate.testing import OpenKit

POLICY = {"use": "require_header.py", "settings": {"name": "x-client-version"}}


async def test_a_request_without_the_header_never_reaches_the_upstream(
    tidegate_kit: OpenKit,
) -> None:
    kit = await tidegate_kit(policies=[POLICY], directory=Path(__file__).parent)
    answer = await kit.get("/api/things")
    assert answer.status == 400
    assert kit.upstream.requests == []


async def test_a_request_with_the_header_passes_and_its_answer_is_marked(
    tidegate_kit: OpenKit,
) -> None:
    kit = await tidegate_kit(policies=[POLICY], directory=Path(__file__).parent)
    answer = await kit.get("/api/things", headers={"X-Client-Version": "7"})
    assert answer.status == 200
    assert answer.header("x-seen-x-client-version") == "7"
    assert len(kit.upstream.requests) == 1
