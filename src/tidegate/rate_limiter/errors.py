"""What refuses a request: as long as it takes, or for good."""

from tidegate.http.errors import GatewayError, TooManyRequests


class QuotaExceeded(TooManyRequests):
    """draft-ietf-httpapi-ratelimit-headers-11 registers the type of this problem."""

    type_uri = "https://iana.org/assignments/http-problem-types#quota-exceeded"


class CostExceedsLimit(GatewayError):
    """The request costs more than a limit can ever hold. Not a 429: waiting never helps."""

    status = 403
    slug = "cost-exceeds-limit"
    title = "The plan can never admit a request of this cost"
