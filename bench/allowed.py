"""What a limit allows of a recorded run: by the plainest model of each algorithm.

A decision fell somewhere between sending and answer, so what was allowed is known up to that: the
model is asked with both times. That nothing was admitted beyond a limit is checked over every
stretch of the run, not for its whole alone, and only of decisions that surely fell into it.
"""

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Iterable, Sequence

from bench.fleet_model import Bucket
from bench.open_load import Answered

ADMITTED = 200


def by_bucket(times: Iterable[float], rate: float, burst: int) -> int:
    """How many a bucket admits that is full at the first of `times`."""
    bucket, began = Bucket(rate, burst), None
    admitted = 0
    for now in times:
        began = now if began is None else began
        admitted += bucket.take(1, now - began)
    return admitted


def by_window(asked_at: Iterable[tuple[float, float]], count: int, window_s: float) -> int:
    """How many are admitted if none has `count` admitted ones in the window before it.

    Of each request when it may leave a window behind, and from when on it is in one itself: sending
    and answering for the fewest, answering and sending for the most that can be.
    """
    admitted: deque[float] = deque()
    total = 0
    for leaves_at, is_in_from in asked_at:
        while admitted and admitted[0] <= leaves_at - window_s:
            admitted.popleft()
        if len(admitted) < count:
            admitted.append(is_in_from)
            total += 1
    return total


def ahead_of_bucket(run: Sequence[Answered], rate: float, burst: int) -> float:
    """By how many the admitted surely were beyond burst + rate * time, in the worst stretch."""
    lowest, latest, worst = float("inf"), float("-inf"), float("-inf")
    for number, one in enumerate(sorted(one for one in run if one.status == ADMITTED)):
        lowest = min(lowest, number - rate * one.sent_at)
        latest = max(latest, one.answered_at)
        worst = max(worst, number + 1 - rate * latest - lowest)
    return worst - burst


def ahead_of_window(run: Sequence[Answered], count: int, window_s: float) -> int:
    """By how many the admitted surely were beyond `count`, in the worst window."""
    admitted = [one for one in run if one.status == ADMITTED]
    sent = sorted(one.sent_at for one in admitted)
    answered = sorted(one.answered_at for one in admitted)
    # Whatever was sent before a window and answered after it belongs to neither side: subtracting
    # all that were sent before counts it out, so that none is counted that may lie outside.
    return (
        max(
            (bisect_right(answered, began + window_s) - bisect_left(sent, began) for began in sent),
            default=0,
        )
        - count
    )
