"""The policy on docs/policies.md does what the example beside it does."""

from pathlib import Path

from tidegate.testing import OpenKit

PAGE = Path(__file__).parents[2] / "docs" / "policies.md"
POLICY = {"use": "documented.py", "settings": {"name": "x-client-version"}}


async def test_the_page_s_policy_passes_the_example_s_test(
    tidegate_kit: OpenKit, tmp_path: Path
) -> None:
    code = PAGE.read_text().partition("```python\n")[2].partition("```")[0]
    (tmp_path / "documented.py").write_text(code)
    kit = await tidegate_kit(policies=[POLICY], directory=tmp_path)
    assert (await kit.get("/api/things")).status == 400
    assert kit.upstream.requests == []
    answer = await kit.get("/api/things", headers={"X-Client-Version": "7"})
    assert (answer.status, answer.header("x-seen-x-client-version")) == (200, "7")
