"""What a worker or the control process is to run: the checked configuration, as bytes for the
lifeline.

Workers get the snapshot that was validated, never a path: a file that is being edited when a
worker crashes cannot bring up a worker on something else than its siblings run. Secrets travel
through the pipe only, never through arguments or the environment.
"""

import pickle
import sys
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from tidegate.config import Config
from tidegate.supervisor.link import SupervisorLink
from tidegate.supervisor.log_lines import write_log_lines


@dataclass(frozen=True, slots=True)
class Assignment:
    config: Config
    data_dir: Path
    debug: bool = False
    app_name: str = "tidegate"
    admin_token: SecretStr | None = None
    """What the admin API asks for; None: there is no admin API."""
    workers: int = 1
    """How many this one is among, on its machine."""

    def packed(self) -> bytes:
        return pickle.dumps(self, protocol=pickle.HIGHEST_PROTOCOL)

    @staticmethod
    def unpacked(snapshot: bytes) -> "Assignment":
        """Only for bytes from the lifeline, which the supervisor alone can write to."""
        assignment: Assignment = pickle.loads(snapshot)  # noqa: S301 from our own parent process
        return assignment


def taken_over() -> tuple[SupervisorLink, Assignment] | None:
    """Return what this process was started with, its log set up; None if the supervisor is gone."""
    try:
        link = SupervisorLink.from_arguments(sys.argv[1:])
    except EOFError:
        return None
    assignment = Assignment.unpacked(link.snapshot)
    write_log_lines(debug=assignment.debug, app_name=assignment.app_name)
    return link, assignment
