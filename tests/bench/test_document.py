"""A run takes the place of the last one in its page, and says what repeats it."""

from pathlib import Path

import pytest

from bench.document import DOCS, LIMITS_FIGURES, Section, put


def test_a_run_takes_the_place_of_the_last_one(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# Page\n<!-- it: begin -->\nold\n<!-- it: end -->\nby people\n")
    put(page, Section("it", "python -m bench.it", "| new |"))
    written = page.read_text()
    assert "old" not in written
    assert "with `python -m bench.it`" in written
    assert written.startswith("# Page\n<!-- it: begin -->\nMeasured on ")
    assert written.endswith("| new |\n<!-- it: end -->\nby people\n")


def test_a_page_without_the_place_is_not_written(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# Page\n")
    with pytest.raises(ValueError, match="<!-- it: begin -->"):
        put(page, Section("it", "command", "text"))
    assert page.read_text() == "# Page\n"


def test_the_pages_have_a_place_for_each_run() -> None:
    for page, mark in (
        (LIMITS_FIGURES, "accuracy"),
        (LIMITS_FIGURES, "concurrency"),
        (LIMITS_FIGURES, "decisions"),
        (DOCS / "which-limits.md", "simulation"),
        (DOCS / "performance.md", "bench"),
    ):
        assert f"<!-- {mark}: begin -->" in page.read_text()
