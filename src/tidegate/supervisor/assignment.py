"""What a worker or the control process is to run: the checked configuration, as bytes for the
lifeline.

Workers get the snapshot that was validated, never a path: a file that is being edited when a
worker crashes cannot bring up a worker on something else than its siblings run. Secrets travel
through the pipe only, never through arguments or the environment.
"""

import pickle
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from tidegate.config import Config


@dataclass(frozen=True, slots=True)
class Assignment:
    config: Config
    data_dir: Path
    debug: bool = False
    app_name: str = "tidegate"
    admin_token: SecretStr | None = None
    """What the admin API asks for; None: there is no admin API."""

    def packed(self) -> bytes:
        return pickle.dumps(self, protocol=pickle.HIGHEST_PROTOCOL)

    @staticmethod
    def unpacked(snapshot: bytes) -> "Assignment":
        """Only for bytes from the lifeline, which the supervisor alone can write to."""
        assignment: Assignment = pickle.loads(snapshot)  # noqa: S301 from our own parent process
        return assignment
