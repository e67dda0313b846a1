"""`tidegate cache purge`, by the admin API and straight on the store."""

from typing import Any

import pytest


def test_what_is_purged_is_said(operated: Any) -> None:
    url = "http://api.example.com/api/v1/things?page=2"
    for arguments, body in (
        (("--url", url, "--url", url), {"urls": [url, url]}),
        (("--tenant", operated.tenant), {"tenant": operated.tenant}),
        (("--all",), {"all": True}),
    ):
        assert operated.run("cache", "purge", *arguments, "--json").json == {"purged": body}
    assert operated.run("cache", "purge", "--all").out == "Purged everything.\n"


def test_a_url_that_no_route_takes_is_refused(operated: Any) -> None:
    refused = operated.run("cache", "purge", "--url", "http://nobody.example/elsewhere")
    assert (refused.code, refused.out) == (1, "")
    assert refused.err.count("\n") == 1


@pytest.mark.parametrize("arguments", [(), ("--all", "--tenant", "acme")])
def test_it_is_one_of_three(run: Any, arguments: tuple[str, ...]) -> None:
    assert run("cache", "purge", *arguments).code == 2


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("/api/v1/test", "http://127.0.0.1:8000/api/v1/test"),
        ("127.0.0.1:8000/api/v1/test", "is no URL"),
        ("http://api.example.com/ü", "percent-encoded"),
    ],
)
def test_a_url_that_is_not_whole_is_told_how_to_be(run: Any, url: str, said: str) -> None:
    refused = run("cache", "purge", "--url", url)
    assert (refused.code, refused.out) == (2, "")
    assert said in refused.err


def test_a_tenant_that_is_not_there_has_nothing_to_purge(operated: Any) -> None:
    refused = operated.run("cache", "purge", "--tenant", f"{operated.tenant}x")
    assert (refused.code, refused.out) == (1, "")
    assert (
        f'There is no tenant {operated.tenant}x, did you mean "{operated.tenant}"?' in refused.err
    )
