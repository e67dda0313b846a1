"""Fields of an answer that were written a moment ago: written again as they are now, or not at all.

What was joined and checked once is used for a message whose fields are still those of its block.
"""

import pytest

from tidegate.edge.native.response_head import NOTES_MAX, response_head
from tidegate.edge.pipeline import UnsafeResponse
from tidegate.http import Headers, Response
from tidegate.http.framing import Framing
from tidegate.http.headers import FieldBlock

FIELDS = [(b"date", b"now"), (b"etag", b"a")]


def again(block: FieldBlock) -> Response:
    response = Response(200, Headers(block.fields), b"x")
    response.block = block
    return response


def written(response: Response) -> bytes:
    return response_head(response, Framing.SIZED, 1, "1.1", b"date: own\r\n\r\n", closes=False)


def test_the_same_fields_are_written_the_same_again():
    block = FieldBlock(FIELDS)
    expected = b"HTTP/1.1 200 OK\r\ndate: now\r\netag: a\r\ncontent-length: 1\r\n\r\n"
    assert [written(again(block)) for _ in range(3)] == [expected] * 3


def test_what_a_policy_changed_is_written_as_it_left_it():
    block = FieldBlock(FIELDS)
    written(again(block))
    changed = again(block)
    changed.headers.remove_all([b"date"])
    changed.headers.append((b"a", b"b"))
    expected = b"HTTP/1.1 200 OK\r\netag: a\r\na: b\r\ncontent-length: 1\r\ndate: own\r\n\r\n"
    assert written(changed) == expected
    assert b"date: now" in written(again(block))


def test_another_status_has_a_line_of_its_own():
    block = FieldBlock(FIELDS)
    for status, line in [(200, b"200 OK"), (404, b"404 Not Found"), (200, b"200 OK")]:
        response = again(block)
        response.status = status
        assert written(response).startswith(b"HTTP/1.1 %b\r\ndate: now\r\n" % line)


def test_what_is_kept_of_reasons_is_bounded():
    block = FieldBlock(FIELDS)
    for number in range(2 * NOTES_MAX):
        response = again(block)
        response.reason = b"Fine %d" % number
        assert written(response).startswith(b"HTTP/1.1 200 Fine %d\r\n" % number)
    assert len(block.notes) == NOTES_MAX


@pytest.mark.parametrize("octet", [b"\r", b"\n", b"\0"])
def test_a_line_break_is_found_each_time(octet):
    block = FieldBlock([(b"a", b"b" + octet)])
    for _ in range(2):
        with pytest.raises(UnsafeResponse):
            written(again(block))


@pytest.mark.parametrize("octet", [b"\r", b"\n", b"\0"])
def test_a_reason_cannot_end_the_line(octet):
    response = again(FieldBlock(FIELDS))
    response.reason = b"Fine" + octet
    with pytest.raises(UnsafeResponse):
        written(response)
