"""The gateway's own fields on an answer, whoever made it: the service, a policy, or an error.

Every answer tells the request's id, and every answer to a limited request the limits' fields:
those of a refusal and of a later failure too. They are added once, when the answer has passed all
layers, so that no layer has to look at what it passes on, and made by the door that writes them,
as lines or as fields. Hot: one pass over the names, in C.
"""

from typing import Final

from tidegate.http import GatewayError, Headers, Response
from tidegate.http.headers import name_of
from tidegate.policies.policy import Context

LIMIT_FIELDS: Final = frozenset(
    {
        b"ratelimit",
        b"ratelimit-limit",  # these three of earlier drafts
        b"ratelimit-policy",
        b"ratelimit-remaining",
        b"ratelimit-reset",
        b"x-ratelimit-limit",
        b"x-ratelimit-remaining",
        b"x-ratelimit-reset",
    }
)
_UNLIMITED: Final = frozenset(
    {b"tidegate-debug", b"tidegate-degraded", b"tidegate-limit-warning", b"x-request-id"}
)
OWN_FIELDS: Final = LIMIT_FIELDS | _UNLIMITED
"""What clients take for the gateway's word."""


def complete_answer(response: Response, context: Context) -> None:
    """Let the gateway's fields be written, in place of the service's own of their names.

    Two values of one of them would be nobody's.
    """
    _drop_own(response.headers, context)
    response.own = context


def complete_error(error: GatewayError, context: Context) -> None:
    """Do the same for the answer that will be made of an error."""
    _drop_own(error.headers, context)
    error.headers += context.own_fields()


def _drop_own(headers: Headers, context: Context) -> None:
    own = _UNLIMITED if context.decision is None else OWN_FIELDS
    if not own.isdisjoint(map(name_of, headers)):
        headers.remove_all(own)
