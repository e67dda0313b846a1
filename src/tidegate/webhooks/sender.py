"""One attempt to deliver one event, and what its answer means.

A 2xx is delivered, 410 says that nobody wants it any more, and all else is a failure that is tried
again: a redirect too, which is not followed, since only the configuration says where events go.
What the answer holds is not read. Proxies, credentials and certificates of the environment's are
not used, but for the authorities it trusts.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from enum import Enum
from typing import Final
from urllib.parse import urlsplit

import httpx2

from tidegate.config.webhooks import Webhooks, secret_bytes
from tidegate.webhooks.signature import signed_headers

RETRY_AFTER_MAX_S: Final = 86_400.0
CONNECTIONS_MAX: Final = 4


class Outcome(Enum):
    DELIVERED = "delivered"
    GONE = "gone"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Attempt:
    outcome: Outcome
    why: str = ""
    """Of a failure, in words that hold no secret."""
    retry_after_s: float = 0.0
    """For how long the receiver asks to be left alone."""


class Sender:
    """Holds the client: `async with`."""

    def __init__(self, settings: Webhooks) -> None:
        secrets = (settings.secret, settings.previous_secret)
        self._keys: Sequence[bytes] = [secret_bytes(s) for s in secrets if s is not None]
        self._url = settings.url
        self._timeout_s = settings.timeout
        self._client = httpx2.AsyncClient(
            timeout=settings.timeout,
            follow_redirects=False,
            trust_env=False,
            limits=httpx2.Limits(max_connections=CONNECTIONS_MAX, max_keepalive_connections=0),
            headers={"user-agent": "tidegate"},
        )

    @property
    def receiver(self) -> str:
        """The receiver as it may be shown: a path or query may hold what is secret."""
        parts = urlsplit(self._url)
        return f"{parts.scheme}://{parts.netloc}"

    async def __aenter__(self) -> "Sender":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()

    async def send(self, event_id: str, body: bytes) -> Attempt:
        """Try once; never raises for what the receiver does or does not do."""
        headers = {
            "content-type": "application/json",
            **signed_headers(event_id, int(time.time()), body, self._keys),
        }
        try:
            async with (
                asyncio.timeout(self._timeout_s),
                self._client.stream("POST", self._url, content=body, headers=headers) as answer,
            ):
                return _meaning(answer.status_code, answer.headers.get("retry-after"))
        except TimeoutError:
            return Attempt(Outcome.FAILED, f"no answer within {self._timeout_s:g} s")
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
            return Attempt(Outcome.FAILED, str(error) or type(error).__name__)


def _meaning(status: int, retry_after: str | None) -> Attempt:
    if 200 <= status < 300:
        return Attempt(Outcome.DELIVERED)
    if status == httpx2.codes.GONE:
        return Attempt(Outcome.GONE, "it answered 410 Gone")
    words = f"it answered {status}"
    if 300 <= status < 400:
        words += ", and redirects are not followed: write the final address"
    return Attempt(Outcome.FAILED, words, _seconds(retry_after))


def _seconds(retry_after: str | None) -> float:
    """Return what Retry-After says (RFC 9110, section 10.2.3): seconds or a date; 0 if neither."""
    text = (retry_after or "").strip()
    if text.isascii() and text.isdecimal():
        seconds = float(text[:9])
    else:
        try:
            seconds = parsedate_to_datetime(text).timestamp() - time.time()
        except (ValueError, OverflowError):
            return 0.0
    return min(max(seconds, 0.0), RETRY_AFTER_MAX_S)
