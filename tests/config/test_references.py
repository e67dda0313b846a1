"""References bring values in; what goes wrong never shows one."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.config.references import BadReference, holds_reference, resolved

NOWHERE = Path("/nonexistent")
NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,10}", fullmatch=True)
plain = st.text().filter(lambda text: "${" not in text)


@given(plain)
def test_text_without_references_is_itself(text: str) -> None:
    assert resolved(text, {}, NOWHERE) == text
    assert not holds_reference(text)


@given(st.text(), NAMES, st.text())
def test_a_value_is_never_searched_for_references(before: str, name: str, value: str) -> None:
    before = before.replace("$", "")
    assert resolved(f"{before}${{{name}}}", {name: value}, NOWHERE) == before + value


@given(NAMES, st.text().filter(lambda text: not {"{", "}"} & set(text)), st.text(min_size=1))
def test_a_default_stands_in_for_unset_and_empty(name: str, default: str, value: str) -> None:
    text = f"<${{{name}:-{default}}}>"
    assert resolved(text, {}, NOWHERE) == f"<{default}>"
    assert resolved(text, {name: ""}, NOWHERE) == f"<{default}>"
    assert resolved(text, {name: value}, NOWHERE) == f"<{value}>"


@given(st.text())
def test_any_text_resolves_or_is_a_bad_reference(text: str) -> None:
    try:
        resolved(text, {"A": "value"}, NOWHERE)
    except BadReference:
        assert holds_reference(text)


def test_a_doubled_dollar_is_a_plain_one() -> None:
    assert resolved("$${HOME} $HOME ${A}", {"A": "x"}, NOWHERE) == "${HOME} $HOME x"
    assert not holds_reference("$${HOME}")


@pytest.mark.parametrize("text", ["${", "${}", "${A", "${1A}", "${A-B}", "${A:=x}", "${A:-${B}}"])
def test_what_is_no_reference_is_refused(text: str) -> None:
    with pytest.raises(BadReference, match="a reference is"):
        resolved(text, {"A": "x", "B": "y"}, NOWHERE)


def test_an_unset_variable_is_named() -> None:
    with pytest.raises(BadReference, match="STORE_URL is not set"):
        resolved("${STORE_URL}", {}, NOWHERE)


def test_a_file_is_read_from_the_folder_without_its_last_line_end(tmp_path: Path) -> None:
    (tmp_path / "k").write_bytes(b" two\nlines \r\n")
    assert resolved("<${file:k}>", {}, tmp_path) == "< two\nlines >"
    assert resolved(f"${{file:{tmp_path}/k}}", {}, NOWHERE) == " two\nlines "


def test_a_file_that_cannot_be_used_is_told_without_its_content(tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(b"s3cret" * 20_000)
    (tmp_path / "latin").write_bytes(b"s3cr\xebt")
    os.mkfifo(tmp_path / "pipe")
    for name, reason in (
        ("big", "larger than 64 KiB"),
        ("latin", "not UTF-8"),
        ("pipe", "names no file"),
        (".", "names no file"),
        ("no\0where", "names no file|not a path"),
        ("x" * 300, "cannot be read|names no file"),
    ):
        with pytest.raises(BadReference, match=reason) as caught:
            resolved(f"${{file:{name}}}", {}, tmp_path)
        assert "s3cr" not in str(caught.value)
