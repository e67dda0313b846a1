"""When the store is out, and when it is back: so that an outage costs no request a wait.

A missed deadline is a doubt, not a verdict: the link is asked to run a script, as requests do, for
a store may answer PING and run nothing (`CLIENT PAUSE WRITE`, a manual fail-over). If that misses
the deadline too, the link is dropped; whoever waits or asks from then on fails at once. So only
requests of the first two deadlines wait, each for one at most. Who asks for a new link is the
connection alone, with its backoff, and after such an end the link must prove itself before anybody
may use it: some scripts in turn, each in half the time, so that a store at the edge does not flap.
"""

from collections.abc import Awaitable, Callable
from typing import Any, Final

from tidegate.store.scripts import pack

PROBE: Final = pack((b"EVAL", b"return 1", 0))
PROOFS: Final = 3
PROOF_SHARE: Final = 0.5


async def prove(send: Callable[[bytes, float], Awaitable[Any]], deadline_s: float) -> None:
    """Raise StoreUnavailable unless the store runs scripts well within `deadline_s`."""
    for _ in range(PROOFS):
        await send(PROBE, deadline_s * PROOF_SHARE)
