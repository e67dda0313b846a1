"""What commands print: rich on a terminal, plain text for pipes and logs, JSON when asked."""

import json
import os
import sys
import time
from collections.abc import Sequence
from typing import Any, Final

RICH_HELP: Final = "rich" if sys.stdout.isatty() else None
"""How help looks: panels and colour on a terminal only."""


def print_line(text: str = "") -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def stop_printing() -> None:
    """After a BrokenPipeError: what is still buffered would raise another at the exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def print_error(text: str) -> None:
    """One message on standard error, `Error:` in red on a terminal."""
    label = "\033[1;31mError:\033[0m" if sys.stderr.isatty() else "Error:"
    sys.stderr.write(f"{label} {text}\n")


def print_note(text: str) -> None:
    """Beside what was asked for, which stays alone on standard output."""
    sys.stderr.write(f"{text}\n")


def print_json(value: Any) -> None:
    print_line(json.dumps(value, indent=2, ensure_ascii=False))


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table; without a terminal, aligned columns that nothing wraps or cuts."""
    if sys.stdout.isatty():
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        table = Table(*columns, box=None, header_style="bold", pad_edge=False)
        for row in rows:
            table.add_row(*(Text(cell) for cell in row))
        Console().print(table)
        return
    widths = [max(len(row[i]) for row in [columns, *rows]) for i in range(len(columns))]
    for row in [columns, *rows]:
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        print_line(line.rstrip())


def print_json_line(value: Any) -> None:
    """For programs that wait for a line."""
    print_line(json.dumps(value, ensure_ascii=False))


def when(at_s: float | None) -> str:
    """Return a time as tables show it, in UTC."""
    if at_s is None:
        return "-"
    return time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime(at_s))
