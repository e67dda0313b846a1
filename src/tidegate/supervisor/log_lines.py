"""How supervisor and workers write what happens to them: one line each, on standard error."""

import logging
import sys


def write_log_lines(*, debug: bool, app_name: str) -> None:
    """Send the project's log to standard error; `debug` shows every level.

    A gateway that was given a name says it in each line: several may write into one log.
    """
    gateway = "" if app_name == "tidegate" else f" {app_name}"
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        logging.Formatter(f"%(asctime)s{gateway} %(levelname)s %(name)s[%(process)d]: %(message)s")
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("tidegate").setLevel(logging.DEBUG if debug else logging.INFO)
