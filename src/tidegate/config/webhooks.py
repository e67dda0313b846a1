"""`webhooks`: where events are sent, signed with what, and for how long they are tried.

The one address is the configuration's, never a tenant's or a caller's: nobody who can only send
requests chooses what the gateway connects to. Still it is held to a form in which no credential
ends up in a log. A secret is written as Standard Webhooks has it, so that its libraries take it.
"""

import base64
import binascii
from typing import Annotated, Final
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr

from tidegate.config import fields as f
from tidegate.config.model import Model
from tidegate.config.values import Wrong

SECRET_PREFIX: Final = "whsec_"  # noqa: S105 what every secret begins with
SECRET_BYTES: Final = (24, 64)
"""Standard Webhooks 1.0.0, signature scheme: at least 192 bits, at most 512."""
URL_CHARACTERS_MAX: Final = 2048


def secret_bytes(secret: SecretStr) -> bytes:
    """Return the key that a checked secret stands for."""
    return base64.b64decode(secret.get_secret_value().removeprefix(SECRET_PREFIX))


def _checked_url(text: str) -> str:
    right = "write where events are sent, such as https://example.com/hooks"
    if len(text) > URL_CHARACTERS_MAX or not all("!" <= character <= "~" for character in text):
        raise Wrong(right)
    try:
        parts = urlsplit(text)
        has_host = bool(parts.hostname) and parts.port != 0
    except ValueError:
        raise Wrong(right) from None
    if parts.scheme not in ("http", "https") or not has_host:
        raise Wrong(right)
    if parts.username is not None or parts.password is not None:
        raise Wrong("a URL has no user name or password; events are signed with webhooks.secret")
    if parts.fragment:
        raise Wrong("a URL that is asked has no fragment (#)")
    return text


def _checked_secret(value: SecretStr) -> SecretStr:
    least, most = SECRET_BYTES
    text = value.get_secret_value()
    try:
        key = base64.b64decode(text.removeprefix(SECRET_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not text.startswith(SECRET_PREFIX) or not least <= len(key) <= most:
        raise Wrong(
            f"write {SECRET_PREFIX} and the base64 of {least} to {most} random bytes, as "
            f"`echo {SECRET_PREFIX}$(openssl rand -base64 32)` prints"
        )
    return value


Secret = Annotated[SecretStr, AfterValidator(_checked_secret)]


class Webhooks(Model):
    """Where to tell of limits that reach a share named in their `notify`."""

    url: Annotated[str, AfterValidator(_checked_url)]
    """https://, or http:// where the way there is trusted. Redirects are not followed."""
    secret: Secret
    """`whsec_…`: each event is signed with it (Standard Webhooks, v1: HMAC-SHA256)."""
    previous_secret: Secret | None = None
    """Signed with as well, while receivers change from one secret to the next."""
    timeout: f.Timeout = Field(15.0, le=60.0)
    """How long the receiver may take to answer."""
    keep: f.Timeout = Field(3 * 86_400.0, ge=60.0, le=30 * 86_400.0)
    """For how long an event is tried before it is given up."""
    waiting: int = Field(10_000, ge=1, le=10**6)
    """Events that may wait to be delivered, of one limit of a tenant half of them at most."""
