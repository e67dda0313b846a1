"""Rules for single values: targets, paths, hosts, keys and the store's URL, in their one form.

Each takes text and returns it as it will be used, or raises `Wrong` with what would be right. A
message never quotes the value: it may have come from a reference. A better spelling travels apart
(`better`) and is shown only where the value may be.
"""

import ipaddress
import re
from typing import Final
from urllib.parse import quote

from tidegate.config.not_built import TARGET_SCHEMES, words
from tidegate.http.errors import BadRequest
from tidegate.http.target import parse_target

KEY_CHARACTERS_MAX: Final = 256
_NAME: Final = r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,251}[A-Za-z0-9_])?"
_ADDRESS: Final = r"\[[0-9A-Fa-f:.]{2,45}\]"
_HOST: Final = re.compile(_NAME)
_UPSTREAM_HOST: Final = re.compile(rf"(?:{_NAME}|{_ADDRESS})(?::[0-9]{{1,5}})?")
_ADDRESS_ONLY: Final = re.compile(_ADDRESS)
_TARGET: Final = re.compile(rf"(https?)://({_NAME}|{_ADDRESS})(?::([0-9]{{1,5}}))?/?")
_DOTTED: Final = r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*"
_APP: Final = re.compile(rf"asgi:{_DOTTED}:{_DOTTED}(?:\(\))?")
_REDIS: Final = re.compile(
    rf"rediss?://(?:[^@/?#]*@)?(?:{_NAME}|{_ADDRESS})(?::([0-9]{{1,5}}))?(?:/[0-9]{{0,5}})?"
)
_SERVER: Final = rf"(?:{_NAME}|{_ADDRESS})(?::[0-9]{{1,5}})?"
_SERVERS: Final = rf"(?:[^@/?#]*@)?({_SERVER}(?:,{_SERVER})*)"
_SENTINEL: Final = re.compile(rf"rediss?\+sentinel://{_SERVERS}/[^/?#@]+(?:/[0-9]{{0,5}})?")
_CLUSTER: Final = re.compile(rf"rediss?\+cluster://{_SERVERS}(?:/0?)?")
_UNIX: Final = re.compile(r"unix://(?:[^@/?#]*@)?/[^?#]+(?:\?db=[0-9]{1,5})?")
_METHOD: Final = re.compile(r"[A-Z0-9!#$%&'*+.^_`|~-]{1,32}")
_EMPTY_WORDS: Final = frozenset(
    ("null", "none", "nil", "undefined", "true", "false", "changeme", "change-me", "todo", "tbd")
)


class Wrong(ValueError):
    """`str()` is what would be right; `better` the value put right, if that can be guessed.

    `fields` are those of a mapping that disagree: the first one that is written has the blame.
    """

    def __init__(self, right: str, better: str | None = None, fields: tuple[str, ...] = ()) -> None:
        super().__init__(right)
        self.better = better
        self.fields = fields


class NotBuilt(Wrong):
    """What the value asks for is planned; `str()` is the whole message."""


def checked_target(text: str) -> str:
    scheme = text.partition(":")[0].lower()
    if scheme == "asgi":
        return _checked_app(text)
    if scheme in TARGET_SCHEMES and ":" in text:
        raise NotBuilt(words(f"a target with {scheme}:"))
    match = _TARGET.fullmatch(text)
    if match is None:
        raise _wrong_target(text)
    if match[3] and not 1 <= int(match[3]) <= 65535:
        raise Wrong("a port is 1 to 65535")
    _check_address(match[2])
    return text.removesuffix("/").lower()


def _checked_app(text: str) -> str:
    """`asgi:package.module:app`, or `asgi:package.module:create_app()`."""
    if _APP.fullmatch(text):
        return text
    parts = [part for part in text[5:].strip("/").removesuffix(".py").split(":") if part]
    module = parts[0].removesuffix(".py").replace("/", ".") if parts else ""
    better = f"asgi:{module}:{parts[1] if len(parts) == 2 else 'app'}"
    right = "an asgi target is a module and the application in it"
    if len(parts) <= 2 and _APP.fullmatch(better):
        raise Wrong(right, better)
    raise Wrong(f"{right}, such as asgi:app.main:app")


def _wrong_target(text: str) -> Wrong:
    scheme, separator, rest = text.partition("://")
    if not separator or scheme not in ("http", "https"):
        return Wrong('a target starts with "http://" or "https://"', f"http://{rest or text}")
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    if "@" in authority:
        return Wrong("a target has no user name or password; the service's own are not sent")
    if len(authority) < len(rest):
        right = "a target has no path or query (the request's own are sent)"
        return Wrong(right, f"{scheme}://{authority}")
    return Wrong("a target is a scheme, a host and a port, such as http://127.0.0.1:9000")


def checked_redis_url(text: str) -> str:
    if text == "embedded" or _UNIX.fullmatch(text):
        return text
    if "+" in text.partition(":")[0]:
        return _checked_servers(text)
    match = _REDIS.fullmatch(text)
    if match is None:
        raise Wrong(
            "write embedded, redis://HOST:PORT/DB, rediss://HOST:PORT/DB, unix:///PATH, "
            "redis+sentinel://HOST:PORT,HOST:PORT/NAME/DB or redis+cluster://HOST:PORT,HOST:PORT "
            "(a password's @ / ? # are percent-encoded)"
        )
    if match[1] and not 1 <= int(match[1]) <= 65535:
        raise Wrong("a port is 1 to 65535")
    return text


