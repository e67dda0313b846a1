"""The listening sockets: one for each worker slot, all on the same address, held for good.

The kernel spreads connections over sockets that share a port by SO_REUSEPORT, and each socket
keeps its queue while the process behind it changes: that is what makes replacing a worker lose
nothing. The same option lets a second gateway of the same user bind silently, so the port is
first probed without it. Outside Linux SO_REUSEPORT spreads nothing: there all slots share one
socket. A port that one process serves alone (the admin's) does without the option.
"""

import errno
import socket
import sys
from dataclasses import dataclass
from typing import Final

from tidegate.supervisor.port_holder import port_holder

BACKLOG: Final = 4096
"""Linux's default of net.core.somaxconn, which caps it: a replacement takes well under a second."""

_SPREADS: Final = sys.platform == "linux"


class ListenFailed(Exception):
    """The address cannot be listened on; the text says why and what to do."""

    def __init__(self, text: str, *, is_taken: bool = False) -> None:
        super().__init__(text)
        self.is_taken = is_taken


@dataclass(slots=True)
class Listener:
    """One slot's socket."""

    socket: socket.socket
    is_shared: bool = True

    @property
    def address(self) -> tuple[str, int]:
        host, port = self.socket.getsockname()[:2]
        return str(host), int(port)

    def step_back(self) -> None:
        """Keep the port, but take no connection until the next worker listens.

        For a slot whose worker cannot start: its share of connections would wait in a queue that
        nobody serves, and this way the other slots get them. Linux counts a socket in only when it
        listens.
        """
        if not (_SPREADS and self.is_shared):
            return
        replacement = _bound(self.socket.family, self.socket.getsockname(), reuse_port=True)
        self.socket.close()
        self.socket = replacement

    def close(self) -> None:
        self.socket.close()


def open_listeners(host: str, port: int, count: int) -> list[Listener]:
    """Return `count` listening sockets on one address. Port 0 picks a free one.

    They listen at once: the queue serves whoever comes before the workers are up, and a second
    gateway that starts in the same moment finds the port taken.
    """
    family, address = _resolved(host, port)
    listeners: list[Listener] = []
    try:
        with _bound(family, address, reuse_port=False) as probe:
            address = probe.getsockname()
        for _ in range(count):
            if listeners and not _SPREADS:
                listeners.append(Listener(listeners[0].socket.dup()))
                continue
            listener = Listener(_bound(family, address, reuse_port=True))
            listeners.append(listener)
            listener.socket.listen(BACKLOG)
    except OSError as error:
        for listener in listeners:
            listener.close()
        raise _refusal(error, host, address[1], "--") from error
    return listeners


def open_listener(host: str, port: int, options: str) -> Listener:
    """Return a listening socket that shares its port with no other. Port 0 picks a free one.

    `options` is what `host` and `port` begin with on the command line, for the refusal.
    """
    family, address = _resolved(host, port)
    try:
        listener = Listener(_bound(family, address, reuse_port=False), is_shared=False)
        listener.socket.listen(BACKLOG)
    except OSError as error:
        raise _refusal(error, host, port, options) from error
    return listener


def _resolved(host: str, port: int) -> tuple[socket.AddressFamily, tuple[str, int]]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise ListenFailed(f"Cannot listen on {host}: {error.strerror or error}") from error
    # `localhost` may name ::1 first; clients that try one address only try 127.0.0.1.
    found.sort(key=lambda entry: entry[0] != socket.AF_INET)
    return found[0][0], found[0][4]  # type: ignore[return-value]  # host and port come first


def _bound(family: int, address: tuple[str, int], *, reuse_port: bool) -> socket.socket:
    """SO_REUSEADDR: connections of an earlier gateway in TIME_WAIT, or still draining, are no
    obstacle; a socket that listens still is."""
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port and _SPREADS:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        bound.bind(address)
    except BaseException:
        bound.close()
        raise
    return bound


def _refusal(error: OSError, host: str, port: int, options: str) -> ListenFailed:
    if error.errno == errno.EADDRINUSE:
        holder = port_holder(port)
        return ListenFailed(
            f"Port {port} is taken by {holder or 'another program'}. "
            f"Stop it, or choose another port with {options}port.",
            is_taken=True,
        )
    if error.errno == errno.EACCES:
        return ListenFailed(
            f"Port {port} needs privileges. Choose a port above 1023 with {options}port."
        )
    if error.errno == errno.EADDRNOTAVAIL:
        return ListenFailed(
            f"{host} is not an address of this machine. Choose one with {options}host."
        )
    return ListenFailed(f"Cannot listen on {host}:{port}: {error.strerror or error}")
