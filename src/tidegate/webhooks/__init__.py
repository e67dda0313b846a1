"""Webhooks: that quotas reached a share is noticed, kept in the store, and delivered signed.

The courier is imported by who delivers (`webhooks.courier`): its HTTP client takes a tenth of a
second to load, which a worker that only notices shall not pay.
"""

from tidegate.webhooks.event import Counted
from tidegate.webhooks.notices import Notices, Watched
from tidegate.webhooks.outbox import Outbox

__all__ = ["Counted", "Notices", "Outbox", "Watched"]
