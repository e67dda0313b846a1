"""Events in pieces: the last one that tells usage counts, and nothing but one event is held."""

import json
import tracemalloc
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.policies.event_usage import EVENT_BYTES_MAX, EventUsage
from tidegate.policies.usage_paths import USAGE_MAX, UsagePaths

TOTAL = UsagePaths(["usage.total_tokens"])
CLAUDE = UsagePaths(["message.usage.input_tokens", "usage.output_tokens"])

DONE = b"data: [DONE]\n\n"
LINE_ENDS = (b"\n", b"\r\n", b"\r")


def event(**members) -> bytes:
    return b"data: " + json.dumps(members).encode() + b"\n\n"


def scanned(stream: bytes, cuts=(), paths=TOTAL):
    usage = EventUsage(paths)
    for begin, end in pairwise(sorted({0, len(stream), *(c % (len(stream) + 1) for c in cuts)})):
        usage.feed(stream[begin:end])
    usage.finish()
    return usage.values


USED = event(usage={"total_tokens": 42})
OPEN_AI = event(choices=[{"delta": {"content": "total_tokens"}}], usage=None) * 3 + USED + DONE


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        (OPEN_AI, 42),
        (event(usage={"total_tokens": 1}) + USED + DONE, 42),
        (USED + event(usage=None) + DONE, 42),
        (USED + event(usage={"total_tokens": 0}), 0),
        (b'data: {"usage":\ndata: {"total_tokens": 42}}\n\n', 42),
        (b'event: x\nid: 1\ndata:{"usage":{"total_tokens":42}}\n\n', 42),
        (USED.rstrip(), 42),
        (USED[:-6], None),
        (b": total_tokens\n\n" + DONE, None),
        (b'data: {"total_tokens": NaN}\n\ndata: total_tokens\n\ndata: "total_tokens"\n\n', None),
        (b'data: {"usage":{"total_tokens":NaN}}\n\n', None),
        (b"data: " + b"[" * 60_000 + b' "total_tokens"\n\n' + USED, 42),
        (USED + b'data: {"usage":{"total_tokens":1' + b"0" * 400 + b"}}\n\n", USAGE_MAX),
        (USED + b'data: {"usage":{"total_tokens":-1' + b"0" * 400 + b"}}\n\n", 42),
        (USED + b'data: {"usage":{"total_tokens":1' + b"0" * 5000 + b"}}\n\n", 42),
        (USED + b'data: {"usage":{"total_tokens":1e999}}\n\n', 42),
        (USED + b'data: {"usage":' * 3 + b'{"a":' * 12_000 + b"total_tokens\n\n", 42),
        (USED + b'data: "\xff total_tokens"\n\n', 42),
        (b"", None),
    ],
)
def test_what_a_stream_says_in_any_pieces(stream, expected):
    for line_end in LINE_ENDS:
        text = stream.replace(b"\n", line_end)
        assert scanned(text) == [expected]
        if len(text) < 2000:
            for size in (1, 2, 3, 5):
                assert scanned(text, range(0, len(text), size)) == [expected]


@given(
    st.lists(
        st.sampled_from(
            (OPEN_AI, USED, DONE, b"\n", b"\r", b"\r\n", b"data:", b"\n\n\n", b"x" * 50, b"\r\r\n")
        ),
        max_size=8,
    ).map(b"".join),
    st.lists(st.integers(0, 2000), max_size=10),
)
def test_any_pieces_say_the_same(stream, cuts):
    assert scanned(stream, cuts) == scanned(stream)


parts = st.sampled_from(("[", "{", '"usage":', '{"total_tokens":', "}", "]", ",", "-", "9e", '"'))
texts = st.lists(parts | st.sampled_from("0123").map(lambda digit: digit * 400), max_size=20)


@given(texts | st.binary(max_size=40))
def test_nothing_that_an_event_says_fails_anybody(said):
    text = said if isinstance(said, bytes) else "".join(said).encode()
    (used,) = scanned(b"data: " + text + b'\ndata: "total_tokens"\n\n' + USED)
    assert used == 42
    (used,) = scanned(USED + b'data: {"usage":{"total_tokens":' + text + b"}}\n\n")
    assert used is not None
    assert 0 <= used <= USAGE_MAX


def test_numbers_from_several_events_are_told_each():
    start = event(type="message_start", message={"usage": {"input_tokens": 12}})
    delta = event(type="message_delta", usage={"output_tokens": 30})
    assert scanned(start + delta + delta, paths=CLAUDE) == [12, 30]
    assert scanned(start, paths=CLAUDE) == [12, None]


@pytest.mark.parametrize("over", [-1, 0, 1, 2, 3, 4, 5, 1000, 200_000])
@pytest.mark.parametrize("line_end", LINE_ENDS)
def test_an_event_of_any_length_is_looked_through_in_any_pieces(over, line_end):
    """The last event of some streams repeats the whole answer before it tells its usage."""
    text = b"p" * (EVENT_BYTES_MAX - 60 + over)
    long = b'event: last%bdata: {"t":"%b","usage":{"total_tokens":43}}' % (line_end, text)
    assert len(long) > EVENT_BYTES_MAX + over - 20
    stream = USED + long + line_end * 2
    assert scanned(stream) == [43]
    assert scanned(stream[:-1]) == [43]
    assert scanned(stream, (1000, 15_000, *range(16_350, 16_500), len(stream) - 5)) == [43]
    assert scanned(stream + event(usage={"total_tokens": 44}), (30_000,)) == [44]
    assert scanned(stream + event(usage=None), (30_000,)) == [43]


def test_a_long_event_that_is_cut_has_said_what_it_has_said():
    long = b'data: {"usage":{"total_tokens":43},"t":"' + b"p" * EVENT_BYTES_MAX
    assert scanned(USED + long, (9000,)) == [43]
    assert scanned(USED + b'data: {"t":"' + b"p" * EVENT_BYTES_MAX, (9000,)) == [42]


def test_it_is_known_that_a_long_event_asked_for_too_much():
    usage = EventUsage(TOTAL)
    usage.feed(USED + b"data: [" + b"[]," * EVENT_BYTES_MAX + b"\n\n")
    assert (usage.values, usage.is_lost) == ([42], True)


def test_a_stream_without_end_holds_one_event_at_the_most():
    """Pain point 8: memory that grows with what others send."""
    usage = EventUsage(TOTAL)
    tracemalloc.start()
    for _ in range(200):
        usage.feed(b"data: total_tokens " * 1000)
    held_bytes, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held_bytes < 3 * EVENT_BYTES_MAX
