"""The route's bound on the request body, announced or counted."""

import pytest

from tidegate.config import Route
from tidegate.http import Headers, Request, Response
from tidegate.http.errors import ContentTooLarge
from tidegate.policies import body_bound

ROUTE = Route.model_validate({"name": "r", "body_bytes": 10})


async def pieces(*sizes: int):
    for size in sizes:
        yield b"x" * size


async def reads(request: Request) -> Response:
    body = request.body
    whole = body if isinstance(body, bytes) else b"".join([piece async for piece in body])
    return Response(200, body=whole)


@pytest.mark.parametrize(
    ("body", "content_length"),
    [(b"x" * 10, 10), (pieces(5, 5), 10), (pieces(5, 5), None), (b"", 0)],
)
async def test_a_body_at_the_bound_passes(body, content_length):
    request = Request("POST", b"/", Headers(), body=body, content_length=content_length)
    assert (await body_bound.build(ROUTE, 100, 100)(request, reads)).status == 200


@pytest.mark.parametrize(
    ("body", "content_length"), [(b"x" * 11, 11), (pieces(11), 11), (pieces(5, 5, 1), None)]
)
async def test_a_body_over_the_bound_is_413(body, content_length):
    request = Request("POST", b"/", Headers(), body=body, content_length=content_length)
    with pytest.raises(ContentTooLarge, match="10 bytes"):
        await body_bound.build(ROUTE, 100, 100)(request, reads)


async def test_an_announced_length_is_refused_before_a_byte_is_read():
    untouched = pieces(11)
    request = Request("POST", b"/", Headers(), body=untouched, content_length=11)
    with pytest.raises(ContentTooLarge):
        await body_bound.build(ROUTE, 100, 100)(request, reads)
    assert await anext(untouched) == b"x" * 11


def test_a_bound_that_the_doors_hold_already_costs_no_layer():
    assert body_bound.build(Route.model_validate({"name": "r"}), 100, 100) is None
    assert body_bound.build(Route.model_validate({"name": "r", "body_bytes": 100}), 10, 100) is None
    assert body_bound.build(Route.model_validate({"name": "r"}), 10, 100) is not None
