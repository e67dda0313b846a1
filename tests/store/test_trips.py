"""Which trips to the store are timed."""

from tidegate.store.trips import Trips


def test_one_write_at_a_time_is_timed_until_its_last_reply() -> None:
    told: list[float] = []
    trips = Trips(told.append)
    trips.answered(1)
    trips.written(3)
    trips.answered(2)
    trips.written(5)
    assert told == []
    trips.answered(4)  # of which three belong to the write meanwhile
    assert len(told) == 1
    trips.answered(2)
    assert len(told) == 1
    trips.written(1)
    trips.answered(1)
    assert len(told) == 2
    assert min(told) >= 0
