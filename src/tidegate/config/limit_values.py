"""Rules for the single values of limits and costs, as values.py has them for the rest."""

import re
import zoneinfo
from difflib import get_close_matches
from typing import Final

from tidegate.config.values import Wrong, checked_method

SCOPES: Final = ("key", "tenant", "address", "route", "global")
_OTHER_WORDS: Final = {"ip": "address", "client": "address", "everybody": "global", "all": "global"}
_IN_PLACE_OF: Final = {
    "user": "write key, or header:X-User",
    "plan": "write global in the plan's own limits: they count all callers on the plan together",
}
_HEADER: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}")
_JSON_PATH: Final = re.compile(r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+){0,15}")
_JSON_PATH_CHARACTERS_MAX: Final = 256
_JSON_PATHS_MAX: Final = 8
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


def checked_scope(text: str) -> str:
    """One of SCOPES, or `header:NAME`, in lower case."""
    if text in SCOPES:
        return text
    word, colon, name = text.partition(":")
    if word == "header":
        if not colon or not name:
            raise Wrong("name the header whose values are counted", "header:X-User-Id")
        return f"header:{checked_header_name(name)}"
    if text.lower() in _IN_PLACE_OF:
        raise Wrong(_IN_PLACE_OF[text.lower()])
    right = f"write {', '.join(SCOPES)} or header:NAME"
    raise Wrong(right, _OTHER_WORDS.get(text.lower()) or _near(text))


def checked_header_name(text: str) -> str:
    """The name of a header, in lower case."""
    if _HEADER.fullmatch(text) is None:
        raise Wrong("a header's name has letters, digits and -, such as X-Cost (at most 64)")
    return text.lower()


def checked_time_zone(text: str) -> str:
    try:
        return zoneinfo.ZoneInfo(text).key
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        near = next((name for name in sorted(_zones()) if name.lower() == text.lower()), None)
        right = "a time zone is a name of the IANA list, such as Europe/Berlin or UTC"
        raise Wrong(right, near) from None


def checked_json_path(text: str) -> str:
    """One path or several whose numbers are added: `usage.input + usage.output`."""
    paths = [path.strip().removeprefix("$.") for path in text.split("+")]
    if len(paths) > _JSON_PATHS_MAX or not all(map(_is_json_path, paths)):
        raise Wrong(
            "write the fields on the way to the number, such as usage.total_tokens, or several "
            f"such paths with + between (at most {_JSON_PATHS_MAX})"
        )
    return " + ".join(paths)


def _is_json_path(path: str) -> bool:
    return _JSON_PATH.fullmatch(path) is not None and len(path) <= _JSON_PATH_CHARACTERS_MAX


def checked_unit(text: str) -> str:
    if text == "requests":
        raise Wrong("what a request costs in requests is said by cost, beside costs")
    if _NAME.fullmatch(text) is None:
        raise Wrong("a unit is a name such as tokens, of letters, digits, _ . - (at most 64)")
    return text


def checked_method_or_default(text: str) -> str:
    return text if text == "default" else checked_method(text)


def _zones() -> set[str]:
    return zoneinfo.available_timezones()


def _near(text: str) -> str | None:
    return next(iter(get_close_matches(text.lower(), SCOPES, n=1, cutoff=0.6)), None)
