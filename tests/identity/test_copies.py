from hypothesis import given
from hypothesis import strategies as st

from tidegate.identity.copies import Copies, Copy

DIGESTS = st.sampled_from([b"a", b"b", b"c", b"d", b"e"])
STORE_KEYS = st.frozensets(st.sampled_from([b"k1", b"k2", b"k3"]), min_size=1)
STEPS = st.one_of(
    st.tuples(st.just("put"), DIGESTS, STORE_KEYS),
    st.tuples(st.just("remove"), DIGESTS),
    st.tuples(st.just("drop"), st.sampled_from([b"k1", b"k2", b"k3"])),
)


def copy_of(digest: bytes, read_from: frozenset[bytes]) -> Copy:
    return Copy(digest, None, tuple(sorted(read_from)), 0.0, 0)


@given(st.lists(STEPS, max_size=40), st.integers(1, 4))
def test_copies_are_what_was_put_last_and_neither_changed_nor_crowded_out(
    steps: list[tuple[str, bytes, frozenset[bytes]]], entries_max: int
) -> None:
    copies = Copies(entries_max)
    model: dict[bytes, Copy] = {}
    for step, name, *rest in steps:
        if step == "put":
            copy = copy_of(name, rest[0])
            copies.put(copy)
            model.pop(name, None)
            model[name] = copy
            if len(model) > entries_max:
                del model[next(iter(model))]
        elif step == "remove":
            copies.remove(name)
            model.pop(name, None)
        else:
            copies.drop_read_from(name)
            model = {d: c for d, c in model.items() if name not in c.read_from}
        assert {digest: copies.get(digest) for digest in b"a b c d e".split()} == {
            digest: model.get(digest) for digest in b"a b c d e".split()
        }
        assert len(copies) == len(model)


@given(st.lists(STEPS, max_size=40))
def test_what_is_gone_leaves_no_trace(
    steps: list[tuple[str, bytes, frozenset[bytes]]],
) -> None:
    copies = Copies(3)
    for step, name, *rest in steps:
        if step == "put":
            copies.put(copy_of(name, rest[0]))
    for digest in b"a b c d e".split():
        copies.remove(digest)
    assert not copies._digests_by_store_key
