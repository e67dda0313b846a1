"""How supervisor and workers write what happens to them: one line each, on standard error."""

import logging
import sys
from typing import Final

_FORMAT: Final = "%(asctime)s %(levelname)s %(name)s[%(process)d]: %(message)s"


def write_log_lines(*, debug: bool) -> None:
    """Send the project's log to standard error; `debug` shows every level."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter(_FORMAT))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("tidegate").setLevel(logging.DEBUG if debug else logging.INFO)
