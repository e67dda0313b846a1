"""How long a slot waits before its next start."""

from hypothesis import given
from hypothesis import strategies as st

from tidegate.supervisor import restart_delay_s

FAILURES = st.integers(1, 10_000)


def test_a_worker_that_had_lived_is_replaced_at_once() -> None:
    assert restart_delay_s(0, 15.0) == 0.0


@given(FAILURES, st.floats(0.0, 1.0, exclude_max=True))
def test_the_wait_grows_to_its_bound_and_never_beyond(failures: int, unit: float) -> None:
    wait_s = restart_delay_s(failures, 15.0, unit)
    step_s = min(15.0, 0.25 * 2 ** min(failures - 1, 30))
    assert step_s / 2 <= wait_s <= step_s


def test_two_slots_that_fail_together_do_not_start_in_step() -> None:
    assert len({restart_delay_s(5, 15.0) for _ in range(50)}) > 40
