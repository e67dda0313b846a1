"""The pace of an upload, against a plain reckoning of its windows."""

from hypothesis import given
from hypothesis import strategies as st

from tidegate.config import EdgeBounds
from tidegate.edge.upload_pace import UploadPace

WAITS = st.lists(st.tuples(st.floats(0, 40), st.integers(0, 20_000)), max_size=60)


@given(WAITS, st.integers(0, 2000))
def test_whoever_brings_its_share_of_every_wait_is_never_behind(waits, rate):
    pace = UploadPace(EdgeBounds(body_rate_min=rate))
    received = 0
    for waited_s, extra in waits:
        received += int(waited_s * rate) + 1 + extra
        assert not pace.is_behind(waited_s, received)


@given(WAITS, st.integers(1, 2000))
def test_whoever_is_behind_was_so_over_a_whole_window(waits, rate):
    bounds = EdgeBounds(body_rate_min=rate)
    pace = UploadPace(bounds)
    window: list[tuple[float, int]] = []
    received = 0
    for waited_s, piece in waits:
        received += piece
        window.append((waited_s, piece))
        is_over = sum(waited_s for waited_s, _ in window) >= bounds.body_timeout
        is_behind = pace.is_behind(waited_s, received)
        if is_over:
            wanted = rate * sum(waited_s for waited_s, _ in window)
            assert is_behind is (sum(piece for _, piece in window) < wanted)
            window = []
        else:
            assert not is_behind


@given(st.integers(1, 239))
def test_a_trickle_is_behind_after_one_window_whatever_came_before(bytes_a_second):
    pace = UploadPace(EdgeBounds())
    received = 10**9
    assert not pace.is_behind(30, received)
    steps = 0
    while not pace.is_behind(1, received := received + bytes_a_second):
        steps += 1
    assert steps == 29
