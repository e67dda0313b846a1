"""Turns are fair, and a target that just failed waits for its own."""

from collections import Counter
from dataclasses import dataclass

from tidegate.upstream.balancer import AVOIDED_S, Balancer


@dataclass(eq=False)
class FakePool:
    name: str
    has_room: bool = True


def pools(names="abc"):
    return [FakePool(name) for name in names]


def picks(balancer, count):
    return "".join(balancer.pick().name for _ in range(count))


def test_targets_take_turns():
    assert Counter(picks(Balancer(pools()), 9)) == {"a": 3, "b": 3, "c": 3}


def test_an_unreachable_target_is_passed_over_for_a_while():
    now_s = 100.0
    targets = pools()
    balancer = Balancer(targets, lambda: now_s)
    balancer.avoid(targets[1])
    assert set(picks(balancer, 6)) == {"a", "c"}
    now_s += AVOIDED_S
    assert set(picks(balancer, 3)) == {"a", "b", "c"}


def test_a_full_pool_is_passed_over_while_another_has_room():
    targets = pools("ab")
    balancer = Balancer(targets)
    targets[0].has_room = False
    assert picks(balancer, 4) == "bbbb"
    targets[1].has_room = False
    assert set(picks(balancer, 4)) == {"a", "b"}


def test_if_all_are_avoided_all_are_tried():
    targets = pools("ab")
    balancer = Balancer(targets, lambda: 0.0)
    for target in targets:
        balancer.avoid(target)
    assert set(picks(balancer, 4)) == {"a", "b"}


def test_the_next_choice_is_one_not_tried_yet():
    targets = pools("ab")
    balancer = Balancer(targets)
    assert balancer.next_untried([targets[0]]) is targets[1]
    assert balancer.next_untried(targets) is None


def test_a_lone_target_is_always_the_one():
    (target,) = targets = pools("a")
    balancer = Balancer(targets, lambda: 0.0)
    balancer.avoid(target)
    assert balancer.pick() is target
