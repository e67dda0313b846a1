import re
import zlib

from hypothesis import given
from hypothesis import strategies as st

from tidegate.identity.key_format import base62, is_presentable, is_well_formed, new_key

BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
bodies = st.text(BASE62, min_size=30, max_size=30).map(lambda text: f"tg_live_{text}".encode())
keys = bodies.map(lambda body: body + b"_" + base62(zlib.crc32(body), 6).encode())


def test_a_key_has_the_published_form_and_160_bits() -> None:
    key = new_key()
    assert re.fullmatch(r"tg_live_[0-9A-Za-z]{30}_[0-9A-Za-z]{6}", key)
    assert 62**30 > 2**160


def test_the_checksum_of_a_known_key_never_changes() -> None:
    """Scanners elsewhere compute it too: CRC-32 of all before it, base62, digits first."""
    assert is_well_formed(b"tg_live_000000000000000000000000000000_3nUU1K")


def test_no_two_keys_are_equal() -> None:
    assert len({new_key() for _ in range(1000)}) == 1000


def test_every_new_key_is_well_formed() -> None:
    assert all(is_well_formed(new_key().encode()) for _ in range(1000))


@given(keys)
def test_whoever_computes_the_checksum_makes_a_well_formed_key(key: bytes) -> None:
    assert is_well_formed(key)


@given(keys, st.data())
def test_one_wrong_character_is_always_found(key: bytes, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(key) - 1))
    wrong = data.draw(st.sampled_from([c for c in BASE62.encode() + b"_" if c != key[place]]))
    assert not is_well_formed(key[:place] + bytes((wrong,)) + key[place + 1 :])


@given(keys, st.integers(8, 36))
def test_two_swapped_neighbours_are_always_found(key: bytes, place: int) -> None:
    swapped = key[:place] + key[place + 1 : place + 2] + key[place : place + 1] + key[place + 2 :]
    assert is_well_formed(swapped) == (swapped == key)


@given(keys, st.integers(0, 44))
def test_a_cut_key_is_not_well_formed(key: bytes, length: int) -> None:
    assert not is_well_formed(key[:length])


@given(st.binary(max_size=300))
def test_no_bytes_break_the_check(presented: bytes) -> None:
    is_well_formed(presented)
    assert is_presentable(presented) == (
        1 <= len(presented) <= 256 and all(0x21 <= byte <= 0x7E for byte in presented)
    )


@given(keys, st.sampled_from([b"\n", b" ", b"\r\n", b"\x00", b"0"]))
def test_nothing_may_follow_or_precede_a_key(key: bytes, more: bytes) -> None:
    assert not is_well_formed(key + more)
    assert not is_well_formed(more + key)


@given(st.integers(0, 62**6 - 1))
def test_base62_gives_each_number_one_spelling(number: int) -> None:
    value = 0
    for digit in base62(number, 6):
        value = value * 62 + BASE62.index(digit)
    assert value == number
