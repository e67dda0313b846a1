"""The limits' scripts, put together from their parts.

DECIDE and DECIDE_ALL have one text for what both decide: `decide.lua`, with what comes before it.
The first knows plain buckets and quotas alone and is what nearly every request runs; the second
knows the rest too, and settles. Which one a subject needs is known when it is compiled.
"""

from importlib.resources import files
from typing import Final

from tidegate.store import Script


def _script(name: str, *parts: str) -> Script:
    directory = files(__package__)
    return Script.of(name, "".join(directory.joinpath(part).read_text("utf-8") for part in parts))


DECIDE: Final = _script("decide", "clock.lua", "plain.lua", "calendar.lua", "decide.lua")
DECIDE_ALL: Final = _script(
    "decide_all",
    "clock.lua",
    "zones.lua",
    "calendar.lua",
    "sliding_window.lua",
    "leases.lua",
    "others.lua",
    "decide.lua",
)
RENEW: Final = _script("renew", "clock.lua", "leases.lua", "renew.lua")
