"""A replay as an SVG that needs nothing else: 429 over time, and the keys that would meet most."""

import time
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from tidegate.gateway.replay import Replay, Row

WIDTH: Final = 900
LEFT: Final = 60
CHART: Final = 180
TOP: Final = 60
ROW: Final = 26
LABELS: Final = 260
KEYS_MAX: Final = 20
MET, WOULD, INK, GRID = "#9aa4b2", "#cf222e", "#1f2328", "#d0d7de"


def picture(replayed: "Replay", rows: "Sequence[Row]") -> str:
    """Return the SVG; `rows` in the order in which they are to be shown."""
    shown = [row for row in rows if row.met or row.would][:KEYS_MAX]
    top = TOP + CHART + 60
    height = top + 30 + ROW * max(1, len(shown))
    title = "429 that were met, and that would be met by the proposed limits"
    return "\n".join(
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
            'font-family="system-ui, sans-serif" font-size="13" role="img">',
            f"<title>{title}</title>",
            '<rect width="100%" height="100%" fill="#ffffff"/>',
            _text(LEFT, 24, title, weight="bold"),
            f'<rect x="{LEFT}" y="34" width="12" height="12" fill="{MET}"/>',
            _text(LEFT + 18, 45, "met"),
            f'<rect x="{LEFT + 70}" y="34" width="12" height="12" fill="{WOULD}"/>',
            _text(LEFT + 88, 45, "would meet"),
            *_over_time(replayed),
            *_by_key(shown, top),
            "</svg>\n",
        )
    )


def _over_time(replayed: "Replay") -> list[str]:
    base = TOP + CHART
    most = max((max(slot) for slot in replayed.slots), default=0) or 1
    step = (WIDTH - LEFT - 20) / len(replayed.slots)
    shapes = [
        f'<line x1="{LEFT}" y1="{base}" x2="{WIDTH - 20}" y2="{base}" stroke="{GRID}"/>',
        _text(LEFT - 6, TOP + 12, f"{most:,}", anchor="end"),
        _text(LEFT - 6, base, "0", anchor="end"),
        _text(LEFT, base + 20, _at(replayed.since_s)),
        _text(WIDTH - 20, base + 20, _at(replayed.until_s), anchor="end"),
    ]
    for number, slot in enumerate(replayed.slots):
        for place, (count, colour) in enumerate(zip(slot, (MET, WOULD), strict=True)):
            if count:
                tall = max(1.0, count / most * (CHART - 10))
                x = LEFT + number * step + place * step * 0.42
                shapes.append(
                    f'<rect x="{x:.1f}" y="{base - tall:.1f}" width="{step * 0.4:.1f}" '
                    f'height="{tall:.1f}" fill="{colour}"/>'
                )
    return shapes


def _by_key(rows: "Sequence[Row]", top: int) -> list[str]:
    if not rows:
        return [_text(LEFT, top + 20, "No key met 429, and none would.")]
    most = max(max(row.met, row.would) for row in rows)
    room = WIDTH - LABELS - LEFT - 130
    shapes = [_text(LEFT, top, "By key", weight="bold")]
    for number, row in enumerate(rows):
        y = top + 14 + number * ROW
        shapes.append(_text(LEFT, y + 14, f"{row.tenant} / {row.key}"[:38]))
        for place, (count, colour) in enumerate(((row.met, MET), (row.would, WOULD))):
            length = count / most * room
            shapes.append(
                f'<rect x="{LEFT + LABELS}" y="{y + 2 + place * 9}" width="{length:.1f}" '
                f'height="8" fill="{colour}"/>'
            )
        longest = max(row.met, row.would) / most * room
        shapes.append(_text(LEFT + LABELS + longest + 8, y + 14, f"{row.met:,} → {row.would:,}"))
    return shapes


def _at(time_s: float) -> str:
    return time.strftime("%Y-%m-%d %H:%MZ", time.gmtime(time_s))


def _text(x: float, y: float, text: str, weight: str = "normal", anchor: str = "start") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-weight="{weight}" text-anchor="{anchor}" '
        f'fill="{INK}">{escape(text)}</text>'
    )
