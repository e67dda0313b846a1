"""What a run was allowed, by models simple enough to be checked by hand."""

import pytest

from bench import accuracy
from bench.accuracy import Algorithm, Case, Found, built, configuration, judged, objections
from bench.allowed import ahead_of_bucket, ahead_of_window, by_bucket, by_window
from bench.open_load import Answered, bursty, steady
from bench.surroundings import Unfit


def run(*times: float, status: int = 200, took_s: float = 0.0) -> list[Answered]:
    return [Answered(at, at + took_s, status) for at in times]


def test_a_bucket_allows_its_burst_and_what_flows_in() -> None:
    assert by_bucket([10.0] * 5, rate=1, burst=2) == 2
    assert by_bucket([0, 0, 0, 1, 1, 2.5], rate=1, burst=2) == 4
    assert by_bucket([0, 0.4, 0.8, 1.2], rate=2, burst=1) == 2


def test_a_window_allows_so_many_wherever_it_begins() -> None:
    def at(*times: float) -> list[tuple[float, float]]:
        return [(time, time) for time in times]

    assert by_window(at(0, 0.5, 0.9, 1.0, 1.4, 1.5), count=2, window_s=1) == 4
    assert by_window(at(0, 0.9, 0.95, 1.1), count=2, window_s=1) == 3


def test_of_slow_answers_a_window_is_known_from_fewest_to_most() -> None:
    slow = [(0.0, 0.3), (0.1, 0.4), (0.9, 1.2), (1.0, 1.3)]
    assert by_window(slow, count=1, window_s=1) == 1
    assert by_window([(answered, sent) for sent, answered in slow], count=1, window_s=1) == 2


def test_the_worst_stretch_is_found_wherever_it_lies() -> None:
    """A whole run may be within the limit while a second of it is not (pain point 14)."""
    twice_at_an_edge = run(0.0, 10.0, 10.1, 10.2, 10.3)
    assert by_bucket([one.sent_at for one in twice_at_an_edge], 1, 2) == 3
    assert ahead_of_bucket(twice_at_an_edge, rate=1, burst=2) == pytest.approx(1.7)
    assert ahead_of_window(twice_at_an_edge, count=2, window_s=1) == 2
    within = run(0, 0, 1, 2, 3)
    assert ahead_of_bucket(within, rate=1, burst=2) == 0
    assert ahead_of_window(within, count=2, window_s=0.9) == 0


def test_what_may_have_been_decided_outside_a_stretch_is_not_held_against_it() -> None:
    slow = run(0, 0.1, 0.2, took_s=5)
    assert ahead_of_window(slow, count=1, window_s=1) <= 0
    assert ahead_of_bucket(slow, rate=1, burst=1) < 0


def test_refusals_are_not_counted_as_admitted() -> None:
    assert ahead_of_window(run(0, 0.1, status=429), count=1, window_s=1) <= 0


def test_demand_comes_evenly_or_at_once() -> None:
    assert list(steady(2, 2)) == [0, 0.5, 1, 1.5]
    assert list(bursty(2, 2, 1.0)) == [0, 0, 1, 1]


def test_a_run_is_judged_by_what_was_allowed_between_sending_and_answering() -> None:
    case = Case("bucket", 10, "steady")
    times = [number / 31 for number in range(62)]
    by_the_book = [Answered(at, at, 200 if number < 39 else 429) for number, at in enumerate(times)]
    found = judged(case, by_the_book)
    assert (found.at_least, found.at_most, found.ratio) == (39, 39, 1.0)
    slow = [Answered(one.sent_at, one.answered_at + 1, one.status) for one in by_the_book]
    found = judged(case, slow)
    assert (found.at_least, found.at_most, found.ratio) == (29, 49, 1.0)
    with pytest.raises(Unfit, match="503"):
        judged(case, run(0, status=503))


def test_a_run_that_sent_too_little_is_no_result() -> None:
    with pytest.raises(Unfit, match="too busy"):
        judged(Case("bucket", 10, "steady"), run(*(number / 11 for number in range(50))))


def test_too_much_and_too_little_are_objected_to() -> None:
    case, leased = Case("window", 1000, "steady"), Case("leased", 1000, "steady")
    within = Found(3000, 1000, 1000, 1000, ahead=0)
    assert objections({case: within}) == []
    assert objections({case: within._replace(admitted=998)})
    assert objections({case: within._replace(ahead=1)})
    assert objections({leased: within._replace(ahead=1)}) == []
    assert within._replace(admitted=1100).ratio == 1.1
    assert Found(3000, 1000, 999, 1001, ahead=0).ratio == 1


def test_each_case_is_a_plan_of_its_own() -> None:
    text = configuration([Case("bucket", 10, "steady"), Case("window", 1, "bursty")], 8000, 9000)
    assert "bucket-10-steady: {limits: [{name: it, rate: 10/s, burst: 20}]}" in text
    assert "window-1-bursty: {limits: [{name: it, rate: 1/s, algorithm: sliding-window}]}" in text


def test_what_this_version_does_not_have_is_left_out_and_said(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    oracle = Algorithm("an oracle", "rate: {case.rate}/s, algorithm: oracle")
    monkeypatch.setitem(accuracy.ALGORITHMS, "oracle", oracle)
    assert "bucket" in built()
    assert "oracle" not in built()
    assert "left out an oracle: " in capsys.readouterr().err
