"""A panel with room for every name: a bar in each row, labels before and numbers behind."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from duckemcc.show.plot.arrange import Group, Panel, Series
from duckemcc.show.plot.bars import draw_bar, draw_words
from duckemcc.show.plot.drawing import Drawing, measure, shorten, wrap
from duckemcc.show.plot.rows import Row, show_interval
from duckemcc.show.plot.scale import TALL, Scale, draw_axis, draw_axis_above, draw_grid

WIDTH = 518.0
"""7.2 inches, the width of a journal's page."""

MARGIN = 12.0
_LABEL, _NUMBER = 8.5, 8.0
_LINE = 10.5
_WIDEST_LABEL = 185.0
_MOST_LINES = 6  # of a label
_WIDEST_FRONT = 225.0  # of a label and the name of a series beside it; beyond, the label stands above


class Frame(NamedTuple):
    """The columns that all panels share: widths of labels and names of series, and where the axis begins and ends.
    above: labels stand above the names, which have the column for themselves."""

    label: float
    name: float
    left: float
    right: float
    above: bool


class Place(NamedTuple):
    """Where a group stands: the lines of its label, its height, and what of that is above its first row."""

    lines: list[str]
    height: float
    above: float


def find_frame(panels: Sequence[Panel], series: Sequence[Series]) -> Frame:
    groups = [g for p in panels for g in p.groups]
    longest = max((measure(g.label, _LABEL) for g in groups), default=0) + 1
    label = min(_WIDEST_LABEL, longest)
    name = max(measure(s.name, _LABEL, True) for s in series)
    above = len(series) > 1 and (label + 8 + name > _WIDEST_FRONT or longest > 2 * _WIDEST_LABEL)
    number = max((measure(_number(row), _NUMBER) for g in groups for row in g.rows if row), default=0)
    right = WIDTH - MARGIN - number - (14 if number else 4)
    if above:
        name = min(_WIDEST_LABEL, name)
        return Frame(WIDTH - 2 * MARGIN, name, MARGIN + name + 14, right, above)
    return Frame(label, name, MARGIN + label + (name + 8 if name else 0) + 14, right, above)


def _find_place(group: Group, series: Sequence[Series], frame: Frame) -> Place:
    lines = wrap(group.label, _LABEL, frame.label, _MOST_LINES)
    rows, words = _pitch(series) * len(series), _LINE * len(lines)
    if frame.above:
        return Place(lines, words + rows + 11, words + 5)
    height = max(rows + (5 if len(series) > 1 else 0), words + 7)
    return Place(lines, height, (height - rows) / 2)


def _pitch(series: Sequence[Series]) -> float:
    return 20.0 if len(series) == 1 else 15.0


def draw_panel(
    drawing: Drawing, panel: Panel, series: Sequence[Series], frame: Frame, y: float, used: set[str]
) -> float:
    for line in wrap(panel.heading, 10, WIDTH - 2 * MARGIN, bold=True) if panel.heading else ():
        drawing.text(MARGIN, y + 10, line, 10, bold=True)
        y += 14
    if panel.by:
        drawing.text(MARGIN, y + 9, wrap(f"by {panel.by}", 8, WIDTH - 2 * MARGIN, most=1)[0], 8, "muted")
        y += 12
    scale = Scale(frame.left, frame.right - frame.left, panel.low, panel.high)
    places = [_find_place(group, series, frame) for group in panel.groups]
    if sum(place.height for place in places) > TALL:
        y += 14
        draw_axis_above(drawing, scale, y)
    top, y, grid = y, y + 4, len(drawing.items)
    for k, (group, place) in enumerate(zip(panel.groups, places, strict=True)):
        if len(series) > 1 and k:
            drawing.line((MARGIN, y), (WIDTH - MARGIN, y), stroke="grid", width=0.6)
        _draw_group(drawing, scale, group, place, series, frame, y, used)
        y += place.height
    _put_below(drawing, grid, scale, top, y + 2)
    return draw_axis(drawing, scale, y + 2)


def _draw_group(
    drawing: Drawing,
    scale: Scale,
    group: Group,
    place: Place,
    series: Sequence[Series],
    frame: Frame,
    y: float,
    used: set[str],
) -> None:
    pitch = _pitch(series)
    first = y + place.above + pitch / 2
    if frame.above:
        at = y + 8
    else:
        at = y + place.height / 2 - _LINE * (len(place.lines) - 1) / 2
        at = min(first, at) if len(series) > 1 else at
    for i, line in enumerate(place.lines):
        if frame.above:  # the grid leaves it room
            drawing.box(MARGIN, at - 6 + i * _LINE, measure(line, _LABEL) + 4, _LINE + 1, "paper")
        drawing.text(MARGIN, at + 3 + i * _LINE, line, _LABEL)
    for j, (one, row) in enumerate(zip(series, group.rows, strict=True)):
        middle = first + j * pitch
        name = shorten(one.name, _LABEL, frame.name + 1, bold=True)
        drawing.text(
            frame.left - frame.name - (14 if frame.above else 8), middle + 3, name, _LABEL, one.colour, bold=True
        )
        _draw_row(drawing, scale, row, middle, pitch, one.colour, used)


def _draw_row(
    drawing: Drawing, scale: Scale, row: Row | None, middle: float, pitch: float, colour: str, used: set[str]
) -> None:
    if row is None:
        draw_words(drawing, scale, "not asked", middle, pitch)
    elif row.lower is None:
        draw_words(drawing, scale, row.reason, middle, pitch)
    else:
        draw_bar(drawing, scale, row, middle, 8.0, colour, used)
        drawing.text(WIDTH - MARGIN, middle + 3, _number(row), _NUMBER, anchor="end")


def _number(row: Row) -> str:
    """Of rows without numbers, nothing; those of incompatible data bear a mark."""
    if row.lower is None or row.upper is None:
        return ""
    return show_interval(row.lower, row.upper) + (" !" if row.doubtful else "")


def _put_below(drawing: Drawing, place: int, scale: Scale, top: float, bottom: float) -> None:
    """The grid, below what was drawn since."""
    above, drawing.items = drawing.items[place:], drawing.items[:place]
    draw_grid(drawing, scale, top, bottom)
    drawing.items += above
