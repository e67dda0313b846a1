"""Finds numbers by their paths in the events of a stream (`text/event-stream`) as it passes by.

One event is gathered at a time, and only one that holds a name that is looked for is parsed: of a
stream of tokens that is the last one or so. One that is longer than a bound, such as the last of
some streams, which repeats the whole answer, is looked through as it comes instead: what is no JSON
in it, its fields' names, is passed over. The latest number of each path counts, so a stream that is
cut has said what it has said. Events end with a blank line (WHATWG HTML, section 9.2.6).
"""

import json
import re
from typing import Final

from tidegate.policies.json_usage import JsonUsage
from tidegate.policies.usage_paths import UsagePaths

EVENT_BYTES_MAX: Final = 16 * 1024
"""What is gathered. Parsing as much takes 2 ms, whatever it is."""
STEPS_FREE: Final = 1024
"""For an event that is longer, besides what its length allows."""

_EVENT_END: Final = re.compile(rb"[\r\n](?:(?<=\r)\n)?+[\r\n]++")
_END_BEGUN_BYTES: Final = 2
"""So much of an event's end may be there before it can be known as such."""


class EventUsage:
    """`feed` it the stream; `values` are what is known by then, by the place of each path."""

    __slots__ = ("_long", "_looked_at", "_paths", "_text", "is_lost", "values")

    def __init__(self, paths: UsagePaths) -> None:
        self.values: list[int | None] = [None] * len(paths.paths)
        self._paths = paths
        self._text = bytearray()
        """The event that has not ended."""
        self._looked_at = 0
        self._long: JsonUsage | None = None
        """Of an event that is too long to be gathered."""
        self.is_lost = False
        """An event could not be looked through to its end."""

    def feed(self, piece: bytes) -> None:
        text = self._text
        text += piece
        begin, look_from = 0, self._looked_at
        while (end := _EVENT_END.search(text, look_from)) is not None:
            self._event(bytes(text[begin : end.start()]))
            begin = look_from = end.end()
        del text[:begin]
        if self._long is not None or len(text) > EVENT_BYTES_MAX + _END_BEGUN_BYTES:
            self._look_through(bytes(text[:-_END_BEGUN_BYTES]))
            del text[:-_END_BEGUN_BYTES]
        self._looked_at = max(0, len(text) - _END_BEGUN_BYTES)

    def finish(self) -> None:
        """The stream has ended: its last event may lack the blank line."""
        self._event(bytes(self._text))
        self._text.clear()

    def _event(self, event: bytes) -> None:
        if self._long is not None or len(event) > EVENT_BYTES_MAX:
            self._long_ended(self._look_through(event))
            return
        if not any(name in event for name in self._paths.last_names):
            return
        lines = [line[5:] for line in event.splitlines() if line.startswith(b"data:")]
        try:
            document = json.loads(b"\n".join(lines))
        except (ValueError, RecursionError):
            return
        self._paths.read(document, self.values)

    def _look_through(self, text: bytes) -> JsonUsage:
        long = self._long
        if long is None:
            long = self._long = JsonUsage(self._paths, STEPS_FREE)
        long.feed(text)
        return long

    def _long_ended(self, long: JsonUsage) -> None:
        self._long = None
        self.is_lost = self.is_lost or long.is_lost
        for place, used in enumerate(long.values):
            if used is not None:
                self.values[place] = used
