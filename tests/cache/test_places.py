"""What names the places of entries, and how many names there can be."""

from collections.abc import Callable

from tidegate.cache.places import SLOT_DIGITS, Place, url_digest, url_generations


def test_urls_that_strangers_choose_have_no_more_generations_than_there_are_slots() -> None:
    urls = {url_digest(b"shop/all", b"shop.test", b"/%d" % number) for number in range(100_000)}
    assert len(urls) == 100_000
    assert len(set(url_generations(urls))) <= 16**SLOT_DIGITS


def test_an_entry_rests_on_the_same_whoever_computed_its_name(place: Callable[..., Place]) -> None:
    """A copy in memory has the name from the place of an earlier request."""
    here, earlier = place(), place()
    assert here.rests_on(earlier.public) == here.rests_on(here.public) == here.generations[:2]
    assert here.rests_on(earlier.own) == here.rests_on(here.own) == here.generations
