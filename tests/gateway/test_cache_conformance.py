"""RFC 9111 through the whole gateway: what the second of two requests gets, and who was asked.

Each case is two requests for one URL. The service's answers are told apart by their bodies; ages
come from the service's own `Age` and `Date`, so that nothing waits.
"""

from dataclasses import dataclass, field
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest

from tidegate.config import Config
from tidegate.gateway import Gateway
from tidegate.store import Store
from tidegate.testing import Kit, ScriptedUpstream
from tidegate.testing.scripted_upstream import ReceivedRequest

Fields = list[tuple[str, str]]
HIT, ASKED, CONFIRMED = "hit", "asked", "confirmed"
"""The second request gets the first answer; a new one; or the first one, which a 304 confirmed."""
YESTERDAY = formatdate(1_700_000_000, usegmt=True)
TOMORROW = formatdate(4_000_000_000, usegmt=True)
CC = "Cache-Control"


@dataclass(frozen=True)
class Case:
    name: str
    expected: str
    answer: Fields
    """Fields of the service's answers."""
    status: int = 200
    asks: Fields = field(default_factory=list)
    """Fields of the first request."""
    asks_again: Fields = field(default_factory=list)
    methods: tuple[str, str] = ("GET", "GET")


def fresh(*more: tuple[str, str]) -> Fields:
    return [(CC, "max-age=3600"), *more]


def stale(*more: tuple[str, str]) -> Fields:
    return [(CC, "max-age=10"), ("Age", "20"), *more]


