"""The commands. `main` is the entry of `tidegate` and of `python -m tidegate`.

One file a command; what is heavy (configuration, store, gateway) is imported inside the command
that needs it, so that help and mistakes answer at once.
"""

from tidegate.cli.application import main

__all__ = ["main"]
