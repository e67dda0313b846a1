"""Last of all: send the request to the service, with the gateway's own fields in place.

What the client may not decide is written here: credentials and claimed identities are taken out,
the caller's identity and the way the request came are put in. Host and framing are the upstream
client's work. Hot: what is taken out of a list of names is found once and remembered, and the
gateway's own fields are kept ready as bytes, with those that arrived where the same ones arrived a
moment ago: then only what was added to them is looked at. The rules themselves are identity's and
upstream's pure functions.
"""

from collections.abc import Awaitable, Callable
from enum import Enum, auto
from itertools import compress
from time import perf_counter
from typing import Final

from tidegate.config import Route
from tidegate.http import Headers, Response
from tidegate.http.claims import has_twins, is_claim
from tidegate.http.headers import FieldBlock, name_of
from tidegate.identity import Caller, is_gateways_own, without_credentials
from tidegate.policies.client_address import TrustedProxies
from tidegate.policies.policy import Answering, Request
from tidegate.upstream import (
    WRITTEN_HERE,
    AnyUpstream,
    Upstream,
    add_forwarding_fields,
    ready_fields,
)

WAYS_MAX: Final = 4096
"""Ways by which requests come whose fields are kept ready: about 0.5 KB each."""
NAMES_MAX: Final = 1024
NAMES_BYTES_MAX: Final = 1024
"""Lists of names that are remembered, and how long one may be: clients choose names freely."""


NOTES_MAX: Final = 64
"""Notes on one block of fields, which many clients may send alike."""


Way = tuple[Caller | None, str, bytes, str, str]
"""Caller, peer, host, scheme and HTTP version: what the gateway's own fields are made of."""


class Kind(Enum):
    """What becomes of a field, as far as its name decides."""

    PASSES = auto()
    DROPPED = auto()
    DEPENDS = auto()
    """On its value, the route or the peer: the rules must be asked."""


Selection = tuple[bool, ...]
"""Which fields of a request pass, by their place; empty: the rules must be asked."""


class Forward:
    """Ends the chain: answers with what the service answers."""

    def __init__(
        self,
        upstream: AnyUpstream,
        proxies: TrustedProxies,
        is_key_of_file: Callable[[bytes], bool],
        *,
        auth_none: bool,
        reads_clock: bool,
    ) -> None:
        """`reads_clock`: others stand between the limits' decision and the time of sending on."""
        self._upstream = upstream
        self._socket = upstream if isinstance(upstream, Upstream) else None
        """Where heads are bytes, so that fields can be kept as they are written."""
        self._proxies = proxies
        self._is_key_of_file = is_key_of_file
        self._auth_none = auth_none
        self._reads_clock = reads_clock
        targets = tuple(upstream.counts)
        self._target = targets[0] if len(targets) == 1 else None
        """Of several, the upstream chooses one after this."""
        self._selections: dict[tuple[bytes, ...], Selection] = {}
        self._ready: dict[Way, bytes] = {}

    def answer(self, request: Request) -> Awaitable[Response]:
        context = request.context
        context.source = "upstream"
        context.target = self._target
        if self._reads_clock or not context.decided_at:
            context.forwarded_at = perf_counter()
        headers = request.headers
        caller = context.caller
        way = caller, request.client, request.host, request.scheme, request.http_version
        block, socket = request.block, self._socket
        if block is not None and socket is not None:
            count = len(block.fields)
            if headers[:count] == block.fields:
                added = headers[count:]
                names = tuple(map(name_of, added))
                ready = block.notes.get((self, way, names))
                if ready is None:
                    ready = self._noted(block, way, names)
                if ready:
                    return socket.send(request, request.on_informational, ready, added)
        names = tuple(map(name_of, headers))
        selection = self._selections.get(names)
        if selection is None:
            selection = self._selection(names)
        if not selection:
            return self._send_by_rule(request)
        request.headers = Headers(compress(headers, selection))
        ready = self._ready[way] if way in self._ready else self._ready_of(way)
        return self._upstream.send(request, request.on_informational, ready)

    def _noted(self, block: FieldBlock, way: Way, added: tuple[bytes, ...]) -> bytes:
        """Return, and note, what is sent besides the fields that were added to those of `block`.

        Nothing where the rules must be asked, or where the order of fields would not be theirs.
        """
        names = tuple(map(name_of, block.fields))
        selection = self._selection((*names, *added))
        ready = b""
        if selection and all(selection[len(names) :]) and set(names).isdisjoint(added):
            ready = ready_fields(compress(block.fields, selection)) + self._ready_of(way)
        if len(block.notes) < NOTES_MAX:
            block.notes[self, way, added] = ready
        return ready

    def _selection(self, names: tuple[bytes, ...]) -> Selection:
        kinds = [_kind(name) for name in names]
        selection = () if Kind.DEPENDS in kinds else tuple(kind is Kind.PASSES for kind in kinds)
        if sum(map(len, names)) <= NAMES_BYTES_MAX:
            if len(self._selections) >= NAMES_MAX:
                self._selections.clear()
            self._selections[names] = selection
        return selection

    def _ready_of(self, way: Way) -> bytes:
        """Return the gateway's own fields for requests that come this way."""
        caller, client, host, scheme, http_version = way
        headers = Headers(() if caller is None else caller.upstream_headers)
        add_forwarding_fields(
            headers,
            client=client,
            host=host,
            scheme=scheme,
            http_version=http_version,
            is_peer_trusted=False,  # a peer that claims nothing is believed nothing
        )
        if len(self._ready) >= WAYS_MAX:
            self._ready.clear()
        self._ready[way] = ready = ready_fields(headers)
        return ready

    def _send_by_rule(self, request: Request) -> Awaitable[Response]:
        kept = without_credentials(request.headers, self._auth_none, self._is_key_of_file)
        headers = Headers(f for f in kept if _kind(f[0]) is not Kind.DROPPED)
        add_forwarding_fields(
            headers,
            client=request.client,
            host=request.host,
            scheme=request.scheme,
            http_version=request.http_version,
            is_peer_trusted=self._proxies.trusts(request.client),
        )
        if request.context.caller is not None:
            headers += request.context.caller.upstream_headers
        request.headers = headers
        return self._upstream.send(request, request.on_informational)


def _kind(name: bytes) -> Kind:
    if name in WRITTEN_HERE or is_gateways_own(name) or name.startswith(b"tidegate-debug"):
        return Kind.DROPPED
    # Whatever a gateway decides by a field, its twin would undo behind it.
    if has_twins(name):
        return Kind.DROPPED
    return Kind.DEPENDS if name in (b"authorization", b"via") or is_claim(name) else Kind.PASSES


def build(
    route: Route,
    upstream: AnyUpstream,
    proxies: TrustedProxies,
    is_key_of_file: Callable[[bytes], bool],
    *,
    reads_clock: bool,
) -> Answering:
    auth_none = not route.auth
    return Forward(upstream, proxies, is_key_of_file, auth_none=auth_none, reads_clock=reads_clock)
