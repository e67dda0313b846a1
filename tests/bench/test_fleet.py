"""The simulation's arithmetic, by cases to be checked by hand and by what must always hold."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.curves import Panel, curves
from bench.fleet_leases import Leased
from bench.fleet_model import Ahead, Bucket, Exact, Inputs, Local, Regional
from bench.fleet_traffic import CYCLE_S, OVERLOAD, TRAFFIC
from bench.simulation import Figures, figures_of, picture, simulate, table

INPUTS = Inputs(store_s=0.001, near_s=0.01, far_s=0.1)


def test_a_bucket_refills_at_its_rate_and_holds_no_more_than_its_burst() -> None:
    bucket = Bucket(rate=2, burst=3)
    assert [bucket.take(5, 0), bucket.take(1, 0.4), bucket.take(1, 0.5)] == [3, 0, 1]
    assert bucket.take(9, 100) == 3
    bucket.give_back(9)
    assert bucket.take(9, 100) == 3


def test_who_is_ahead_of_the_limit_is_told_by_how_much_at_worst() -> None:
    ahead = Ahead(rate=1, burst=2)
    for at in (0, 0, 0, 10, 10, 10.5, 10.5):
        ahead.admit(at)
    assert ahead.most == 1.5


def test_an_exact_decision_takes_both_ways_the_store_and_who_comes_before() -> None:
    outcome = Exact(3, rate=1, burst=2, inputs=INPUTS).run([(0.0, 0), (0.0, 3), (0.0, 1)])
    assert outcome.latencies_s == pytest.approx([0.021, 0.022, 0.201])
    assert (outcome.admitted, outcome.allowed, outcome.store_calls) == (2, 2, 3)


def test_regions_of_their_own_ask_near_and_have_a_third_each() -> None:
    fleet = Regional(3, rate=3, burst=6, inputs=INPUTS)
    outcome = fleet.run([(0.0, 1)] * 3 + [(0.0, 2)])
    assert outcome.latencies_s == pytest.approx([0.021, 0.022, 0.023, 0.021])
    assert (outcome.admitted, outcome.allowed) == (3, 4)


def test_a_local_gateway_has_its_share_and_asks_nobody() -> None:
    """Pain point 16: wrong wherever the traffic is not spread as the shares are."""
    outcome = Local(2, rate=2, burst=4, inputs=INPUTS).run([(0.0, 0)] * 4)
    assert (outcome.admitted, outcome.allowed, outcome.store_calls) == (2, 4, 0)
    small = Local(100, rate=1, burst=2, inputs=INPUTS).run([(0.0, one) for one in range(100)])
    assert (small.admitted, small.allowed, small.ahead) == (100, 2, 98)


def test_a_leased_gateway_borrows_once_it_is_asked_often_and_then_asks_seldom() -> None:
    fleet = Leased(1, rate=1000, burst=1000, inputs=INPUTS)
    outcome = fleet.run([(number / 100, 0) for number in range(100)])
    assert outcome.admitted == 100
    assert sum(latency > 0 for latency in outcome.latencies_s) <= 8
    assert outcome.store_calls < 30
    seldom = Leased(1, rate=1000, burst=1000, inputs=INPUTS)
    assert seldom.run([(float(at), 0) for at in range(20)]).store_calls == 20


def test_who_could_hold_less_than_two_tokens_borrows_nothing() -> None:
    often = [(number / 100, number % 2) for number in range(100)]
    leased, exact = (mode(2, rate=9, burst=39, inputs=INPUTS) for mode in (Leased, Exact))
    assert leased.run(often) == exact.run(often)


def test_a_loan_that_is_not_used_goes_back() -> None:
    fleet = Leased(1, rate=0.001, burst=1000, inputs=INPUTS)
    outcome = fleet.run([(number / 100, 0) for number in range(20)] + [(9.0, 0)])
    assert (outcome.admitted, fleet.on_loan) == (21, 0)
    assert fleet.on_loan_most > 1
    assert fleet.buckets[0].tokens == pytest.approx(1000 - 21, abs=0.1)


@given(
    st.lists(st.tuples(st.floats(0, 3), st.integers(0, 6)), max_size=200),
    st.floats(1, 200),
    st.floats(1, 500),
)
def test_leased_is_ahead_by_no_more_than_is_out_on_loan_a_tenth_of_the_burst_at_most(
    arrivals: list[tuple[float, int]], rate: float, burst: float
) -> None:
    fleet = Leased(7, rate=rate, burst=burst, inputs=INPUTS)
    outcome = fleet.run(sorted(arrivals))
    assert outcome.ahead <= fleet.on_loan_most + 1e-6
    assert fleet.on_loan_most <= burst / 10
    assert fleet.on_loan == 0
    assert len(outcome.latencies_s) == outcome.asked == len(arrivals)


@given(st.lists(st.tuples(st.floats(0, 3), st.integers(0, 6)), max_size=200))
def test_exact_is_never_ahead(arrivals: list[tuple[float, int]]) -> None:
    for mode in (Exact, Regional):
        assert mode(7, rate=20, burst=6, inputs=INPUTS).run(sorted(arrivals)).ahead <= 1e-6


def test_traffic_is_what_its_words_say_and_the_same_each_time() -> None:
    by_name = {traffic.name: traffic for traffic in TRAFFIC}
    steady = list(by_name["steady"].arrivals(100, 4.0, seed=5))
    assert steady == list(by_name["steady"].arrivals(100, 4.0, seed=5))
    assert len(steady) == pytest.approx(0.9 * by_name["steady"].rate(100) * 4, rel=0.05)
    bursty = list(by_name["bursty"].arrivals(100, CYCLE_S, seed=5))
    assert max(at for at, _ in bursty) < 1.0
    assert len(bursty) == pytest.approx(OVERLOAD * by_name["bursty"].rate(100), rel=0.05)
    skewed = [gateway for _, gateway in by_name["skewed"].arrivals(100, 4.0, seed=5)]
    hot = sum(gateway % 3 == 1 and gateway < 30 for gateway in skewed)
    assert hot / len(skewed) == pytest.approx(0.82, abs=0.03)


def test_a_simulation_is_the_same_each_time() -> None:
    once, again = (simulate(Leased, TRAFFIC[1], 10, INPUTS) for _ in range(2))
    assert once == again
    assert once.admitted == pytest.approx(1, abs=0.02)


def test_figures_are_shares_and_percentiles() -> None:
    outcome = Exact(1, rate=1, burst=2, inputs=INPUTS).run([(0.0, 0)] * 4)
    figures = figures_of(outcome, burst=2, seconds=2)
    assert figures == pytest.approx(Figures(1.0, 0.0, 2.0, 22.5, 24.0))


def test_table_and_picture_show_every_mode() -> None:
    figures = Figures(0.9, 0.25, 100.0, 0.5, 70.0)
    found = {
        (regions, traffic.name, mode, size): figures
        for regions in ("one region", "three regions")
        for traffic in TRAFFIC
        for mode in ("exact", "regional", "leased", "local")
        for size in (2, 10, 100, 1000)
    }
    assert "| leased | 1,000 | 0.900 | 25.0% | 100 | 0.50 | 70.00 |" in table(found)
    assert picture(found).count("<polyline") == 4 * (3 * 4 + 4 + 3 + 5)


def test_a_line_of_a_picture_lies_where_its_values_are() -> None:
    panel = Panel("p", {"exact": [(1, 0.0), (10, 1.0)]}, low=0, high=1, marks=[])
    drawn = curves("t", [panel])
    assert '<polyline points="90.0,258.0 300.0,76.0"' in drawn
