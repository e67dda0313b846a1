"""What the routers work with, made once for the application and handed to them by `Depends`."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from fastapi import Depends, Request

from tidegate.config.limits import LimitEntry, Quota
from tidegate.control.errors import InvalidRequest
from tidegate.gateway import Gateway
from tidegate.identity import Repository


@dataclass(frozen=True, slots=True)
class Parts:
    gateway: Gateway
    """Open, and never given a request: it has the configuration, compiled, and the store."""
    repository: Repository
    data_dir: Path

    def refuse_unheard(self, limits: Iterable[LimitEntry]) -> None:
        """Refuse a quota that notifies where the file tells nobody. Raises InvalidRequest."""
        if self.gateway.config.webhooks is not None:
            return
        for limit in limits:
            if isinstance(limit, Quota) and limit.notify:
                raise InvalidRequest(
                    f"The limit {limit.name} notifies, but the configuration has no webhooks: "
                    "there is nobody to tell"
                )

    def defined_in(self, origin: str, kind: str, name: str) -> str | None:
        """Return where the file says what an object is; None for what the API made."""
        return self.gateway.config.places.of(kind, name) if origin == "file" else None


def _parts(request: Request) -> Parts:
    parts: Parts = request.app.state.parts
    return parts


PartsNeeded = Annotated[Parts, Depends(_parts)]
