"""What is said in the log now and then: the first time, and again after a minute."""

from tidegate.policies import now_and_then
from tidegate.policies.now_and_then import EVERY_S, NowAndThen


def test_it_is_said_at_once_and_then_not_for_a_minute(monkeypatch):
    now = 5.0
    monkeypatch.setattr(now_and_then, "monotonic", lambda: now)
    said, another = NowAndThen(), NowAndThen()
    assert (said.has_come(), said.has_come()) == (True, False)
    now += EVERY_S - 1
    assert not said.has_come()
    now += 1
    assert (said.has_come(), said.has_come()) == (True, False)
    assert another.has_come()
