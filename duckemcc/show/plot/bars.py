"""The marks of intervals, and the legend that explains those that were used."""

from __future__ import annotations

from collections.abc import Callable

from duckemcc.show.plot.drawing import Drawing, measure, shorten
from duckemcc.show.plot.rows import Row
from duckemcc.show.plot.scale import Scale

_WORDS = 8.0
_LEAST = 1.4  # how wide a bar is at least, in points
DOUBTFUL = "axis"
"""The colour of bounds from incompatible data, whichever series they are of."""

TINT = 0.3
"""How solid outer bounds are, beside bounds."""


def draw_bar(drawing: Drawing, scale: Scale, row: Row, y: float, thickness: float, colour: str, used: set[str]) -> None:
    """One row's interval; `used` takes the kinds of marks."""
    assert row.lower is not None
    assert row.upper is not None
    left, right = scale.at(row.lower), scale.at(row.upper)
    half = thickness / 2
    if row.outer is not None and row.has_outer:
        used.add("outer")
        ends = scale.at(min(row.outer[0], row.lower)), scale.at(max(row.outer[1], row.upper))
        drawing.box(ends[0], y - half, ends[1] - ends[0], thickness, colour, TINT)
    if row.limits is not None:
        used.add("limits")
        drawing.line((scale.at(row.limits[0]), y), (scale.at(row.limits[1]), y), width=1.6)
    if row.doubtful:
        used.add("doubtful")
        _doubt(drawing, left, right, y, half)
    elif row.status == "identified":
        used.add("identified")
        drawing.diamond((left + right) / 2, y, half + 0.8, colour)
    else:
        _solid(drawing, row, left, right, y, half, colour, used)
    for limit in row.limits or ():  # above the bar, which may hide the line
        drawing.line((scale.at(limit), y - half * 0.7), (scale.at(limit), y + half * 0.7), width=1.2)


def _solid(
    drawing: Drawing, row: Row, left: float, right: float, y: float, half: float, colour: str, used: set[str]
) -> None:
    used.add("bounds")
    width = max(right - left, _LEAST)
    drawing.box((left + right - width) / 2, y - half, width, 2 * half, colour)
    for exact, x in ((row.exact_lower, left), (row.exact_upper, right)):
        if exact:
            used.add("exact")
            drawing.line((x, y - half - 2), (x, y + half + 2), stroke="ink", width=1.4)


def _whisker(drawing: Drawing, left: float, right: float, y: float, half: float) -> None:
    drawing.line((left, y), (right, y), stroke="ink", width=0.8)
    for x in (left, right):
        drawing.line((x, y - half), (x, y + half), stroke="ink", width=0.8)


def _doubt(drawing: Drawing, left: float, right: float, y: float, half: float) -> None:
    width = max(right - left, _LEAST)
    drawing.box((left + right - width) / 2, y - half, width, 2 * half, DOUBTFUL)


def draw_words(drawing: Drawing, scale: Scale, words: str, y: float, pitch: float) -> None:
    """A row without numbers: a band that says why, in fewer words where these are too many."""
    if measure(words, _WORDS) > scale.width - 8:
        words = words.partition(":")[0]
    drawing.box(scale.x, y - pitch / 2 + 1.5, scale.width, pitch - 3, "band")
    drawing.text(scale.x + 5, y + 3, shorten(words, _WORDS, scale.width - 8), _WORDS, "muted", italic=True)


def _show_bounds(drawing: Drawing, x: float, y: float) -> None:
    drawing.box(x, y - 3.5, 18, 7, "blue")


def _show_outer(drawing: Drawing, x: float, y: float) -> None:
    drawing.box(x, y - 3.5, 18, 7, "blue", TINT)


def _show_limits(drawing: Drawing, x: float, y: float) -> None:
    _whisker(drawing, x, x + 18, y, 2.8)


def _show_exact(drawing: Drawing, x: float, y: float) -> None:
    drawing.box(x + 3, y - 3.5, 15, 7, "blue")
    drawing.line((x + 3, y - 5.5), (x + 3, y + 5.5), stroke="ink", width=1.4)


def _show_identified(drawing: Drawing, x: float, y: float) -> None:
    drawing.diamond(x + 9, y, 5, "blue")


def _show_doubtful(drawing: Drawing, x: float, y: float) -> None:
    _doubt(drawing, x, x + 18, y, 3.5)


LEGEND: dict[str, tuple[str, Callable[[Drawing, float, float], None]]] = {
    "bounds": ("bounds", _show_bounds),
    "outer": ("the exact end lies in here", _show_outer),
    "exact": ("proven end", _show_exact),
    "identified": ("identified", _show_identified),
    "limits": ("confidence limits", _show_limits),
    "doubtful": ("! best fit of incompatible data", _show_doubtful),
}


def draw_legend(drawing: Drawing, margin: float, y: float, used: set[str], limits: str) -> float:
    """What the marks mean, in as many lines as it takes; returns where it ends. limits: what they are called."""
    x, y = margin, y + 6
    for kind, (words, show) in LEGEND.items():
        if kind not in used:
            continue
        words = limits if kind == "limits" else words
        width = 24 + measure(words, _WORDS) + 14
        if x > margin and x + width > drawing.width - margin:
            x, y = margin, y + 14
        show(drawing, x, y)
        drawing.text(x + 24, y + 3, words, _WORDS, "muted")
        x += width
    return y + 8 if x > margin else y - 6
