"""The gateway's own fields on an answer, whoever made it: the service, a policy, or an error.

Every answer tells the request's id, and every answer to a limited request the limits' fields:
those of a refusal and of a later failure too. Written once, when the answer has passed all layers,
so that no layer has to look at what it passes on. Hot: one pass over the names, in C.
"""

from typing import Final

from tidegate.http import Headers
from tidegate.http.headers import name_of
from tidegate.policies.policy import Context

LIMIT_FIELDS: Final = frozenset(
    {
        b"ratelimit",
        b"ratelimit-limit",  # these three of earlier drafts
        b"ratelimit-policy",
        b"ratelimit-remaining",
        b"ratelimit-reset",
        b"tidegate-degraded",
        b"tidegate-limit-warning",
        b"x-ratelimit-limit",
        b"x-ratelimit-remaining",
        b"x-ratelimit-reset",
    }
)
_UNLIMITED: Final = frozenset({b"tidegate-debug", b"x-request-id"})
OWN_FIELDS: Final = LIMIT_FIELDS | _UNLIMITED
"""What clients take for the gateway's word."""


def complete_answer(headers: Headers, context: Context) -> None:
    """Add the gateway's fields to those of an answer, in place of the service's own of their names.

    Two values of one of them would be nobody's.
    """
    decision = context.decision
    own = _UNLIMITED if decision is None else OWN_FIELDS
    if not own.isdisjoint(map(name_of, headers)):
        headers.remove_all(own)
    if decision is not None:
        headers += decision.headers
    headers.append((b"x-request-id", context.request_id))
