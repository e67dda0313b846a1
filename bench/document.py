"""Writes a run into docs/performance.md and its picture, with the command that repeats it."""

import platform
import sysconfig
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from bench.picture import picture
from bench.report import Summary, tables, verdicts
from bench.rounds import Case

DOCS = Path(__file__).parents[1] / "docs"
BEGIN, END = "<!-- bench: begin -->", "<!-- bench: end -->"


def write_docs(summaries: Mapping[Case, Summary], *, count: int, seconds: int) -> None:
    """Put the run in the place of the last one; what people wrote around it stays."""
    page = DOCS / "performance.md"
    before, _, rest = page.read_text().partition(BEGIN)
    _, found, after = rest.partition(END)
    if not found:
        raise ValueError(f"{page} has no {BEGIN} … {END}")
    written = section(summaries, count=count, seconds=seconds)
    page.write_text(f"{before}{BEGIN}\n{written}\n{END}{after}")
    (DOCS / "performance.svg").write_text(picture(summaries))


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
