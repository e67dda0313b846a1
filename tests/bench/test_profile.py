"""Folded stacks become costs: of each function alone, of each file with what it calls."""

from bench.profile import costs_of

FOLDED = """\
run (app/loop.py:7);handle (app/gateway.py:3);write (libc.so.6) 30
run (app/loop.py:7);handle (app/gateway.py:4) 5
run (app/loop.py:9);handle (app/gateway.py:9);handle (app/gateway.py:3) 5
"""


def test_lines_of_one_function_are_one_cost() -> None:
    costs = costs_of(FOLDED)
    assert costs.samples == 40
    assert costs.own == {"write (libc.so.6)": 30, "handle (app/gateway.py)": 10}


def test_a_file_that_calls_itself_is_counted_once() -> None:
    assert costs_of(FOLDED).below == {"app/loop.py": 40, "app/gateway.py": 40}
