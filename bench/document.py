"""Writes runs into the pages of docs, each with the command that repeats it, and their pictures.

A run takes the place of the last one, between two marks; what people wrote around it stays.
"""

import platform
import sysconfig
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

from bench.picture import picture
from bench.report import Summary, tables, verdicts
from bench.rounds import Case

DOCS = Path(__file__).parents[1] / "docs"
LIMITS_FIGURES: Final = DOCS / "limits-figures.md"


class Section(NamedTuple):
    mark: str
    command: str
    text: str


def write_docs(summaries: Mapping[Case, Summary], *, count: int, seconds: int) -> None:
    replace(DOCS / "performance.md", "bench", section(summaries, count=count, seconds=seconds))
    (DOCS / "performance.svg").write_text(picture(summaries))


def put(page: Path, section: Section) -> None:
    """Put a run into its section of `page`, with what repeats it."""
    said = f"Measured on {datetime.now(UTC):%Y-%m-%d} with `{section.command}`: "
    replace(page, section.mark, f"{said}{surroundings_in_words()}.\n\n{section.text}")


def replace(page: Path, mark: str, text: str) -> None:
    begin, end = f"<!-- {mark}: begin -->", f"<!-- {mark}: end -->"
    before, _, rest = page.read_text().partition(begin)
    _, found, after = rest.partition(end)
    if not found:
        raise ValueError(f"{page} has no {begin} … {end}")
    page.write_text(f"{before}{begin}\n{text}\n{end}{after}")


def section(summaries: Mapping[Case, Summary], *, count: int, seconds: int) -> str:
    said = "\n".join(f"- {line}" for line in verdicts(summaries))
    return (
        f"Measured on {datetime.now(UTC):%Y-%m-%d} with `make bench ROUNDS={count} "
        f"SECONDS={seconds}`: {surroundings_in_words()}, all gateways in one run.\n\n"
        "![CPU a request of each gateway beside nginx + Lua + Redis](performance.svg)\n\n"
        f"{tables(summaries)}\n\n{said}"
    )


def surroundings_in_words() -> str:
    options = str(sysconfig.get_config_var("CONFIG_ARGS") or "")
    # Debian's package asks for it by `make profile-opt`, which leaves no trace among the options.
    is_debians = "deb_system" in sysconfig.get_scheme_names()
    build = "with" if "--enable-optimizations" in options or is_debians else "without"
    return (
        f"{platform.system()} {platform.release().partition('-')[0]}, Python "
        f"{platform.python_version()} built {build} profile-guided optimisation"
    )
