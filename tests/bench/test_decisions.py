"""Decisions are medians beside the first row's, and a round without the work ends the run."""

import pytest

from bench.decisions import ROWS, Round, check, table
from bench.limiter_client import OTHERS, OURS, measured
from bench.surroundings import Unfit


def test_the_median_round_speaks_and_is_set_beside_the_first_row() -> None:
    shown = table(
        {
            "tidegate": [Round(9_000, 5, 10), Round(10_000, 5, 10), Round(30_000, 5, 10)],
            "pyrate": [Round(1_000, 50, 40)],
        }
    )
    assert "| 10,000 | 1.00 | 5.0 | 1.00 | 10.0 | 1.00 | – |" in shown
    assert "| 1,000 | 0.10 | 50.0 | 10.00 | 40.0 | 4.00 | the client's clock" in shown


@pytest.mark.parametrize("decided, refused, in_store", [(0, 0, 0), (10, 1, 10), (10, 0, 9)])
def test_a_round_without_the_work_is_no_result(decided: int, refused: int, in_store: int) -> None:
    with pytest.raises(Unfit, match="limits, moving window"):
        check("limits-moving", decided, refused, in_store)


def test_leased_limits_ask_the_store_seldom_but_do() -> None:
    check("tidegate-leased", 1000, 0, 1)
    with pytest.raises(Unfit, match="0 in the store"):
        check("tidegate-leased", 1000, 0, 0)


def test_every_row_is_one_that_can_be_started() -> None:
    assert set(ROWS) == {*OURS, *OTHERS, "nginx"}
    assert all(row.lacks for name, row in ROWS.items() if not name.startswith("tidegate"))


async def test_what_is_refused_is_counted() -> None:
    import os

    async def ask() -> bool:
        return False

    told = await measured(ask, os.getpid(), 0.3)
    assert told["refused"] == told["decisions"] > 0
