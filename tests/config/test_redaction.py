"""No password survives redaction, however broken the URL around it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.config import redacted_url


@pytest.mark.parametrize(
    "url, shown",
    [
        ("redis://store:6379/0", "redis://store:6379/0"),
        ("redis://:s3cret@store", "redis://:***@store"),
        ("redis://me:s3cret@store:6379/0", "redis://me:***@store:6379/0"),
        ("redis://s3cret@store", "redis://***@store"),
        ("redis://me:s3/cr@et@store", "redis://me:***@store"),
        (
            "redis+sentinel://me:s3cret@a,b/main?password=s3cret",
            "redis+sentinel://me:***@a,b/main?password=***",
        ),
        ("redis:s3cret@store", "redis:***@store"),
        ("unix:///run/store.sock?db=1", "unix:///run/store.sock?db=1"),
        ("embedded", "embedded"),
    ],
)
def test_a_url_is_shown_without_its_password(url: str, shown: str) -> None:
    assert redacted_url(url) == shown


@given(st.text(), st.text())
def test_no_password_is_ever_shown(before: str, after: str) -> None:
    assert "S3CRET" not in redacted_url(f"redis://{before.replace('@', '')}:S3CRET{after}@host")
