"""What names the places of entries, and how many names there can be."""

from tidegate.cache.places import SLOT_DIGITS, url_digest, url_generations


def test_urls_that_strangers_choose_have_no_more_generations_than_there_are_slots() -> None:
    urls = {url_digest(b"shop/all", b"shop.test", b"/%d" % number) for number in range(100_000)}
    assert len(urls) == 100_000
    assert len(set(url_generations(urls))) <= 16**SLOT_DIGITS
