"""How one request looks in the access log: a line of JSON, or one for people on a terminal.

Pure. What a client wrote is escaped, so that it can neither end a line nor steer a terminal; the
values of query parameters whose names speak of a secret are replaced. Nothing else of a request is
shown: no header field, no body. Hot where the log is on: one `%` format a line.
"""

import re
from datetime import UTC, datetime
from json.encoder import encode_basestring_ascii as quoted
from typing import Final
from urllib.parse import unquote_to_bytes

from tidegate.telemetry.access_log import Entry, Format

_SECRET: Final = re.compile(rb"(?i)auth|code|cred|jwt|key|otp|pass|pwd|secret|session|sig|token")
_SEPARATOR: Final = re.compile(rb"([&;])")
_UNPRINTABLE: Final = re.compile(r"[^!-~]")
SHOWN_MAX: Final = 2048
"""Characters of path and query, as written: with everything else a line then stays whole."""
_COLOURS: Final = {2: "32", 3: "36", 4: "33", 5: "31"}


def redacted_query(query: bytes) -> bytes:
    """Return a query with the values of secret-looking parameters as `***`.

    A name is judged as decoded. `;` separates parameters for some services and belongs to the value
    for others: what follows one after a secret is hidden with it, unless it has a name of its own.
    Takes time in proportion to the query: it is a stranger's, and the log shares the interpreter.
    """
    if _SECRET.search(unquote_to_bytes(query)) is None:
        return query
    shown = []
    hides = False
    for piece in _SEPARATOR.split(query):
        name, equals, value = piece.partition(b"=")
        if piece == b"&":
            hides = False
        elif equals:
            hides = bool(value) and _SECRET.search(unquote_to_bytes(name)) is not None
            piece = name + b"=***" if hides else piece
        elif hides and piece != b";" and piece:
            piece = b"***"
        shown.append(piece)
    return b"".join(shown)


def target_of(entry: Entry) -> str:
    """Return path and query as they may be shown."""
    target = entry.path
    query = entry.query
    if query is not None:
        target = b"%b?%b" % (target, redacted_query(query))
    return target.decode("latin-1")


def shown_path(entry: Entry) -> str:
    """Return path and query as a JSON string; what is too long ends in `...`."""
    target = target_of(entry)
    path = quoted(target)
    if len(path) <= SHOWN_MAX:
        return path
    target = target[:SHOWN_MAX]
    while len(path) > SHOWN_MAX:
        # What must be escaped is six times as long.
        target = target[: len(target) * 7 // 8]
        path = quoted(target + "...")
    return path


class JsonLines:
    """Makes JSON lines. What is the same for many requests is quoted once."""

    def __init__(self) -> None:
        self._second = -1
        self._second_text = ""

    def __call__(self, entry: Entry, ended_at: float) -> str:
        caller = entry.caller
        if caller is None:
            whose = '"tenant":null,"plan":null,"key_id":null'
        else:
            whose = f'"tenant":"{caller.tenant}","plan":"{caller.plan}","key_id":"{caller.key_id}"'
        detail = ""
        if entry.target is not None:
            detail += f',"target":{quoted(entry.target)}'
        if entry.cache_status is not None:
            detail += f',"cache":{quoted(entry.cache_status)}'
        if entry.is_aborted:
            detail += ',"aborted":true'
        return (
            f'{{"time":"{self._time(ended_at)}",'
            f'"request_id":{quoted(entry.request_id.decode("latin-1"))},{whose},'
            f'"service":"{entry.meter.service}","route":"{entry.meter.route}",'
            f'"client":{quoted(entry.client)},"method":{quoted(entry.method)},'
            f'"path":{shown_path(entry)},"status":{entry.status},"bytes":{entry.size},'
            f'"source":"{entry.source}","duration_ms":{entry.duration_s * 1e3:.3f},'
            f'"store_ms":{entry.store_s * 1e3:.3f},"upstream_ms":{entry.upstream_s * 1e3:.3f}'
            f"{detail}}}\n"
        )

    def _time(self, ended_at: float) -> str:
        """RFC 3339 in UTC, to the millisecond."""
        second = int(ended_at)
        if second != self._second:
            self._second = second
            self._second_text = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")
        return f"{self._second_text}.{int((ended_at - second) * 1000):03d}Z"


def pretty_line(entry: Entry, ended_at: float) -> str:
    """Return a line for a terminal: when, what, the answer, whose, how long, who answered."""
    caller = entry.caller
    whose = f"{caller.tenant}/{caller.plan}" if caller is not None else "-"
    source = entry.source
    if entry.cache_status is not None:
        source += f" ({entry.cache_status})"
    target = _UNPRINTABLE.sub("?", target_of(entry))
    if len(target) > SHOWN_MAX:
        target = target[: SHOWN_MAX - 3] + "..."
    method = _UNPRINTABLE.sub("?", entry.method)
    return (
        f"{datetime.fromtimestamp(ended_at, UTC):%H:%M:%SZ} "
        f"\033[{_COLOURS.get(entry.status // 100, '0')}m{entry.status}\033[0m "
        f"{method} {target}  {whose}  {entry.duration_s * 1e3:.1f} ms  {source}"
        f"{'  aborted' if entry.is_aborted else ''}\n"
    )


def line_format(form: str, *, is_terminal: bool) -> Format:
    """Return what makes the lines of `form`: json, pretty, or auto, which asks where they go."""
    if form == "pretty" or (form == "auto" and is_terminal):
        return pretty_line
    return JsonLines()
