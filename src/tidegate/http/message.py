"""Request and Response: what flows through the pipeline, whichever door it came in by.

A body is bytes where it is complete, else a single-use async iterator whose pulling is the
backpressure: nothing is read from a peer until somebody asks for the next piece. Framing fields
(Content-Length, Transfer-Encoding, Connection) are never in `headers`; `content_length` says what
the sender announced, and whoever writes the message frames it anew (RFC 9112, section 6).
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Sequence
from enum import Enum
from typing import Any, Generic, Literal, Protocol, Self

from typing_extensions import TypeVar

from tidegate.http.headers import FieldBlock, HeaderField, Headers

ContextT = TypeVar("ContextT", default=Any)
"""What the pipeline knows about a request beyond HTTP; opaque to this room."""

Body = bytes | AsyncIterator[bytes]


class Outcome(Enum):
    """How an exchange ended, as the door saw it."""

    COMPLETE = "complete"
    """The whole response was handed to the client's connection."""
    ABORTED = "aborted"
    """The response was cut: the client went away, the upstream failed, or a bound was met."""


Informational = Callable[[int, Headers], None]
"""Is told of a 1xx response, which is not the answer yet: its status and its fields."""

OnClose = Callable[[Outcome], Awaitable[None] | None]


class Request(Generic[ContextT]):
    """One request, parsed and checked. Mutable: a policy may change what the next one sees."""

    __slots__ = (
        "block",
        "body",
        "client",
        "content_length",
        "context",
        "headers",
        "host",
        "http_version",
        "method",
        "on_informational",
        "path",
        "query",
        "scheme",
    )

    def __init__(
        self,
        method: str,
        path: bytes,
        headers: Headers,
        *,
        query: bytes | None = None,
        host: bytes = b"",
        scheme: Literal["http", "https"] = "http",
        body: Body = b"",
        content_length: int | None = None,
        http_version: str = "1.1",
        client: str = "",
    ) -> None:
        """`path` is absolute and normalised (http/target.py), `query` what follows `?` or None.

        `host` is the authority the client named, lower case, with its port if it gave one.
        `content_length` is in bytes; None with an iterator as body means chunked.
        `client` is the peer's address. `context` is set by the pipeline before any policy runs.
        A door whose client can be told of 1xx responses sets `on_informational`.
        """
        self.context: ContextT
        self.block: FieldBlock | None = None
        """What is known of the fields as they arrived, where they were met before."""
        self.on_informational: Informational | None = None
        self.method = method
        self.path = path
        self.query = query
        self.host = host
        self.scheme = scheme
        self.headers = headers
        self.body = body
        self.content_length = content_length
        self.http_version = http_version
        self.client = client

    @property
    def target(self) -> bytes:
        """The origin-form target (RFC 9112, section 3.2.1): path and query as forwarded."""
        return self.path if self.query is None else b"%b?%b" % (self.path, self.query)


class OwnFields(Protocol):
    """What the gateway itself says on an answer: written by the doors after all other fields.

    Checked by who says it: no line break hides in a name or a value.
    """

    def own_lines(self) -> bytes:
        """Return the field lines, with a line break between two."""

    def own_fields(self) -> Sequence[HeaderField]:
        """Return the same as names and values."""


class Response:
    """One response on its way to the client.

    Whoever makes a response whose body holds something (a connection, a file) registers its
    release with `on_close`; the door calls `aclose` exactly once, under cancellation too.

    Awaiting a response gives the response. So a layer that has nothing to wait for returns one as
    it is, where another returns a coroutine, and what is there already needs no Task.
    """

    __slots__ = (
        "_closers",
        "block",
        "body",
        "content_length",
        "ends_by_close",
        "headers",
        "own",
        "reason",
        "status",
    )

    def __init__(
        self,
        status: int,
        headers: Headers | None = None,
        body: Body = b"",
        *,
        content_length: int | None = None,
        reason: bytes | None = None,
    ) -> None:
        """`content_length`: for an iterator, its size in bytes if known; for an answer without
        body (HEAD, 304), what the Content-Length field shall say. Ignored where body is bytes
        that are sent.
        """
        self.status = status
        self.block: FieldBlock | None = None
        """What is known of the fields as they arrived, where they were met before."""
        self.headers = Headers() if headers is None else headers
        self.body = body
        self.content_length = content_length
        self.reason = reason
        self.own: OwnFields | None = None
        self.ends_by_close = False
        """Nothing but the end of the sender's connection says that the body is whole."""
        self._closers: list[OnClose] | None = None

    def __await__(self) -> Generator[None, None, Self]:
        yield from ()
        return self

    def on_close(self, release: OnClose) -> None:
        """Call `release(outcome)` once when the exchange ends. Later registrations run first."""
        if self._closers is None:
            self._closers = []
        self._closers.append(release)

    @property
    def needs_release(self) -> bool:
        """Whether `aclose` has anything to do."""
        return self._closers is not None

    async def aclose(self, outcome: Outcome) -> None:
        """Release what the response holds. Safe to call twice; the second call does nothing.

        Everything is released even if one release fails or is cancelled, which is then raised.
        """
        closers, self._closers = self._closers, None
        if closers is not None:
            await _released(closers, outcome)


async def _released(closers: list[OnClose], outcome: Outcome) -> None:
    failure: BaseException | None = None
    while closers:
        try:
            waiting = closers.pop()(outcome)
            if waiting is not None:
                await waiting
        except BaseException as error:
            failure = failure or error
    if failure is not None:
        raise failure
