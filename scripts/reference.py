"""Write the reference from the program itself: its commands, and the JSON Schema of its files.

`make docs` runs it; a test holds docs/reference to what it writes.
"""

import os
import subprocess
import sys
from pathlib import Path

COMMANDS = ("typer", "tidegate.cli.application", "utils", "docs", "--name", "tidegate")
SCHEMA = ("tidegate", "config", "schema")


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in reference().items():
        (folder / name).write_text(text)
        sys.stdout.write(f"{folder / name}\n")


def reference() -> dict[str, str]:
    """The files of the reference, by name."""
    return {"commands.md": output_of(COMMANDS), "config.schema.json": output_of(SCHEMA)}


def output_of(command: tuple[str, ...]) -> str:
    module, *arguments = command
    ran = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        # The same text whatever the terminal.
        env={**os.environ, "COLUMNS": "100", "NO_COLOR": "1", "TERM": "dumb"},
        capture_output=True,
        text=True,
        check=True,
    )
    return "\n".join(line.rstrip() for line in ran.stdout.strip().splitlines()) + "\n"


if __name__ == "__main__":
    main(Path(sys.argv[1]))