ETAG = ("ETag", '"x"')
BASIC = ("Authorization", "Basic eDp5")
CASES = [
    # How long.
    Case("max-age", HIT, fresh()),
    Case("max-age-past", ASKED, stale()),
    Case("max-age-zero", ASKED, [(CC, "max-age=0")]),
    Case("max-age-over-expires", HIT, fresh(("Expires", YESTERDAY))),
    Case("s-maxage-over-max-age", ASKED, fresh((CC, "s-maxage=0"))),
    Case("s-maxage", HIT, [(CC, "max-age=0, s-maxage=3600")]),
    Case("huge-max-age", HIT, [(CC, "max-age=99999999999999")]),
    Case("quoted-max-age", HIT, [(CC, 'max-age="3600"')]),
    Case("single-quoted-max-age", ASKED, [(CC, "max-age='3600'")]),
    Case("decimal-max-age", ASKED, [(CC, "max-age=3600.0")]),
    Case("max-age-twice", ASKED, fresh((CC, "max-age=1800"))),
    Case("max-age-in-a-string", ASKED, [(CC, 'x="max-age=3600", max-age=0')]),
    Case("expires", HIT, [("Expires", TOMORROW)]),
    Case("expires-past", ASKED, [("Expires", YESTERDAY)]),
    Case("expires-zero", ASKED, [("Expires", "0")]),
    Case("expires-in-words", ASKED, [("Expires", "next week")]),
    Case("expires-twice", ASKED, [("Expires", TOMORROW), ("Expires", YESTERDAY)]),
    Case("old-date", ASKED, fresh(("Date", YESTERDAY))),
    Case("bad-date", ASKED, fresh(("Date", "today"))),
    Case("age-past", ASKED, fresh(("Age", "3600"))),
    Case("age-before", HIT, fresh(("Age", "3000"))),
    Case("bad-age", ASKED, fresh(("Age", "-1"))),
    Case("age-list", ASKED, fresh(("Age", "0, 7200"))),
    Case("silent", HIT, []),
    Case("silent-404", HIT, [], status=404),
    Case("silent-503", ASKED, [], status=503),
    Case("fresh-503", HIT, fresh(), status=503),
    Case("fresh-599", ASKED, fresh(), status=599),
    Case("fresh-redirect", HIT, fresh(("Location", "/api/y")), status=302),
    # Whether at all.
    Case("no-store", ASKED, fresh((CC, "no-store"))),
    Case("no-store-with-semicolon", ASKED, [(CC, "max-age=3600; no-store")]),
    Case("private", ASKED, fresh((CC, "private"))),
    Case("private-field", ASKED, fresh((CC, 'private="x-user"'))),
    Case("no-cache", ASKED, fresh((CC, "no-cache"))),
    Case("no-cache-field", ASKED, fresh((CC, 'no-cache="x-user"'))),
    Case("pragma-alone", ASKED, [("Pragma", "no-cache")]),
    Case("set-cookie", ASKED, fresh(("Set-Cookie", "a=b"))),
    Case("set-cookie-public", ASKED, [(CC, "public, max-age=9"), ("Set-Cookie", "a=b")]),
    Case("must-understand", ASKED, [(CC, "no-store, must-understand, max-age=9")]),
    Case("no-store-asked", ASKED, fresh(), asks=[(CC, "no-store")]),
    Case("partial", ASKED, fresh(("Content-Range", "bytes 0-4/9")), status=206),
    Case("range-then-whole", ASKED, fresh(), asks=[("Range", "bytes=0-")]),
    Case("whole-then-range", ASKED, fresh(), asks_again=[("Range", "bytes=0-1")]),
    Case("post-fresh", ASKED, fresh(), methods=("POST", "GET")),
    Case("get-then-post", ASKED, fresh(), methods=("GET", "POST")),
    Case("get-then-head", HIT, fresh(), methods=("GET", "HEAD")),
    Case("head-then-get", ASKED, fresh(), methods=("HEAD", "GET")),
    # Whose.
    Case("signed", ASKED, fresh(), asks=[BASIC], asks_again=[BASIC]),
    Case("signed-silent", ASKED, [], asks=[BASIC], asks_again=[BASIC]),
    Case("signed-public", HIT, [(CC, "public, max-age=9")], asks=[BASIC]),
    Case("signed-s-maxage", HIT, [(CC, "s-maxage=9")], asks=[BASIC]),
    Case("signed-revalidate", HIT, [(CC, "max-age=9, must-revalidate")], asks=[BASIC]),
    Case("cookie", HIT, fresh(), asks=[("Cookie", "a=b")]),
    Case("cookie-silent", ASKED, [], asks=[("Cookie", "a=b")], asks_again=[("Cookie", "a=b")]),
    Case("silent-then-cookie", ASKED, [], asks_again=[("Cookie", "a=b")]),
    # Which.
    Case("vary-star", ASKED, fresh(("Vary", "*"))),
    Case("vary-list-with-star", ASKED, fresh(("Vary", "Accept, *"))),
    Case("vary-same", HIT, fresh(("Vary", "X")), asks=[("X", "1")], asks_again=[("X", "1")]),
    Case("vary-other", ASKED, fresh(("Vary", "X")), asks=[("X", "1")], asks_again=[("X", "2")]),
    Case("vary-none", ASKED, fresh(("Vary", "X")), asks=[("X", "1")]),
    Case("vary-empty", ASKED, fresh(("Vary", "X")), asks=[("X", "")]),
    Case("vary-lines", HIT, fresh(("Vary", "X")), asks=[("X", "1"), ("X", "2")],
         asks_again=[("X", "1, 2")]),
    Case("vary-two", ASKED, fresh(("Vary", "X"), ("Vary", "Y")), asks=[("X", "1")],
         asks_again=[("X", "1"), ("Y", "1")]),
    Case("vary-written-by-us", ASKED, fresh(("Vary", "X-Tidegate-Plan"))),
    # What the client asks for.
    Case("asks-no-cache", ASKED, fresh(), asks_again=[(CC, "no-cache")]),
    Case("asks-pragma", ASKED, fresh(), asks_again=[("Pragma", "no-cache")]),
    Case("asks-max-age-0", ASKED, fresh(), asks_again=[(CC, "max-age=0")]),
    Case("asks-younger", ASKED, fresh(("Age", "100")), asks_again=[(CC, "max-age=50")]),
    Case("asks-older", HIT, fresh(("Age", "100")), asks_again=[(CC, "max-age=500")]),
    Case("asks-fresher", ASKED, fresh(("Age", "3500")), asks_again=[(CC, "min-fresh=500")]),
    Case("asks-stale", HIT, stale(ETAG), asks_again=[(CC, "max-stale")]),
    Case("asks-stale-little", CONFIRMED, stale(ETAG), asks_again=[(CC, "max-stale=5")]),
    Case("asks-stale-forbidden", CONFIRMED, stale(ETAG, (CC, "must-revalidate")),
         asks_again=[(CC, "max-stale")]),
    Case("asks-bypass", ASKED, fresh(ETAG), asks_again=[(CC, "no-store")]),
    # Validation.
    Case("etag", CONFIRMED, stale(ETAG)),
    Case("weak-etag", CONFIRMED, stale(("ETag", 'W/"x"'))),
    Case("last-modified", CONFIRMED, stale(("Last-Modified", YESTERDAY))),
    Case("no-cache-etag", CONFIRMED, fresh((CC, "no-cache"), ETAG)),
    Case("bad-etag", ASKED, stale(("ETag", "x"))),
    Case("asks-confirmation", CONFIRMED, fresh(ETAG), asks_again=[(CC, "no-cache")]),
]  # fmt: skip


def answering(case: Case) -> Any:
    """The service: a new body each time, or a 304 to whoever has the validator that it gives."""
    answers = 0
    given = {value for name, value in case.answer if name in ("ETag", "Last-Modified")}

    def answer(request: ReceivedRequest) -> bytes:
        nonlocal answers
        answers += 1
        conditions = [b"if-none-match", b"if-modified-since"]
        named = {value.decode() for name in conditions for value in request.get_all(name)}
        is_known = bool(named & given)
        head = f"HTTP/1.1 {304 if is_known else case.status} X\r\n"
        head += "".join(f"{name}: {value}\r\n" for name, value in case.answer)
        body = b"" if is_known else b"answer %d" % answers
        if not is_known:
            head += f"Content-Length: {len(body)}\r\n"
        return head.encode() + b"\r\n" + (b"" if request.method == "HEAD" else body)

    return answer


