"""What the routers work with, made once for the application and handed to them by `Depends`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from fastapi import Depends, Request

from tidegate.config import Config
from tidegate.gateway import Gateway
from tidegate.identity import Repository
from tidegate.identity.file_objects import PlaceOf
from tidegate.rate_limiter import Limiter
from tidegate.store import Store


@dataclass(frozen=True, slots=True)
class Parts:
    config: Config
    store: Store
    gateway: Gateway
    """Open, and never given a request: it knows how routes are compiled."""
    repository: Repository
    limiter: Limiter
    place_of: PlaceOf
    data_dir: Path


def _parts(request: Request) -> Parts:
    parts: Parts = request.app.state.parts
    return parts


def _repository(parts: Annotated[Parts, Depends(_parts)]) -> Repository:
    return parts.repository


PartsNeeded = Annotated[Parts, Depends(_parts)]
RepositoryNeeded = Annotated[Repository, Depends(_repository)]
