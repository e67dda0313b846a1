"""The processes of a gateway: a supervisor, its sockets, the workers and the control process.

The supervisor owns one listening socket for each worker slot and lends it to whichever process
fills the slot, so that a worker can be replaced without a connection being lost. It knows nothing
of HTTP, the store or the configuration: what a worker needs is bytes that it hands on.
"""

from tidegate.supervisor.backoff import restart_delay_s
from tidegate.supervisor.listeners import (
    Listener,
    ListenFailed,
    open_listener,
    open_listeners,
)
from tidegate.supervisor.port_holder import Holder, port_holder
from tidegate.supervisor.supervisor import Bounds, Companion, Supervisor
from tidegate.supervisor.worker_process import WorkerFailed, WorkerProcess

__all__ = [
    "Bounds",
    "Companion",
    "Holder",
    "ListenFailed",
    "Listener",
    "Supervisor",
    "WorkerFailed",
    "WorkerProcess",
    "open_listener",
    "open_listeners",
    "port_holder",
    "restart_delay_s",
]