async def ask(kit: Any, method: str, fields: Fields) -> Any:
    joined: dict[str, str] = {}
    for name, value in fields:
        joined[name] = f"{joined[name]}, {value}" if name in joined else value
    return await kit.request(method, "/api/x", headers=joined)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_the_second_request_gets(case: Case, tidegate_kit: Any) -> None:
    kit = await tidegate_kit(route={"cache": {"enabled": True, "default_ttl": 60.0}})
    upstream: ScriptedUpstream = kit.upstream
    upstream.script = [answering(case)]
    first = await ask(kit, case.methods[0], case.asks)
    second = await ask(kit, case.methods[1], case.asks_again)
    assert len(upstream.requests) == (1 if case.expected == HIT else 2)
    told = second.header("cache-status")
    assert told.startswith("tidegate; hit" if case.expected == HIT else "tidegate; fwd=")
    if case.methods[1] != "HEAD":
        assert second.body == (b"answer 2" if case.expected == ASKED else b"answer 1")
    assert second.status == case.status
    assert ("fwd-status=304" in told) is (case.expected == CONFIRMED)
    assert first.header("cache-status").startswith("tidegate; fwd=")


async def test_without_anything_stored_only_if_cached_is_a_504(tidegate_kit: Any) -> None:
    kit = await tidegate_kit(route={"cache": {"enabled": True, "default_ttl": 60.0}})
    only = {"Cache-Control": "only-if-cached"}
    refused = await kit.get("/api/x", headers=only)
    assert refused.status == 504
    assert refused.header("cache-status") == 'tidegate; detail="only-if-cached"'
    assert refused.header("x-cache") == "MISS"
    assert kit.upstream.requests == []
    await kit.get("/api/x")
    assert (await kit.get("/api/x", headers=only)).status == 200
    assert len(kit.upstream.requests) == 1


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
async def test_what_a_change_names_is_asked_for_anew(method: str, tidegate_kit: Any) -> None:
    kit = await tidegate_kit(route={"cache": {"enabled": True, "default_ttl": 60.0}})
    await kit.get("/api/x")
    await kit.get("/api/y")
    kit.upstream.script = [(204, {"Content-Location": "/api/y"}, b"")]
    await kit.request(method, "/api/x")
    kit.upstream.script = [(200, {}, b"new")]
    assert (await kit.get("/api/x")).body == b"new"
    assert (await kit.get("/api/y")).body == b"new"


async def test_a_change_through_another_route_is_seen(tidegate_store: Store) -> None:
    async with ScriptedUpstream() as upstream:
        config = Config.model_validate(
            {
                "version": 1,
                "services": [
                    {
                        "name": "shop",
                        "targets": [upstream.url],
                        "routes": [
                            {
                                "name": "read",
                                "methods": ["GET"],
                                "auth": [],
                                "cache": {"default_ttl": 60.0},
                            },
                            {"name": "write", "methods": ["POST"], "auth": []},
                        ],
                    }
                ],
            }
        )
        async with Gateway(config, data_dir=Path(), store=tidegate_store) as gateway:
            kit = Kit(gateway, upstream)
            layers = [[name for name, _ in route.policies] for route in gateway.snapshot.routes]
            assert layers == [["request_identity", n, "forward"] for n in ("cache", "forget")]
            await kit.get("/x")
            assert (await kit.get("/x")).header("x-cache") == "HIT"
            await kit.post("/x")
            upstream.script = [(200, {}, b"new")]
            assert (await kit.get("/x")).body == b"new"


@pytest.mark.parametrize(
    "fields", [{CC: "private"}, {CC: "no-store"}, {"Set-Cookie": "a=b"}, {"Vary": "*"}]
)
async def test_a_304_that_forbids_it_ends_what_was_kept(
    fields: dict[str, str], tidegate_kit: Any
) -> None:
    kit = await tidegate_kit(route={"cache": {"enabled": True}})
    kept = {CC: "public, max-age=3600", "ETag": '"x"'}
    kit.upstream.script = [(200, kept, b"old"), (304, {"ETag": '"x"', **fields}, b"")]
    assert (await kit.get("/api/x")).body == b"old"
    assert (await kit.get("/api/x")).header("x-cache") == "HIT"
    confirmed = await kit.get("/api/x", headers={CC: "no-cache"})
    assert confirmed.body == b"old"
    assert "; stored" not in confirmed.header("cache-status")
    kit.upstream.script = [(200, {}, b"new")]
    assert (await kit.get("/api/x")).body == b"new"
