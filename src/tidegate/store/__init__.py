"""The one store: a pipelined connection, the embedded Valkey, scripts, tracking."""

from tidegate.http.errors import StoreUnavailable
from tidegate.store.connection import Connection
from tidegate.store.embedded import EmbeddedServer, own_privately
from tidegate.store.errors import CommandFailed, StoreRefused
from tidegate.store.facts import StoreFacts
from tidegate.store.scripts import Script, ScriptCall
from tidegate.store.servers import Servers, StoreConnection
from tidegate.store.store import Store, open_store
from tidegate.store.tracking import Tracking

__all__ = [
    "CommandFailed",
    "Connection",
    "EmbeddedServer",
    "Script",
    "ScriptCall",
    "Servers",
    "Store",
    "StoreConnection",
    "StoreFacts",
    "StoreRefused",
    "StoreUnavailable",
    "Tracking",
    "open_store",
    "own_privately",
]
