"""Ends what has waited too long: one look at every connection, each half second or so.

Each connection dates its present wait by the door's coarse clock; which wait that is, and how long
it may last, is decided here. A bound is exceeded only when a whole sweep more has passed, so that
nothing is cut early.
"""

from typing import TYPE_CHECKING, Final

from tidegate.edge.native.phase import Phase
from tidegate.edge.native.response_head import CONTINUE
from tidegate.edge.upload_pace import UploadPace, too_slow
from tidegate.http.errors import RequestTimeout

if TYPE_CHECKING:
    from tidegate.edge.native.connection import Connection

LINGER_S: Final = 2.0
"""So long is read on after an early answer, lest a reset destroy it before the client reads it."""
QUIET_BEFORE_DRAIN_S: Final = 1.0
"""A connection idle for less may have a request on its way when a drain begins."""


def sweep(connection: "Connection", now: float) -> None:
    """Act on the wait of `connection` that is over, if one is."""
    door = connection.door
    bounds = door.bounds
    waited_s = now - connection.since - door.sweep_s
    if connection.outlet.is_paused and connection.outlet.stalled_s(now) > bounds.body_timeout:
        connection.reset()
    elif connection.phase is Phase.LINGERING:
        if waited_s > LINGER_S:
            connection.close_now()
    elif connection.phase is Phase.CLOSING:
        if waited_s > bounds.body_timeout:
            connection.reset()
    elif connection.reader.exchange is not None:
        if not _awaits_body(connection):
            return
        if waited_s > bounds.body_timeout:
            connection.refuse(RequestTimeout("The body did not arrive in time"))
        elif _sends_too_slowly(connection):
            connection.refuse(too_slow(bounds))
    elif connection.current is not None:
        if connection.is_eof and waited_s > door.sweep_s / 2:
            _probe(connection)
    elif connection.reader.head_bytes:
        if waited_s > bounds.header_timeout:
            connection.refuse(RequestTimeout("The head did not arrive in time"))
    elif waited_s > (bounds.header_timeout if connection.is_fresh else bounds.keepalive_timeout):
        connection.close_now()
    elif door.is_draining:
        close_if_quiet(connection, now)


def close_if_quiet(connection: "Connection", now: float) -> None:
    """Close a connection of a draining door, unless a request may be on its way this moment."""
    is_idle = (
        connection.phase is Phase.OPEN
        and connection.current is None
        and connection.reader.exchange is None
        and not connection.reader.head_bytes
    )
    if is_idle and now - connection.since > QUIET_BEFORE_DRAIN_S:
        connection.close_now()


def _awaits_body(connection: "Connection") -> bool:
    """Whether it is the client's move: it knows that its body is wanted, and we read."""
    unfinished = connection.reader.exchange
    is_invited = (
        unfinished is None or unfinished.body is None or not unfinished.body.is_awaiting_invitation
    )
    return is_invited and not connection.is_read_paused


def _sends_too_slowly(connection: "Connection") -> bool:
    """Whether the body lags behind. Called by each sweep that finds it to be the client's move."""
    door = connection.door
    unfinished = connection.reader.exchange
    if not door.bounds.body_rate_min or unfinished is None or (body := unfinished.body) is None:
        return False
    if body.pace is None:
        # What the door has waited so far is not known: the first window begins now.
        body.pace = UploadPace(door.bounds)
        return False
    return body.pace.is_behind(door.clock_step_s, body.received_bytes)


def _probe(connection: "Connection") -> None:
    """Find out whether a client that ended its side is still there for the answer.

    A client that closed altogether looks the same as one that only has no more to send, until
    something is written: here a 100 (RFC 9110, section 15.2), which clients pass over also where
    they did not ask for it, unlike rarer interim responses. HTTP/1.0 does not know it.
    """
    current = connection.current
    if connection.is_probed:
        if connection.outlet.is_peer_gone():
            connection.reset()
    elif (
        current is not None
        and not current.is_answered
        and current.request is not None
        and current.request.http_version == "1.1"
    ):
        connection.is_probed = True
        connection.outlet.write(CONTINUE)
