"""Where the store is: the parsed form of a store URL, and how to open a transport to it.

Takes `redis://`, `rediss://` (verified TLS; a private authority by `?ssl_ca_certs=FILE`),
`unix://`, and with `+sentinel` or `+cluster` several places to ask which server it is. What is
printed is always `redacted`: a password never leaves this module in a message.
"""

import asyncio
import os
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple, Self
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from tidegate.store.errors import StoreRefused

PORT_DEFAULT: Final = 6379
SENTINEL_PORT_DEFAULT: Final = 26379
PLAIN_SCHEMES: Final = ("redis", "rediss", "unix")
FOUND_SCHEMES: Final = ("redis+sentinel", "rediss+sentinel", "redis+cluster", "rediss+cluster")
"""Of stores whose servers are found by asking."""
TLS_FILES: Final = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
"""The names that redis-py gives these files in its URLs."""


class Place(NamedTuple):
    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


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
    asked: tuple[Place, ...] = ()
    """Whom to ask which server it is, Sentinels or nodes of a Cluster; empty: it is this one."""
    service: str = ""
    """Not empty: the store is whatever server Sentinels call the primary of this name."""

    @property
    def is_cluster(self) -> bool:
        return bool(self.asked) and not self.service

    def at(self, place: Place) -> "Address":
        """Return the address of one server of this store: same credentials, same TLS."""
        scheme = "rediss" if self.tls else "redis"
        return replace(
            self,
            redacted=f"{scheme}://{place}",
            host=place.host,
            port=place.port,
            asked=(),
            service="",
        )

    @classmethod
    def parse(cls, url: str) -> Self:
        """Return the address that `url` names; raise StoreRefused if it names none."""
        parts = urlsplit(url)
        if parts.scheme in FOUND_SCHEMES:
            return cls._parse_found(url, parts)
        if parts.scheme not in PLAIN_SCHEMES:
            raise StoreRefused(
                f"redis.url: scheme {parts.scheme!r} is not known; use redis://, rediss://, "
                "unix://, redis+sentinel://, redis+cluster:// or `embedded`"
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

    @classmethod
    def _parse_found(cls, url: str, parts: SplitResult) -> Self:
        """Several places, `HOST:PORT,HOST:PORT`; Sentinels' path is `/NAME/DATABASE`."""
        shown = _redacted(url)
        kind = parts.scheme.partition("+")[2]
        userinfo, _, hosts = parts.netloc.rpartition("@")
        username, _, password = userinfo.partition(":")
        service, _, database = parts.path.strip("/").partition("/")
        default = SENTINEL_PORT_DEFAULT if kind == "sentinel" else PORT_DEFAULT
        try:
            asked = tuple(_place(text, default) for text in hosts.split(","))
            number = int(database or "0")
            options = parse_qs(parts.query, strict_parsing=bool(parts.query))
        except ValueError as error:
            raise StoreRefused(f"redis.url: {shown} is not valid: {error}") from None
        if kind == "sentinel" and not service:
            raise StoreRefused(
                f"redis.url: {shown} does not say which primary: add the name under which the "
                "Sentinels monitor it, such as /mymaster"
            )
        if kind == "cluster" and parts.path.strip("/") not in ("", "0"):
            raise StoreRefused(f"redis.url: {shown} has a path, but a Cluster has database 0 only")
        return cls(
            redacted=shown,
            database=number,
            username=unquote(username),
            password=unquote(password),
            tls=_tls_context(parts.scheme.startswith("rediss"), options, shown),
            asked=asked,
            service=unquote(service) if kind == "sentinel" else "",
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


def _place(text: str, port_default: int) -> Place:
    """Return `HOST:PORT`; raise ValueError if it is none."""
    parts = urlsplit(f"//{text}")
    if not parts.hostname or parts.path or parts.query:
        raise ValueError(f"{text!r} is no HOST:PORT")
    return Place(parts.hostname, parts.port or port_default)


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
