"""The picture of a run: for each job, a bar for each gateway, as an SVG that needs nothing else.

Lengths are CPU a request beside nginx + Lua + Redis in the same job; a bar that would not fit is
cut, and its number says how long it is.
"""

from collections.abc import Mapping
from html import escape

from bench.gateways import PEER
from bench.jobs import JOBS
from bench.report import LABELS, Summary
from bench.rounds import Case

WIDTH, LABEL_WIDTH, NUMBER_WIDTH = 900, 300, 70
ROW, TITLE, GAP = 22, 34, 10
RATIO_SHOWN_MAX = 6.0
OURS, PEERS, FIRST = "#1f6feb", "#9aa4b2", "#57606a"


def picture(summaries: Mapping[Case, Summary]) -> str:
    """Return the SVG. Jobs that nginx did not do have no measure, and are left out."""
    shapes: list[str] = []
    top = GAP
    for job in JOBS:
        if (PEER, job.name) not in summaries:
            continue
        unit = summaries[PEER, job.name].cpu_us
        shapes.append(_text(0, top + 20, job.label, weight="bold"))
        top += TITLE
        for (gateway, name), of in summaries.items():
            if name == job.name:
                shapes += _bar(gateway, of.cpu_us / unit, top)
                top += ROW
        top += GAP
    title = "CPU a request beside nginx + Lua + Redis (1.0); shorter is better"
    return "\n".join(
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {top + 2 * ROW}" '
            'font-family="system-ui, sans-serif" font-size="13" role="img">',
            f"<title>{title}</title>",
            '<rect width="100%" height="100%" fill="#ffffff"/>',
            *shapes,
            _text(0, top + ROW, title),
            "</svg>\n",
        )
    )


def _bar(gateway: str, ratio: float, top: int) -> list[str]:
    room = WIDTH - LABEL_WIDTH - NUMBER_WIDTH
    length = round(room * min(ratio, RATIO_SHOWN_MAX) / RATIO_SHOWN_MAX)
    colour = FIRST if gateway == PEER else OURS if LABELS[gateway].startswith("Tidegate") else PEERS
    cut = "" if ratio <= RATIO_SHOWN_MAX else " →"
    return [
        _text(12, top + 15, LABELS[gateway]),
        f'<rect x="{LABEL_WIDTH}" y="{top + 3}" width="{length}" height="15" fill="{colour}"/>',
        _text(LABEL_WIDTH + length + 6, top + 15, f"{ratio:.2f}{cut}"),
    ]


def _text(x: int, y: int, text: str, weight: str = "normal") -> str:
    return f'<text x="{x}" y="{y}" font-weight="{weight}" fill="#1f2328">{escape(text)}</text>'
