"""Line charts as inline SVG: raw values faint, smoothed values over them."""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape

from diptych.report.elements import name, note

WIDTH, HEIGHT = 360, 190
LEFT, RIGHT, TOP, BOTTOM = 46, 350, 10, 164
MAX_POINTS = 240
MIN_SMOOTHED = 12
"""Fewer points are not smoothed."""
SMOOTHED_FRACTION = 0.06
"""A smoothed point is the mean over this fraction of all points on either side."""

CURSOR = f'<line class="cursor" y1="{TOP}" y2="{BOTTOM}" x1="0" x2="0" visibility="hidden"/>'

Point = tuple[float, float]


@dataclass(frozen=True)
class Line:
    """A line: its name in the legend, and its points in order of x."""

    name: str
    points: list[Point]


@dataclass(frozen=True)
class Chart:
    """Lines over the number of pictures, on common axes."""

    title: str
    lines: list[Line]
    note: str = ""
    smooth: bool = True


def draw_chart(chart: Chart) -> str:
    """An HTML ``figure`` of ``chart`` with its legend."""
    lines = [Line(line.name, binned(line.points)) for line in chart.lines]
    end = max(x for line in lines for x, _ in line.points) or 1.0
    ticks = nice_ticks([y for line in lines for _, y in line.points])
    low, high = ticks[0], ticks[-1]

    def place(x: float, y: float) -> str:
        return f"{LEFT + (RIGHT - LEFT) * x / end:.1f},{BOTTOM - (BOTTOM - TOP) * (y - low) / (high - low):.1f}"

    body = [*_y_axis(ticks), *_x_axis(end)]
    for index, line in enumerate(lines):
        style = f"line-{index}" if len(lines) > 1 else "line-only"
        curves = [("raw", line.points), ("smooth", smoothed(line.points))]
        if not chart.smooth or len(line.points) < MIN_SMOOTHED:
            curves = [("smooth", line.points)]
        for kind, points in curves:
            if len(points) == 1:
                x, y = place(*points[0]).split(",")
                body.append(f'<circle class="{style}" cx="{x}" cy="{y}" r="3"/>')
            else:
                path = " ".join(place(*point) for point in points)
                body.append(f'<polyline class="{style} {kind}" points="{path}"/>')
    data = [{"name": line.name, "points": [[round(x), float(f"{y:.4g}")] for x, y in line.points]} for line in lines]
    frame = f'data-left="{LEFT / WIDTH}" data-right="{RIGHT / WIDTH}" data-end="{end:g}"'
    last = "; ".join(f"{line.name} {number(line.points[-1][1])}" for line in lines)
    label = escape(f"{chart.title} over pictures seen. Last: {last}")
    drawing = f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}">{"".join(body)}{CURSOR}</svg>'
    legend = f'<p class="legend">{"".join(_legend(lines))}<span class="at"></span></p>'
    attributes = f'class="chart" {frame} data-lines="{escape(json.dumps(data))}"'
    caption = f"<figcaption>{escape(chart.title)}</figcaption>"
    return f"<figure {attributes}>{caption}{drawing}{legend}{note(escape(chart.note))}</figure>"


def _legend(lines: list[Line]) -> Iterator[str]:
    for index, line in enumerate(lines):
        last = number(line.points[-1][1])
        key = f'<i class="key-{index}"></i>' if len(lines) > 1 else ""
        yield f"<span>{key}{name(line.name)} <output>{last}</output></span>"


def _y_axis(ticks: list[float]) -> Iterator[str]:
    for tick in ticks:
        y = BOTTOM - (BOTTOM - TOP) * (tick - ticks[0]) / (ticks[-1] - ticks[0])
        yield f'<line class="rule" x1="{LEFT}" x2="{RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        yield f'<text class="tick" x="{LEFT - 6}" y="{y + 3.5:.1f}" text-anchor="end">{number(tick)}</text>'


def _x_axis(end: float) -> Iterator[str]:
    for tick in nice_ticks([0.0, end]):
        if tick <= end:
            x = LEFT + (RIGHT - LEFT) * tick / end
            anchor = "end" if x > RIGHT - 12 else "middle"
            yield f'<text class="tick" x="{x:.1f}" y="{BOTTOM + 16}" text-anchor="{anchor}">{number(tick)}</text>'


def nice_ticks(values: list[float]) -> list[float]:
    """About 4 round numbers at equal distances that span ``values``; they start at 0 if ``values`` come near it."""
    low, high = min(values), max(values)
    if 0 <= low < 0.6 * high or low == high >= 0:
        low = 0.0
    rough = (high - low) / 4 or abs(high) or 1.0
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [index * step for index in range(first, max(last, first + 1) + 1)]


def number(value: float) -> str:
    """``value`` in a few digits: 1.2M, 340k, 0.25, 2e-05."""
    for size, letter in ((1e6, "M"), (1e4, "k")):
        if abs(value) >= size:
            return f"{value / (1e3 if letter == 'k' else size):.3g}{letter}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def binned(points: list[Point], limit: int = MAX_POINTS) -> list[Point]:
    """At most ``limit`` points, each the mean of neighbours; the last one keeps its x."""
    size = math.ceil(len(points) / limit)
    bins = [points[start : start + size] for start in range(0, len(points), size)]
    return [(part[-1][0], math.fsum(y for _, y in part) / len(part)) for part in bins]


def smoothed(points: list[Point]) -> list[Point]:
    """Replaces each y by the mean over its neighbours; points near the ends have fewer neighbours."""
    reach = max(1, round(SMOOTHED_FRACTION * len(points)))
    smooth = []
    for index, (x, _) in enumerate(points):
        part = points[max(0, index - reach) : index + reach + 1]
        smooth.append((x, math.fsum(y for _, y in part) / len(part)))
    return smooth
