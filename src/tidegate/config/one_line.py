"""A whole configuration from a few words of the command line: one service, one plan, one tenant.

The words are checked as the loader checks a file, so that a mistake is told in the same manner,
under the option's name. What comes out is the text of a file: every other command, and a reload,
can then read the same configuration as the gateway does.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tidegate.config import loader
from tidegate.config.nodes import Mapping, Node, Scalar, Sequence
from tidegate.config.problems import Mark, Problems

PLAN: Final = "default"
TENANT: Final = "me"
NAME: Final = "service"
"""Of the service and its one route, which takes every path."""
_HERE: Final = Mark("command line")


@dataclass(frozen=True, slots=True)
class OneLine:
    """What was said, as it was said; None: nothing."""

    to: str
    rate: str | None = None
    burst: str | None = None
    quota: str | None = None
    auth: str | None = None

    def written(self) -> str:
        """Return the configuration as YAML. Raises ConfigError."""
        self._check()
        limits = ", ".join(f"{name}: {word}" for name, word in self._limits().items())
        auth = f", auth: {self.auth}" if self.auth else ""
        return (
            "version: 1\n"
            f"plans:\n  {PLAN}: {{{limits}}}\n"
            f"tenants:\n  - {{name: {TENANT}, plan: {PLAN}}}\n"
            f"services:\n  - name: {NAME}\n    targets: [{json.dumps(self.to)}]\n"
            f"    routes:\n      - {{name: {NAME}{auth}}}\n"
        )

    def _check(self) -> None:
        problems = Problems()
        if self.auth == "none":
            for name, word in self._limits().items():
                message = f"found {json.dumps(word)}; without keys there is nobody to count for"
                problems.add(_HERE, f"--{name}", f"{message}: leave out --auth none, or this")
        elif self.burst and not self.rate:
            reason = "a burst needs a rate beside it, such as --rate 5/s"
            problems.add(_HERE, "--burst", reason)
        loader.checked(self._tree(), {}, Path(), problems)

    def _limits(self) -> dict[str, str]:
        words = {"rate": self.rate, "burst": self.burst, "quota": self.quota}
        return {name: word for name, word in words.items() if word is not None}

    def _tree(self) -> Mapping:
        limits = {name: _scalar(f"--{name}", word) for name, word in self._limits().items()}
        route = {"name": _scalar("", NAME)}
        if self.auth is not None:
            route["auth"] = _scalar("--auth", self.auth)
        return _mapping(
            version=_scalar("", "1"),
            plans=_mapping(**{PLAN: _mapping(**limits)}),
            tenants=_list(_mapping(name=_scalar("", TENANT), plan=_scalar("", PLAN))),
            services=_list(
                _mapping(
                    name=_scalar("", NAME),
                    targets=_list(_scalar("--to", self.to)),
                    routes=_list(_mapping(**route)),
                )
            ),
        )


def _scalar(option: str, word: str) -> Scalar:
    return Scalar(option, _HERE, word, word)


def _mapping(**fields: Node) -> Mapping:
    return Mapping("", _HERE, fields, dict.fromkeys(fields, _HERE))


def _list(item: Node) -> Sequence:
    return Sequence("", _HERE, [item])
