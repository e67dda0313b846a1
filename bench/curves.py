"""Pictures of figures over the size of a fleet: small panels with one line a mode, as plain SVG.

Both axes may be logarithmic; what does not fit (0 on a logarithmic one) lies on the lower edge.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from math import log10

PANEL_WIDTH, PANEL_HEIGHT, LEFT, TOP, GAP = 290, 190, 56, 34, 26
COLUMNS = 3
COLOURS = {"exact": "#1f6feb", "regional": "#8250df", "leased": "#1a7f37", "local": "#cf222e"}
OTHER = "#57606a"


@dataclass(frozen=True, slots=True)
class Panel:
    title: str
    lines: Mapping[str, Sequence[tuple[float, float]]]
    low: float
    high: float
    """Of the vertical axis."""
    marks: Sequence[tuple[float, str]]
    is_log: bool = False


def curves(title: str, panels: Sequence[Panel]) -> str:
    """Return the SVG: the panels in rows, and below them which line is which."""
    rows = -(-len(panels) // COLUMNS)
    width = COLUMNS * (PANEL_WIDTH + GAP) + GAP
    height = rows * (PANEL_HEIGHT + TOP + GAP) + 2 * TOP
    shapes = [_text(GAP, 22, title, weight="bold")]
    for number, panel in enumerate(panels):
        left = GAP + number % COLUMNS * (PANEL_WIDTH + GAP)
        top = TOP + number // COLUMNS * (PANEL_HEIGHT + TOP + GAP)
        shapes += _panel(panel, left, top)
    at = GAP
    for name in dict.fromkeys(name for panel in panels for name in panel.lines):
        colour = COLOURS.get(name, OTHER)
        shapes.append(f'<rect x="{at}" y="{height - 22}" width="16" height="4" fill="{colour}"/>')
        shapes.append(_text(at + 22, height - 15, name))
        at += 40 + 9 * len(name)
    return "\n".join(
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
            'font-family="system-ui, sans-serif" font-size="12" role="img">',
            f"<title>{escape(title)}</title>",
            '<rect width="100%" height="100%" fill="#ffffff"/>',
            *shapes,
            "</svg>\n",
        )
    )


def _panel(panel: Panel, left: float, top: float) -> list[str]:
    base, right = top + TOP + PANEL_HEIGHT, left + PANEL_WIDTH
    shapes = [_text(left + LEFT, top + 24, panel.title)]
    for value, mark in panel.marks:
        y = _height(panel, value, base)
        shapes.append(_line([(left + LEFT, y), (right, y)], "#d0d7de", 1))
        shapes.append(_text(left + LEFT - 6, y + 4, mark, anchor="end"))
    sizes = sorted({size for points in panel.lines.values() for size, _ in points})
    across = [log10(size) for size in sizes]
    span = (across[-1] - across[0]) or 1
    place = {
        size: left + LEFT + 8 + (at - across[0]) / span * (PANEL_WIDTH - LEFT - 24)
        for size, at in zip(sizes, across, strict=True)
    }
    shapes += [_text(place[size], base + 16, f"{size:,.0f}", anchor="middle") for size in sizes]
    for number, (name, points) in enumerate(panel.lines.items()):
        drawn = [(place[size], _height(panel, value, base)) for size, value in points]
        colour = COLOURS.get(name, OTHER)
        # What is drawn first is wider: lines that lie on each other are all seen.
        shapes.append(_line(drawn, colour, 2 * (len(panel.lines) - number)))
        shapes += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in drawn]
    return shapes


def _height(panel: Panel, value: float, base: float) -> float:
    if panel.is_log:
        low, high = log10(panel.low), log10(panel.high)
        share = (log10(max(value, panel.low)) - low) / (high - low)
    else:
        share = (value - panel.low) / (panel.high - panel.low)
    return base - min(1.0, max(0.0, share)) * (PANEL_HEIGHT - 8)


def _line(points: Sequence[tuple[float, float]], colour: str, width: int) -> str:
    joined = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polyline points="{joined}" fill="none" stroke="{colour}" stroke-width="{width}"/>'


def _text(x: float, y: float, text: str, weight: str = "normal", anchor: str = "start") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-weight="{weight}" text-anchor="{anchor}" '
        f'fill="#1f2328">{escape(text)}</text>'
    )
