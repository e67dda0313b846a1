"""Request fields by which a proxy speaks: for its client, of what was asked, of who asks. Pure.

Who is not a trusted proxy can only claim such things: services believe them of whoever stands in
front of them, be it oauth2-proxy, Envoy or a CDN. So they are known by family, and a service
behind this gateway sees none of them that a trusted proxy has not said. A name that some server
reads as another (CGI and WSGI map all but letters and digits to `_`) passes nowhere.
"""

import re
from typing import Final

ADDRESSES: Final = frozenset(
    {
        b"cf-connecting-ip",
        b"client-ip",
        b"fastly-client-ip",
        b"forwarded-for",
        b"true-client-ip",
        b"x-client-ip",
        b"x-cluster-client-ip",
        b"x-envoy-external-address",
        b"x-forwarded-for",
        b"x-original-forwarded-for",
        b"x-real-ip",
    }
)
"""Those that tell only where the client is."""

_NAMES: Final = ADDRESSES | {
    b"forwarded",
    b"front-end-https",
    b"proxy",  # as HTTP_PROXY, CGI programs send their own requests by it (httpoxy)
    b"remote-user",
    b"x-host",
    b"x-remote-user",
    b"x-rewrite-url",
    b"x-url-scheme",
}
_FAMILIES: Final = (b"x-auth-request-", b"x-envoy-", b"x-forwarded", b"x-original-")

_is_plain: Final = re.compile(rb"[a-z0-9-]+").fullmatch


def is_claim(name: bytes) -> bool:
    """Whether a field of this lower-case name is a trusted proxy's to say."""
    return name in _NAMES or name.startswith(_FAMILIES)


def has_twins(name: bytes) -> bool:
    """Whether some server reads this lower-case name as that of another field."""
    return _is_plain(name) is None