def _checked_servers(text: str) -> str:
    """The Sentinels that know a primary by NAME, or some nodes of a Cluster."""
    match = _SENTINEL.fullmatch(text) or _CLUSTER.fullmatch(text)
    if match is None:
        raise Wrong(
            "write redis+sentinel://HOST:PORT,HOST:PORT/NAME/DB, NAME being what the Sentinels "
            "call the primary, or redis+cluster://HOST:PORT,HOST:PORT, which has database 0 only "
            "(rediss+sentinel and rediss+cluster with TLS; a password's @ / ? # are "
            "percent-encoded)"
        )
    if any(not 1 <= int(port) <= 65535 for port in re.findall(r":([0-9]+)(?=,|$)", match[1])):
        raise Wrong("a port is 1 to 65535")
    return text


def checked_cache_url(text: str) -> str:
    if text == "embedded":
        raise Wrong("leave it out to keep answers in the store of `redis`, or write redis://HOST")
    return checked_redis_url(text)


def checked_listen_host(text: str) -> str:
    if _HOST.fullmatch(text):
        return text
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        right = "write an address or host name without port, such as 127.0.0.1, 0.0.0.0 or ::"
        raise Wrong(right) from None


def checked_host_pattern(text: str) -> str:
    """`api.example.com` or `*.example.com` (which is every name below it), in lower case."""
    name = text.removeprefix("*.")
    if text == "*":
        raise Wrong("leave hosts out to take every host")
    if _ADDRESS_ONLY.fullmatch(name) and name == text:
        _check_address(name)
    elif _HOST.fullmatch(name) is None or ".." in name:
        right = "a host is api.example.com or *.example.com, without scheme, port or path"
        raise Wrong(right, _host_within(text))
    return text.lower()


def _host_within(text: str) -> str | None:
    bare = re.sub(r"^[a-z]+://|[:/].*$", "", re.sub(r"^[a-z]+://", "", text))
    return bare if _HOST.fullmatch(bare.removeprefix("*.")) and bare != text else None


def checked_upstream_host(text: str) -> str:
    """`preserve`, `target`, or the name to send as Host, with a port where it needs one."""
    if text and _UPSTREAM_HOST.fullmatch(text) is None:
        raise Wrong("write preserve, target or the host name to send")
    return text


def checked_path(text: str) -> str:
    """A path in the form in which it is routed and sent upstream (http.target)."""
    if not text.startswith("/"):
        raise Wrong('a path starts with "/"', f"/{text}")
    if "?" in text or "#" in text:
        right = "a path has no query or fragment"
        raise Wrong(right, re.split(r"[?#]", text, maxsplit=1)[0])
    for segment in text.split("/"):
        if segment in ("*", "**"):
            right = "a path has no wildcards; an entry of paths is a prefix already"
            raise Wrong(right, text[: text.index("/*")] or "/")
        if segment.startswith((":", "{")):
            raise NotBuilt(words("a path with parameters ({id}, :id)"))
    try:
        _, path, _ = parse_target(quote(text, safe="/%:@!$&'()*+,;=~").encode(), [b"x"], "1.1")
    except BadRequest:
        right = "a path climbs no higher than / and every % is followed by two hex digits"
        raise Wrong(right) from None
    if path.decode() != text:
        raise Wrong("a path is written as it is sent upstream", path.decode())
    return text


def checked_prefix(text: str) -> str:
    """A prefix ends on a segment boundary by itself: `/api` takes `/api` and `/api/…`."""
    path = checked_path(text)
    if path.endswith("/") and path != "/":
        raise Wrong("a prefix has no slash at its end", path.rstrip("/") or "/")
    return path


def checked_method(text: str) -> str:
    if _METHOD.fullmatch(text) is None:
        better = text.upper() if _METHOD.fullmatch(text.upper()) else None
        raise Wrong("a method is written in capitals" + ("" if better else ", such as GET"), better)
    if text == "CONNECT":
        raise Wrong("CONNECT opens tunnels, which a gateway does not route")
    return text


def checked_network(text: str) -> str:
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        right = "a network is an address with a prefix length, such as 10.0.0.0/8"
        raise Wrong(right) from None
    if text.partition("/")[0] != str(network.network_address):
        raise Wrong("a network is written with its first address", str(network))
    return str(network)


def checked_key(text: str) -> str:
    """A key as it can stand in a header, and not something that stands for no key at all."""
    if not text:
        raise Wrong("a key must not be empty")
    if not all("!" <= character <= "~" for character in text):
        raise Wrong("a key is printable ASCII without spaces")
    if len(text) > KEY_CHARACTERS_MAX:
        raise Wrong(f"a key has at most {KEY_CHARACTERS_MAX} characters")
    if re.fullmatch(r"\$[A-Za-z_][A-Za-z0-9_]*", text):
        raise Wrong("a reference is written ${VAR}")
    if text.lower() in _EMPTY_WORDS or re.fullmatch(r"<.*>|\*+|x+|\.+|-+", text, re.IGNORECASE):
        raise Wrong("this stands for a key but is none; write the key, or a reference to it")
    return text


def _check_address(host: str) -> None:
    if host.startswith("["):
        try:
            ipaddress.IPv6Address(host[1:-1])
        except ValueError:
            raise Wrong("what stands in brackets is an IPv6 address") from None
