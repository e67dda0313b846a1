"""What every room's tests share."""

import os
from pathlib import Path

# Processes that tests start find the package as pytest itself does (`pythonpath` in
# pyproject.toml), installed or not.
_source = str(Path(__file__).parents[1] / "src")
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (_source, os.environ.get("PYTHONPATH"))))
