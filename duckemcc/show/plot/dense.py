"""A strip of hundreds of segments, sorted: as many names as there is room for, and a column for each result."""

from __future__ import annotations

from collections.abc import Sequence

from duckemcc.show.plot.arrange import Group, Panel, Series
from duckemcc.show.plot.bars import DOUBTFUL, TINT
from duckemcc.show.plot.drawing import Drawing, Shape, Text, measure, shorten, wrap
from duckemcc.show.plot.rows import Row
from duckemcc.show.plot.scale import TALL, Scale, draw_axis, draw_axis_above, draw_grid

DENSE = 60
"""Intervals of one panel that still have a name each."""

MOST_DRAWN = 1500
"""Segments of a strip at most; of more, every second or third of the sorted ones is drawn, and it says so."""

_TALL = 600.0  # points that a strip should take
_PITCH = 8.6  # points between two names
_NAME = 7.0
_MARGIN = 12.0


def draw_dense(drawing: Drawing, panel: Panel, series: Sequence[Series], y: float, used: set[str]) -> float:
    """The panel from y on; returns where it ends."""
    inside = drawing.width - 2 * _MARGIN
    for line in wrap(panel.heading, 10, inside, bold=True):
        drawing.text(_MARGIN, y + 10, line, 10, bold=True)
        y += 14
    told = [g for g in panel.groups if any(row is not None and row.lower is not None for row in g.rows)]
    silent = panel.groups[len(told) :]
    what = f"segments by {panel.by}" if panel.by else "queries"
    count = f"{len(panel.groups):,} {what}, sorted"
    if len(told) < len(panel.groups):
        count += f"; {len(silent):,} of them without bounds are below"
    if any(row is None or row.lower is None for g in told for row in g.rows):
        count += "; blank where that result alone has none"
    every = -(-len(told) // MOST_DRAWN)
    if every > 1:
        count += f"; one in {every:,} is drawn"
    for line in wrap(count, 8, inside):
        drawing.text(_MARGIN, y + 9, line, 8, "muted")
        y += 11
    y += 3
    if told:
        y = _draw_strip(drawing, panel, told[::every], series, y, used)
    return _list_silent(drawing, silent, y, inside)


def _draw_strip(
    drawing: Drawing, panel: Panel, told: Sequence[Group], series: Sequence[Series], y: float, used: set[str]
) -> float:
    pitch = min(7.0, max(0.8, _TALL / len(told)))
    every = max(1, -int(-_PITCH // pitch))
    named = range(0, len(told), every)
    widest = drawing.width * (0.25 if len(series) > 1 else 0.4)
    label = min(widest, max(measure(told[i].label, _NAME) for i in named))
    left = _MARGIN + label + 8
    gap = 14.0
    width = (drawing.width - _MARGIN - 4 - left - gap * (len(series) - 1)) / len(series)
    height = max(pitch * len(told), _PITCH)
    top = y + (14 if any(s.name for s in series) else 2) + (15 if height > TALL else 0)
    bottom = top + height
    for i in named:
        at = top + (i + 0.5) * pitch
        name = shorten(told[i].label, _NAME, label)
        drawing.text(left - 7, at + 2.4, name, _NAME, "muted", anchor="end")
        drawing.line((left - 5, at), (left - 1, at), stroke="axis", width=0.5)
    for k, one in enumerate(series):
        scale = Scale(left + k * (width + gap), width, panel.low, panel.high)
        drawing.text(scale.x, y + 10, shorten(one.name, 8.5, width, True), 8.5, one.colour, bold=True)
        if height > TALL:
            draw_axis_above(drawing, scale, top - 2)
        draw_grid(drawing, scale, top, bottom)
        strip = Drawing(width)
        for i, group in enumerate(told):
            _draw_thin(strip, scale, group.rows[k], top + i * pitch, pitch, one.colour, used)
        drawing.items += sorted(strip.items, key=_layer)  # as rows do not overlap, those of one look can be one path
        draw_axis(drawing, scale, bottom + 2)
    return bottom + 18


def _layer(item: Text | Shape) -> tuple[int, str]:
    """Outer bounds lowest, then limits, then bounds."""
    assert isinstance(item, Shape)
    return (0 if item.alpha < 1 else 1 if item.stroke else 2), item.fill or ""


def _draw_thin(
    drawing: Drawing, scale: Scale, row: Row | None, top: float, pitch: float, colour: str, used: set[str]
) -> None:
    if row is None or row.lower is None or row.upper is None:
        return
    height = pitch * 0.8 if pitch > 1.5 else pitch
    if row.outer is not None and row.has_outer:
        used.add("outer")
        low, high = scale.at(min(row.outer[0], row.lower)), scale.at(max(row.outer[1], row.upper))
        drawing.box(low, top, high - low, height, colour, TINT)
    if row.limits is not None:
        used.add("limits")
        middle = top + height / 2
        ends = (scale.at(row.limits[0]), middle), (scale.at(row.limits[1]), middle)
        drawing.line(*ends, stroke="axis", width=min(0.7, height / 3))
    used.add("doubtful" if row.doubtful else "bounds")
    left, right = scale.at(row.lower), scale.at(row.upper)
    width = max(right - left, 1.8)
    drawing.box((left + right - width) / 2, top, width, height, DOUBTFUL if row.doubtful else colour)


def _list_silent(drawing: Drawing, silent: Sequence[Group], y: float, width: float) -> float:
    """The segments without numbers by their status: how many, and the names of the first."""
    kinds: dict[str, list[str]] = {}
    for group in silent:
        row = next((row for row in group.rows if row is not None), None)
        kinds.setdefault(row.reason if row else "not asked", []).append(group.label)
    for words, names in kinds.items():
        text = f"{len(names):,} {words}: {', '.join(names[:60])}{' …' if len(names) > 60 else ''}"
        lines = wrap(text, 8, width - 12, most=4)
        drawing.box(_MARGIN, y + 3, width, 11 * len(lines) + 5, "band")
        for i, line in enumerate(lines):
            drawing.text(_MARGIN + 6, y + 13.5 + 11 * i, line, 8, "muted", italic=True)
        y += 11 * len(lines) + 10
    return y
