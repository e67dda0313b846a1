"""JSON text in pieces: what is found is what parsing the whole would find, however it is cut."""

import json
import tracemalloc
from itertools import pairwise
from time import process_time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tidegate.policies.json_usage import STEPS_FREE, JsonUsage
from tidegate.policies.usage_paths import USAGE_MAX, UsagePaths

TOTAL = UsagePaths(["usage.total_tokens"])
BOTH = UsagePaths(["usage.total_tokens", "usage.more.deep", "n", "usage.more", "n"])
NAMES = ("usage", "total_tokens", "more", "deep", "n", "x", 'q"{', "\\", "ü", "", "y" * 200)

numbers = st.integers(0, 10**6) | st.floats(0, 10**6) | st.integers(-5, -1)
scalars = numbers | st.none() | st.booleans() | st.text('"\\{}[]:, aü\n', max_size=12)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=5)
    ),
    max_leaves=25,
)
cuts = st.lists(st.integers(0, 400), max_size=12)
indents = st.sampled_from((None, 0, 1, "\t"))


def scanned(text: bytes, paths: UsagePaths = TOTAL, cuts=(), steps_free=STEPS_FREE):
    usage = JsonUsage(paths, steps_free)
    for begin, end in pairwise(sorted({0, len(text), *(cut % (len(text) + 1) for cut in cuts)})):
        usage.feed(text[begin:end])
    usage.finish()
    return usage.values


def parsed(document, paths: UsagePaths = BOTH):
    found = [None] * len(paths.paths)
    paths.read(document, found)
    return found


@given(st.dictionaries(st.sampled_from(NAMES), values, max_size=6), cuts, indents, st.booleans())
def test_any_document_in_any_pieces_says_what_parsing_it_says(document, cuts, indent, is_ascii):
    text = json.dumps(document, indent=indent, ensure_ascii=is_ascii).encode()
    assert scanned(text, BOTH, cuts) == parsed(document)
    assert scanned(text, BOTH, range(len(text))) == parsed(document)


@given(st.binary(max_size=60) | st.text('{}[]":,\\ 0123eE.-+usage', max_size=80).map(str.encode))
@example(b'{"usage":{"total_tokens":12')
@example(b'{"' + b"u" * 127 + b'":{"total_tokens":12}}')
@example(b'{"usage"' + b" " * 65 + b':{"total_tokens":12}}')
@example(b'{"usage":{"total_tokens":123456789012345678901234}}')
def test_what_is_no_json_says_the_same_in_any_pieces_and_fails_nobody(text):
    whole = scanned(b'{"usage":{"total_tokens":7,' + text)
    for size in (1, 2, 3, 7):
        pieces = range(0, len(text) + 30, size)
        assert scanned(b'{"usage":{"total_tokens":7,' + text, TOTAL, pieces) == whole


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"usage":{"total_tokens":30}}', 30),
        ('{"usage" : {"total_tokens" :30 }}', 30),
        ('{"usage":{"total_tokens":1.2}}', 2),
        ('{"usage":{"total_tokens":1.5e3}}', 1500),
        ('{"usage":{"total_tokens":0}}', 0),
        ('{"usage":{"total_tokens":99999999999}}', USAGE_MAX),
        ('{"usage":{"total_tokens":1e999}}', None),
        ('{"usage":{"total_tokens":-3}}', None),
        ('{"usage":{"total_tokens":"30"}}', None),
        ('{"usage":{"total_tokens":null}}', None),
        ('{"usage":{"total_tokens":true}}', None),
        ('{"usage":{"total_tokens":{"a":3}}}', None),
        ('{"usage":{"total_tokens":12', None),
        ('{"usage":null,"text":"\\"usage\\":{\\"total_tokens\\":9}"}', None),
        ('{"choices":[{"usage":{"total_tokens":9}}]}', None),
        ('{"a":{"usage":{"total_tokens":9}}}', None),
        ('{"total_tokens":9}', None),
        ('{"usage":{"a":{"total_tokens":9}}}', None),
        # Texts in a row and a list of them: the latest number counts, and `null` is none.
        ('{"usage":{"total_tokens":1}}\n{"usage":{"total_tokens":2}}\n', 2),
        ('[{"usage":{"total_tokens":1}},\n{"usage":null}]', 1),
        ('"usage" {"usage":{"total_tokens":1}}', 1),
        ("", None),
    ],
)
def test_what_counts_as_usage(text, expected):
    assert scanned(text.encode()) == [expected]
    assert scanned(text.encode(), TOTAL, range(len(text))) == [expected]


@pytest.mark.parametrize(
    "unit", [b"[", b'{"a":', b'{"usage":', b"[]", b"{},", b'"\\\\",', b'"a":1,']
)
def test_hostile_text_costs_a_bounded_time_and_next_to_no_memory(unit):
    """Pain point 8: memory that grows with what others send."""
    piece = unit * (64 * 1024 // len(unit))

    def feed_a_mebibyte() -> float:
        usage = JsonUsage(BOTH)
        usage.feed(b'{"usage":')
        began = process_time()
        for _ in range(16):
            usage.feed(piece)
        took_s = process_time() - began
        held_bytes, _ = tracemalloc.get_traced_memory()
        assert held_bytes < 16 * 1024
        return took_s

    assert feed_a_mebibyte() < 1.5  # a tenth of that on a machine that does nothing else
    tracemalloc.start()
    try:
        feed_a_mebibyte()
    finally:
        tracemalloc.stop()


def test_an_answer_of_any_length_is_looked_through_to_the_usage_at_its_end():
    """Log probabilities of tokens: 12 bytes for a bracket, megabytes of them."""
    token = json.dumps({"token": "a", "logprob": -1.25, "bytes": [97], "top": [{"token": "b"}]})
    text = b'{"choices":[' + token.encode() * 40_000 + b'],"usage":{"total_tokens":5}}'
    assert text.count(b"{") + text.count(b"[") > 100_000
    assert scanned(text, TOTAL, range(0, len(text), 16_384)) == [5]


def test_beyond_the_steps_that_its_length_allows_an_answer_is_not_looked_at():
    text = b'{"a":[' + b"[]," * 50 + b'[]],"usage":{"total_tokens":5}}'
    for cuts in ((), range(len(text))):
        assert scanned(text, steps_free=200) == [5]
        assert scanned(text, TOTAL, cuts, steps_free=60) == [None]
    usage = JsonUsage(TOTAL, steps_free=60)
    usage.feed(text)
    assert usage.is_lost
    usage.feed(b'{"usage":{"total_tokens":6}}' * 10)
    assert usage.values == [None]
