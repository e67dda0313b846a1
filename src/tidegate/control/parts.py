"""What the routers work with, made once for the application and handed to them by `Depends`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from fastapi import Depends, Request

from tidegate.gateway import Gateway
from tidegate.identity import Repository


@dataclass(frozen=True, slots=True)
class Parts:
    gateway: Gateway
    """Open, and never given a request: it has the configuration, compiled, and the store."""
    repository: Repository
    data_dir: Path

    def defined_in(self, origin: str, kind: str, name: str) -> str | None:
        """Return where the file says what an object is; None for what the API made."""
        return self.gateway.config.places.of(kind, name) if origin == "file" else None


def _parts(request: Request) -> Parts:
    parts: Parts = request.app.state.parts
    return parts


PartsNeeded = Annotated[Parts, Depends(_parts)]
