"""TLS towards https targets: always verified, HTTP/1.1 only.

There is no switch to turn verification off; a private authority is named by `tls.ca_file`. The
name that is verified, and sent as SNI, is the target's host, whatever the Host field says.
"""

import asyncio
import ssl

from tidegate.config.schema import Tls


def client_context(settings: Tls, service: str) -> ssl.SSLContext:
    """Return a context that trusts `ca_file` alone, or the system's authorities without one.

    Raises ValueError if the file cannot be read or holds no certificate.
    """
    try:
        context = ssl.create_default_context(cafile=settings.ca_file)
    except OSError as error:  # ssl.SSLError is one
        reason = error.strerror or error
        raise ValueError(
            f"service {service}: tls.ca_file {settings.ca_file} is not usable: {reason}"
        ) from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context


def is_end_vouched_for(transport: asyncio.BaseTransport | None) -> bool:
    """Return whether the peer's end of the stream was the peer's own doing.

    Over TLS anybody on the way can send a FIN; only the closing alert proves that a body which
    is delimited by close is whole (RFC 9112, section 9.8). Not every event loop tells them apart.
    """
    layer = None if transport is None else transport.get_extra_info("ssl_object")
    if layer is None:
        return True
    try:
        return not layer.read(1)
    except ssl.SSLZeroReturnError:
        return True
    except ssl.SSLError:
        return False
