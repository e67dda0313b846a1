"""URLs as logs and messages may show them: with the password hidden.

It must not trust the URL to be well formed: what is wrong is shown most often of all.
"""

import re
from typing import Final

_USERINFO: Final = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*:/*)?(.*)@", re.DOTALL)
_SECRET_PARAMETER: Final = re.compile(r"(?i)([?&][^=&]*(?:pass|secret|token)[^=&]*=)[^&]*")


def redacted_url(url: str) -> str:
    """Return the URL with password, and with userinfo that is no user name, as `***`."""
    return _SECRET_PARAMETER.sub(r"\1***", _USERINFO.sub(_hidden, url))


def _hidden(match: re.Match[str]) -> str:
    user, colon, _ = match[2].partition(":")
    return f"{match[1] or ''}{user + ':' if colon else ''}***@"
