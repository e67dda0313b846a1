"""What an answer from memory says of its age: right at every moment, and written once a second."""

import pytest

from tidegate.cache.answers import prepare
from tidegate.cache.memory import Copy


@pytest.fixture
def copy(entry):
    """Arrived at 1000.5 with an age of half a second; fresh until 1060."""
    return Copy("key", b"entry", (), entry())


def told(copy: Copy) -> tuple[bytes | None, bytes | None]:
    fields = dict(copy.prepared)
    return fields.get(b"age"), fields.get(b"cache-status")


@pytest.mark.parametrize(
    ("now", "age", "ttl"),
    [
        (1000.5, b"0", b"59"),
        (1000.999, b"0", b"59"),
        (1001.0, b"1", b"59"),
        (1059.25, b"59", b"0"),
        (990.0, b"0", b"70"),
    ],
    ids=["arrival", "same second", "next second", "last second", "the clock went back"],
)
def test_an_answer_tells_its_age_and_what_is_left(copy, now: float, age: bytes, ttl: bytes) -> None:
    prepare(copy, now)
    assert told(copy) == (age, b"tidegate; hit; ttl=" + ttl)
    assert copy.prepared_from <= now < copy.prepared_until


@pytest.mark.parametrize("now", [1000.5, 1000.75, 1001.0, 1030.9])
def test_what_is_prepared_is_right_as_long_as_the_age_does_not_change(copy, now: float) -> None:
    prepare(copy, now)
    (age, _), until = told(copy), copy.prepared_until
    prepare(copy, until - 0.001)
    assert told(copy)[0] == age
    prepare(copy, until + 0.001)
    assert told(copy)[0] == b"%d" % (int(age or b"") + 1)
