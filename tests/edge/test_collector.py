"""What the collector of cycles is told while a process serves, and when it does no more."""

import gc

import pytest

from tidegate import asgi
from tidegate.edge.collector import YOUNG_OBJECTS_MAX, calm_collector


def test_what_was_told_is_taken_back_even_if_serving_fails():
    before, frozen = gc.get_threshold(), gc.get_freeze_count()

    def serve():
        with calm_collector():
            assert gc.get_threshold()[0] == YOUNG_OBJECTS_MAX
            assert gc.get_freeze_count() > frozen
            raise RuntimeError

    with pytest.raises(RuntimeError):
        serve()
    assert (gc.get_threshold(), gc.get_freeze_count()) == (before, frozen)


def test_what_others_had_frozen_stays_frozen():
    gc.freeze()
    try:
        with calm_collector():
            pass
        assert gc.get_freeze_count()
    finally:
        gc.unfreeze()


class Opened:
    async def __aenter__(self):
        return self

    async def __aexit__(self, *_): ...


async def test_a_server_of_the_entry_serves_with_a_calm_collector(monkeypatch):
    monkeypatch.setattr(asgi, "_configured", Opened)
    before = gc.get_threshold()
    seen = []

    async def receive():
        return {"type": "lifespan"}

    async def send(message):
        seen.append((message["type"], gc.get_threshold()[0]))

    await asgi.app({"type": "lifespan"}, receive, send)
    assert seen == [
        ("lifespan.startup.complete", YOUNG_OBJECTS_MAX),
        ("lifespan.shutdown.complete", before[0]),
    ]
