"""How failures of a service are told: which status, whether to try again, and in what words.

Foreign exceptions are mapped here, once. Details name the service and never an address, since
clients read them. Refused or unreachable is 503 (nothing was processed, try later), too slow is
504, and what a retry cannot heal, such as a certificate that does not verify, is 502.
"""

import ssl
from typing import Final

from tidegate.http.errors import (
    BadGateway,
    GatewayError,
    GatewayTimeout,
    Retry,
    UpstreamUnavailable,
)
from tidegate.http.headers import HeaderField

RETRY_AFTER: Final[tuple[HeaderField, ...]] = ((b"retry-after", b"1"),)
"""The shortest wait that can be written; a full pool or a restart is often over by then."""


class StaleConnection(BadGateway):
    """A connection used before was closed by the peer without one byte of an answer.

    Most often the peer's idle timeout and the request met on the way. Whether the request was
    processed cannot be known; only who knows the method may send it again.
    """


class PoolFull(UpstreamUnavailable):
    """Every connection to the target is busy, and so is the queue or the wait was too long."""


def cut_short(service: str, *, is_begun: bool, is_reused: bool) -> GatewayError:
    """The peer closed the connection before its answer was whole, or had even begun."""
    if is_begun:
        return unusable(service, "it is incomplete")
    kind = StaleConnection if is_reused else BadGateway
    return kind(f"Service {service} closed the connection without an answer")


def unusable(service: str, reason: str) -> GatewayError:
    """What the peer sent is malformed, cut short or out of bounds."""
    return BadGateway(f"The answer of service {service} is not usable: {reason}")


def closed(service: str) -> GatewayError:
    """The gateway itself ended the exchange."""
    return BadGateway(f"The exchange with service {service} was ended")


def overdue(service: str, waited_for: str) -> GatewayError:
    """The peer did not move within the bound."""
    return GatewayTimeout(f"Service {service} {waited_for} in time")


def pool_full(service: str) -> GatewayError:
    """Nothing was sent."""
    return PoolFull(
        f"All connections to service {service} are busy",
        headers=RETRY_AFTER,
        retry=Retry.UNPROCESSED,
    )


def not_connected(service: str, error: OSError) -> GatewayError:
    """Map what connecting raised (RFC 9110, sections 15.6.3 to 15.6.5)."""
    if isinstance(error, ssl.SSLCertVerificationError):
        detail = f"The certificate of service {service} cannot be verified: {error.verify_message}"
        return BadGateway(detail, retry=Retry.UNPROCESSED)
    if isinstance(error, ssl.SSLError):
        detail = f"No TLS connection to service {service}"
        return BadGateway(detail, retry=Retry.UNPROCESSED)
    if isinstance(error, TimeoutError):
        detail = f"Service {service} could not be connected in time"
        return GatewayTimeout(detail, retry=Retry.UNPROCESSED)
    detail = f"Service {service} cannot be connected"
    return UpstreamUnavailable(detail, headers=RETRY_AFTER, retry=Retry.UNPROCESSED)
