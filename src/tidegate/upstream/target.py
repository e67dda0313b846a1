"""One target of a service: where to connect, and what it is called in Host.

Parsed once, when the snapshot is compiled. Knows no socket.
"""

import ssl
from dataclasses import dataclass
from typing import Final, Literal, Self
from urllib.parse import urlsplit

DEFAULT_PORTS: Final = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Target:
    scheme: Literal["http", "https"]
    host: str
    """Name or address to connect to, and to verify the certificate against; no brackets."""
    port: int
    authority: bytes
    """Value of Host if the service sends the target's own: the port only if not the default."""
    tls: ssl.SSLContext | None = None

    @classmethod
    def parse(cls, url: str, tls: ssl.SSLContext | None = None) -> Self:
        """Parse `http://host[:port]` or `https://host[:port]`; raise ValueError otherwise."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{url}: write a target as http://host:port or https://host:port")
        if parts.path not in ("", "/") or parts.query or parts.fragment or "@" in parts.netloc:
            raise ValueError(f"{url}: a target holds scheme, host and port, nothing else")
        scheme: Literal["http", "https"] = "https" if parts.scheme == "https" else "http"
        default = DEFAULT_PORTS[scheme]
        port = default if parts.port is None else parts.port
        name = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        authority = name if port == default else f"{name}:{port}"
        return cls(scheme, parts.hostname, port, authority.encode(), tls)
