"""What is packed is what is unpacked, and nothing else is taken for an entry."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.cache.stored import Stored, unpacked
from tidegate.http import Headers

TOKENS = st.binary(min_size=1, max_size=8).map(bytes.hex).map(str.encode)
VALUES = st.text(alphabet=st.characters(codec="latin-1", exclude_characters="\n\r\0")).map(
    lambda text: text.encode("latin-1")
)
ENTRIES = st.builds(
    lambda **fields: Stored(**fields, body_length=len(fields["body"])),
    status=st.integers(200, 599),
    headers=st.lists(st.tuples(TOKENS, VALUES)).map(Headers),
    request_time=st.floats(0, 1e10),
    response_time=st.floats(0, 1e10),
    initial_age_s=st.floats(0, 1e10),
    lifetime_s=st.floats(0, 1e10),
    body=st.binary(max_size=300),
    vary=st.lists(TOKENS, max_size=3).map(tuple),
    selecting=st.binary(max_size=20),
    generation=st.lists(TOKENS, max_size=3).map(b",".join),
)
SLOTS = Stored.__slots__


@given(ENTRIES)
def test_an_entry_comes_back_as_it_was(entry: Stored) -> None:
    again = unpacked(entry.packed())
    assert again is not None
    assert [getattr(again, name) for name in SLOTS] == [getattr(entry, name) for name in SLOTS]


@given(ENTRIES, st.data())
def test_a_damaged_entry_is_none_or_has_a_whole_body(entry: Stored, data: st.DataObject) -> None:
    packed = entry.packed()
    damaged = packed[: data.draw(st.integers(0, len(packed) - 1))]
    again = unpacked(damaged)
    assert again is None or len(again.body) == again.body_length


@pytest.mark.parametrize("foreign", [b"", b"1", b"2" * 100, b"{}", b"1" * 100])
def test_what_another_version_wrote_is_no_entry(foreign: bytes) -> None:
    assert unpacked(foreign) is None


def test_a_body_that_lies_apart_is_not_in_the_entry() -> None:
    entry = Stored(200, Headers(), 0.0, 0.0, 0.0, 1.0, 10**6, body_id=b"abc")
    again = unpacked(entry.packed())
    assert again is not None
    assert (again.body, again.body_id, again.body_length) == (b"", b"abc", 10**6)
