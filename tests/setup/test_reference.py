"""The reference in docs/ is what the program says of itself."""

from pathlib import Path

from scripts.reference import reference

ROOT = Path(__file__).parents[2]


def test_the_reference_is_what_make_docs_writes() -> None:
    for name, text in reference().items():
        written = ROOT / "docs" / "reference" / name
        assert written.read_text() == text, f"{written} is not up to date: run make docs"
