"""Why the admin API refuses a request before or instead of doing it: its own part of the tree."""

from tidegate.http.errors import GatewayError, Unauthorized


class AdminTokenNeeded(Unauthorized):
    slug = "admin-token-needed"
    title = "The admin token is needed"


class MisdirectedRequest(GatewayError):
    """The Host is none of ours: a page of another site may have named it (DNS rebinding)."""

    status = 421
    slug = "misdirected-request"
    title = "The request is for another host"


class InvalidRequest(GatewayError):
    """`members` hold `errors`: place and message of each, never the value."""

    status = 422
    slug = "invalid-request"
    title = "The request does not fit the API"


class NoSuchPath(GatewayError):
    status = 404
    slug = "no-such-path"
    title = "The admin API has no such path"
