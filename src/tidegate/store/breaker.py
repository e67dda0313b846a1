"""When the store is out, and when it is back: so that an outage costs no request a wait.

A missed deadline is a doubt, not a verdict: the link is asked to run a script, as requests do, for
a store may answer PING and run nothing (`CLIENT PAUSE WRITE`, a manual fail-over). If that misses
the deadline too, the link is dropped; whoever waits or asks from then on fails at once. So only
requests of the first two deadlines wait, each for one at most. Who asks for a new link is the
connection alone, with its backoff, and after such an end the link must prove itself before anybody
may use it: some scripts in turn, each in half the time, so that a store at the edge does not flap.
A store that is well may be just so far away, and after the start nobody asked it for so much: for
some seconds it is kept waiting, then a proof in the whole time is enough.
"""

from collections.abc import Awaitable, Callable
from typing import Any, Final

from tidegate.store.scripts import pack

PROBE: Final = pack((b"EVAL", b"return 1", 0))
PROOFS: Final = 3
PROOF_SHARE: Final = 0.5
STRICT_PROOFS: Final = 7
"""Failed so often, a proof has the whole deadline: with the connection's backoff after some 5 s."""


class Proof:
    """What a link owes before it may be used."""

    def __init__(self, deadline_s: float) -> None:
        self._deadline_s = deadline_s
        self._is_owed = False
        self._failed = 0

    def link_ended(self, *, is_condemned: bool) -> None:
        """Take how the last link that was used has ended: for the store's slowness, or not."""
        self._is_owed = is_condemned
        self._failed = 0

    async def give(self, send: Callable[[bytes, float], Awaitable[Any]]) -> None:
        """Raise StoreUnavailable unless nothing is owed or the store runs scripts in time."""
        if not self._is_owed:
            return
        share = PROOF_SHARE if self._failed < STRICT_PROOFS else 1.0
        self._failed += 1  # unless the link is used and ends, which begins anew
        for _ in range(PROOFS):
            await send(PROBE, self._deadline_s * share)
