"""The rules of answering that hold for both doors."""

from tidegate.edge.pipeline import release
from tidegate.http import Outcome, Response


class Unclosable:
    def __aiter__(self):
        return self

    async def __anext__(self):
        return b"b"

    async def aclose(self):
        raise RuntimeError("body")


async def test_a_body_that_cannot_be_closed_does_not_keep_what_the_response_holds(door_log):
    outcomes = []
    response = Response(200, body=Unclosable())
    response.on_close(outcomes.append)
    await release(response, Outcome.ABORTED)
    assert outcomes == [Outcome.ABORTED]
    assert len(door_log.records) == 1
