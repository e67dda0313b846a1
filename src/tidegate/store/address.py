"""Where the store is: the parsed form of a store URL, and how to open a transport to it.

Takes `redis://`, `rediss://` (verified TLS; a private authority by `?ssl_ca_certs=FILE`) and
`unix://`. What is printed is always `redacted`: a password never leaves this module in a message.
"""

import asyncio
import os
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Self
from urllib.parse import parse_qs, unquote, urlsplit

from tidegate.store.errors import StoreRefused

PORT_DEFAULT: Final = 6379
TLS_FILES: Final = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
"""The names that redis-py gives these files in its URLs."""


@dataclass(frozen=True, slots=True)
class Address:
    redacted: str
    host: str = ""
    port: int = PORT_DEFAULT
    socket_path: str = ""
    """Not empty: a Unix socket; host and port say nothing."""
    database: int = 0
    username: str = ""
    password: str = field(default="", repr=False)
    tls: ssl.SSLContext | None = None

    @classmethod
    def parse(cls, url: str) -> Self:
        """Return the address that `url` names; raise StoreRefused if it names none."""
        parts = urlsplit(url)
        if parts.scheme not in ("redis", "rediss", "unix"):
            raise StoreRefused(
                f"redis.url: scheme {parts.scheme!r} is not known; "
                "use redis://, rediss://, unix:// or `embedded`"
            )
        is_unix = parts.scheme == "unix"
        try:
            options = parse_qs(parts.query, strict_parsing=bool(parts.query))
            port = parts.port or PORT_DEFAULT
            in_path = "" if is_unix else parts.path.strip("/")
            database = int(options.pop("db", [in_path or "0"])[0])
        except ValueError as error:
            raise StoreRefused(f"redis.url: {_redacted(url)} is not valid: {error}") from None
        return cls(
            redacted=_redacted(url),
            host=parts.hostname or "localhost",
            port=port,
            socket_path=unquote(parts.path) if is_unix else "",
            database=database,
            username=unquote(parts.username or ""),
            password=unquote(parts.password or ""),
            tls=_tls_context(parts.scheme == "rediss", options, _redacted(url)),
        )

    async def connect(self, protocol: Callable[[], asyncio.Protocol]) -> None:
        """Open a transport and hand it to what `protocol` makes; raise OSError if that fails."""
        loop = asyncio.get_running_loop()
        if self.socket_path:
            await loop.create_unix_connection(protocol, self.socket_path)
            return
        await loop.create_connection(protocol, self.host, self.port, ssl=self.tls)


def unix_address(path: os.PathLike[str]) -> Address:
    """Return the address of a server on the Unix socket `path`."""
    return Address(redacted=f"unix://{os.fspath(path)}", socket_path=os.fspath(path))


def _redacted(url: str) -> str:
    """Return `url` without credentials and without its query."""
    parts = urlsplit(url)
    place = parts.netloc.rpartition("@")[2]
    hidden = "***@" if "@" in parts.netloc else ""
    return f"{parts.scheme}://{hidden}{place}{parts.path}"


def _tls_context(
    is_tls: bool, options: dict[str, list[str]], redacted: str
) -> ssl.SSLContext | None:
    files = {name: options.pop(name)[0] for name in TLS_FILES if name in options}
    if options or (files and not is_tls):
        unknown = ", ".join(sorted(options) or sorted(files))
        raise StoreRefused(f"redis.url: {redacted} has options that are not known: {unknown}")
    if not is_tls:
        return None
    try:
        context = ssl.create_default_context(cafile=files.get("ssl_ca_certs"))
        if "ssl_certfile" in files:
            context.load_cert_chain(files["ssl_certfile"], files.get("ssl_keyfile"))
    except OSError as error:
        raise StoreRefused(f"redis.url: {redacted}: cannot read its TLS files: {error}") from None
    return context
