"""Which slot a command belongs to, by the vectors and rules of the Cluster specification."""

import pytest

from tidegate.store.slots import NotRoutable, command_slot, key_slot


def test_the_slot_of_a_key_is_that_of_the_specification() -> None:
    assert key_slot(b"123456789") == 0x31C3
    assert key_slot(b"") == 0


@pytest.mark.parametrize(
    ("key", "hashed"),
    [
        (b"{user1000}.following", b"user1000"),
        (b"foo{}{bar}", None),
        (b"foo{{bar}}zap", b"{bar"),
        (b"foo{bar}{zap}", b"bar"),
        (b"foo{bar", None),
        (b"}foo{bar}", b"bar"),
    ],
)
def test_a_hash_tag_stands_for_the_key(key: bytes, hashed: bytes | None) -> None:
    whole = key.replace(b"{", b"(").replace(b"}", b")")
    if hashed is None:
        assert key_slot(key) not in (key_slot(whole), key_slot(b"bar"), key_slot(b""))
    else:
        assert key_slot(key) == key_slot(b"{%b}" % hashed)


@pytest.mark.parametrize(
    ("command", "key"),
    [
        (("GET", "a"), b"a"),
        ((b"xadd", b"s", b"*", b"f", 1), b"s"),
        (("EVAL", "return 1", 2, "a", "b"), b"a"),
        (("EVALSHA", "0" * 40, 1, b"{t}:k"), b"{t}"),
        (("OBJECT", "ENCODING", "a"), b"a"),
        (("SCAN", 0, "MATCH", "tg:limits:{acme}:k:*", "COUNT", 10), b"{acme}"),
    ],
)
def test_a_command_goes_where_its_first_key_is(
    command: tuple[str | bytes | int, ...], key: bytes
) -> None:
    assert command_slot(command) == key_slot(key)


def test_what_speaks_of_no_key_may_be_asked_of_anybody() -> None:
    assert command_slot(("PING",)) is None
    assert command_slot(("INFO", "server")) is None


@pytest.mark.parametrize(
    "command",
    [
        ("FLUSHALL",),
        ("KEYS", "*"),
        ("SCAN", 0),
        ("SCAN", 0, "MATCH", "tg:*:{acme}"),
        ("SCAN", 0, "MATCH", "{a*}"),
        ("WAIT",),
    ],
)
def test_what_means_the_whole_store_is_refused_with_what_to_do(command: tuple[str, ...]) -> None:
    with pytest.raises(NotRoutable, match="Cluster"):
        command_slot(command)
