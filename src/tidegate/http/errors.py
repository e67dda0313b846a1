"""The one tree of errors that can become an answer to a client.

Parts raise these; only the edge turns them into `application/problem+json` (RFC 9457, see
problem.py). Each class fixes the status and the type of the problem; an instance adds the detail,
which must hold no secret, and header fields that policies passed on the way out may extend.
"""

from enum import Enum
from typing import ClassVar, Final

from tidegate.http.headers import HeaderField, Headers

PROBLEM_TYPES: Final = "https://iana.org/assignments/http-problem-types#"
"""What draft-ietf-httpapi-ratelimit-headers-11 registers of them begins so."""


class Retry(Enum):
    """Whether the failed operation may be tried again by the gateway itself."""

    NEVER = "never"
    UNPROCESSED = "unprocessed"
    """The peer cannot have processed the request: any method may be sent again."""


class GatewayError(Exception):
    """Base of every error with an HTTP status.

    `members` become extension members of the problem (RFC 9457, section 3.2).
    """

    status: ClassVar[int] = 500
    slug: ClassVar[str] = "internal-error"
    title: ClassVar[str] = "The gateway failed to answer"
    type_uri: ClassVar[str] = ""
    """Of a problem that a registry defines; else its type is made from the slug."""
    closes_connection: ClassVar[bool] = False
    """The peer's framing can no longer be trusted: answer, then close."""

    def __init__(
        self,
        detail: str = "",
        *,
        headers: tuple[HeaderField, ...] = (),
        members: dict[str, object] | None = None,
        retry: Retry = Retry.NEVER,
    ) -> None:
        super().__init__(detail or self.title)
        self.detail = detail
        self.headers = Headers(headers)
        self.members = members or {}
        self.retry = retry


class BadRequest(GatewayError):
    status = 400
    slug = "bad-request"
    title = "The request is not valid HTTP"
    closes_connection = True


class RequestTimeout(BadRequest):
    status = 408
    slug = "request-timeout"
    title = "The request did not arrive in time"


class ContentTooLarge(BadRequest):
    status = 413
    slug = "content-too-large"
    title = "The request body is larger than allowed"


class TargetTooLong(BadRequest):
    status = 414
    slug = "target-too-long"
    title = "The request target is longer than allowed"


class HeadersTooLarge(BadRequest):
    status = 431
    slug = "headers-too-large"
    title = "The header fields are larger than allowed"


class ExpectationFailed(BadRequest):
    """Whether the body follows is then unknown, hence the connection closes with it."""

    status = 417
    slug = "expectation-failed"
    title = "The expectation cannot be met"


class MethodNotImplemented(BadRequest):
    status = 501
    slug = "method-not-implemented"
    title = "The method is not supported"


class UnknownTransferCoding(BadRequest):
    status = 501
    slug = "unknown-transfer-coding"
    title = "The transfer coding is not supported"


class VersionNotSupported(BadRequest):
    status = 505
    slug = "version-not-supported"
    title = "The HTTP version is not supported"


class Unauthorized(GatewayError):
    status = 401
    slug = "unauthorized"
    title = "A valid API key is needed"


class RouteNotFound(GatewayError):
    status = 404
    slug = "route-not-found"
    title = "No route matches this request"


class MethodNotAllowed(GatewayError):
    status = 405
    slug = "method-not-allowed"
    title = "The route does not take this method"


class TooManyRequests(GatewayError):
    status = 429
    slug = "quota-exceeded"
    title = "A limit is reached"


class PolicyFailed(GatewayError):
    status = 500
    slug = "policy-failed"
    title = "A policy of the gateway failed"


class BadGateway(GatewayError):
    status = 502
    slug = "bad-gateway"
    title = "The upstream's answer is not usable"


class ServiceUnavailable(GatewayError):
    status = 503
    slug = "service-unavailable"
    title = "The gateway cannot serve this request now"


class StoreUnavailable(ServiceUnavailable):
    """The store cannot be reached or did not answer in time. Never a 401."""

    slug = "store-unavailable"
    title = "The gateway's store cannot be reached"


class UpstreamUnavailable(ServiceUnavailable):
    slug = "upstream-unavailable"
    title = "No upstream can take this request now"


class GatewayTimeout(GatewayError):
    status = 504
    slug = "upstream-timeout"
    title = "The upstream did not answer in time"


class NotStored(GatewayError):
    """RFC 9111, section 5.2.1.7: the client would rather have no answer than a fresh one."""

    status = 504
    slug = "not-stored"
    title = "Nothing that is stored can answer this request"
