"""URLs of a port: as listened on, to try from here, and the Host that clients of one send."""

from collections.abc import Iterable
from typing import Final

_EVERY_NETWORK: Final = (("//0.0.0.0:", "//127.0.0.1:"), ("//[::]:", "//[::1]:"))


def url_of(address: tuple[str, int]) -> str:
    host, port = address
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def reachable(url: str) -> str:
    """Return `url` with an address that a client can name: every network is not one."""
    for every, one in _EVERY_NETWORK:
        url = url.replace(every, one)
    return url


def host_of(url: str) -> str:
    """Return the Host that a client sends which is given `url`."""
    return url.removeprefix("http://").removesuffix(":80")


def first_path(paths_of_routes: Iterable[Iterable[str]]) -> str:
    """Return the first path of the first route that has one to tell, as a client would ask it."""
    paths = (path for paths in paths_of_routes for path in paths if "${" not in path)
    return next(paths, "/")
