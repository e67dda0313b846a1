"""What refuses a request: as long as it takes, for good, or because nobody can tell."""

from tidegate.http.errors import PROBLEM_TYPES, GatewayError, StoreUnavailable, TooManyRequests
from tidegate.store.errors import unavailable


class QuotaExceeded(TooManyRequests):
    """draft-ietf-httpapi-ratelimit-headers-11 registers the type of this problem."""

    type_uri = PROBLEM_TYPES + "quota-exceeded"


class CapacityReduced(TooManyRequests):
    """The limit may have room, but this worker's part of it, while the store is away, has none."""

    type_uri = PROBLEM_TYPES + "temporary-reduced-capacity"
    title = "The limit is decided by parts for now, and this part is reached"


class CostExceedsLimit(GatewayError):
    """The request costs more than a limit can ever hold. Not a 429: waiting never helps."""

    status = 403
    slug = "cost-exceeds-limit"
    title = "The plan can never admit a request of this cost"


def unusable() -> StoreUnavailable:
    return unavailable("The store's answer about the limits is not usable")
