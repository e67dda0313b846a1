"""Finds numbers by their paths in the events of a stream (`text/event-stream`) as it passes by.

One event is gathered at a time, up to a bound, and only one that holds a name that is looked for
is parsed: of a stream of tokens that is the last one or so. The latest number of each path counts,
so a stream that is cut has said what it has said. Events end with a blank line (WHATWG HTML,
section 9.2.6).
"""

import json
import re
from typing import Final

from tidegate.policies.usage_paths import UsagePaths

EVENT_BYTES_MAX: Final = 64 * 1024
"""An event that is longer is passed over."""

_EVENT_END: Final = re.compile(rb"[\r\n](?:(?<=\r)\n)?+[\r\n]++")
_END_BEGUN_BYTES: Final = 2
"""So much of an event's end may be there before it can be known as such."""


class EventUsage:
    """`feed` it the stream; `values` are what is known by then, by the place of each path."""

    __slots__ = ("_is_too_long", "_looked_at", "_paths", "_text", "values")

    def __init__(self, paths: UsagePaths) -> None:
        self.values: list[int | None] = [None] * len(paths.paths)
        self._paths = paths
        self._text = bytearray()
        """The event that has not ended."""
        self._looked_at = 0
        self._is_too_long = False

    def feed(self, piece: bytes) -> None:
        text = self._text
        text += piece
        begin, look_from = 0, self._looked_at
        while (end := _EVENT_END.search(text, look_from)) is not None:
            self._event(bytes(text[begin : end.start()]))
            begin = look_from = end.end()
        del text[:begin]
        if len(text) > EVENT_BYTES_MAX + _END_BEGUN_BYTES:
            self._is_too_long = True
            del text[:-_END_BEGUN_BYTES]
        self._looked_at = max(0, len(text) - _END_BEGUN_BYTES)

    def finish(self) -> None:
        """The stream has ended: its last event may lack the blank line."""
        self._event(bytes(self._text))
        self._text.clear()

    def _event(self, event: bytes) -> None:
        is_too_long = self._is_too_long or len(event) > EVENT_BYTES_MAX
        self._is_too_long = False
        if is_too_long or not any(name in event for name in self._paths.last_names):
            return
        lines = [line[5:] for line in event.splitlines() if line.startswith(b"data:")]
        try:
            document = json.loads(b"\n".join(lines))
        except (ValueError, RecursionError):
            return
        self._paths.read(document, self.values)
