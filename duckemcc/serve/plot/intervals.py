"""Intervals: the bounds of each query and segment, of one result or of several side by side."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from duckemcc.errors import OptionError
from duckemcc.serve.plot.bars import draw_bar, draw_legend, draw_words
from duckemcc.serve.plot.canvas import Picture
from duckemcc.serve.plot.dense import DENSE, draw_dense
from duckemcc.serve.plot.drawing import SERIES, Drawing, clean, measure, wrap
from duckemcc.serve.plot.rows import Result, Row, find_axis, name_segment, read_result, show_interval
from duckemcc.serve.plot.scale import Scale, draw_axis, draw_grid

WIDTH = 518.0
"""7.2 inches, the width of a journal's page."""

MARGIN = 12.0
_LABEL, _NUMBER = 8.5, 8.0
_LINE = 10.5
_WIDEST_LABEL = 185.0
_WIDEST_SERIES = 90.0


class Series(NamedTuple):
    """One of the results side by side. name: nothing where there is only one."""

    name: str
    colour: str


class Group(NamedTuple):
    """What stands under one label: a row for each series, None where that result has none."""

    label: str
    rows: tuple[Row | None, ...]


class Panel(NamedTuple):
    """Groups over one axis. heading: the query that they all answer, if there is one; by: what its segments are of."""

    heading: str
    by: str
    low: float
    high: float
    groups: list[Group]


def bounds(table: Any, *, title: str | None = None, sort: str | None = None) -> Picture:
    """Intervals of a result: a bar for the bounds, lighter beyond it to the proven outer bounds, whiskers for
    confidence limits, a mark at each proven end, a diamond where the query is identified; words where there is no
    number.

    table: what `emcc.bounds` returns, or a frame of it. sort: of segments, by "lower", "upper" or "width"; those
    without numbers go last. As the table has them by default; more than 60 segments of a query are always sorted, and
    become a strip without room for each name; of more than 1,500, one in so many is drawn, and the picture says so.
    Raises `OptionError` for another table, none or too many rows, or another order; `NotSupported`, once it is looked
    at, without matplotlib.
    """
    return Picture(draw_intervals({"": table}, title, sort))


def compare(tables: Mapping[str, Any], *, title: str | None = None, sort: str | None = None) -> Picture:
    """The same of several results side by side, ``{"O": registry, "I": trial, "O+I": both}``: what each study adds.

    Rows are matched by segment and query. Options and errors are those of `bounds`; `OptionError` also for more than
    six results, or for segments of different columns.
    """
    if not isinstance(tables, Mapping) or not 0 < len(tables) <= len(SERIES):
        raise OptionError(
            f"compare takes 1 to {len(SERIES)} results by name, as in {{'O': registry, 'I': trial}}; "
            f"found {len(tables) if isinstance(tables, Mapping) else type(tables).__name__}"
        )
    return Picture(draw_intervals(tables, title, sort))


def draw_intervals(tables: Mapping[str, Any], title: str | None = None, sort: str | None = None) -> Drawing:
    """The drawing of `bounds` and `compare`."""
    if sort is not None and sort not in _ORDERS:
        raise OptionError(f"sort is {sort!r}; it may be {', '.join(map(repr, _ORDERS))}, or None for the table's order")
    results = {clean(str(name)): read_result(table) for name, table in tables.items()}
    series = [Series(name, colour) for name, colour in zip(results, SERIES, strict=False)]
    drawing = Drawing(WIDTH)
    y = MARGIN
    for line in wrap(clean(title or ""), 12, WIDTH - 2 * MARGIN, bold=True) if title else ():
        drawing.text(MARGIN, y + 11, line, 12, bold=True)
        y += 16
    used: set[str] = set()
    panels = _arrange(list(results.values()))
    frame = _find_frame([p for p in panels if not _is_dense(p, series)], series)
    for panel in panels:
        dense = _is_dense(panel, series)
        panel = _sort(panel, sort or ("middle" if dense else None))
        if dense:
            y = draw_dense(drawing, panel, series, y + 4, used) + 10
        else:
            y = _draw_panel(drawing, panel, series, frame, y + 4, used) + 10
    drawing.height = draw_legend(drawing, MARGIN, y, used) + MARGIN / 2
    return drawing


# -- what stands where -----------------------------------------------------------------------------


def _arrange(results: Sequence[Result]) -> list[Panel]:
    """A panel for each query over its segments; without segments, queries of the same range share one."""
    by = results[0].by
    if any(r.by != by for r in results):
        raise OptionError(
            f"the results have segments of different columns: {', '.join(str(list(r.by)) for r in results)}"
        )
    table: dict[tuple[str, tuple[str, ...], int], list[Row | None]] = {}
    for k, result in enumerate(results):
        seen: Counter[tuple[str, tuple[str, ...]]] = Counter()
        for row in result.rows:
            key = row.query, row.segment
            table.setdefault((*key, seen[key]), [None] * len(results))[k] = row
            seen[key] += 1
    panels: dict[object, list[tuple[str, list[Row | None]]]] = {}
    for (query, _, _), rows in table.items():
        low, high = find_axis(query, [r for r in rows if r])
        panels.setdefault(query if by else (low, high), []).append((query, rows))
    return [_make_panel(members, " · ".join(map(clean, by))) for members in panels.values()]


def _make_panel(members: Sequence[tuple[str, Sequence[Row | None]]], by: str) -> Panel:
    known = [next(r for r in rows if r) for _, rows in members]
    axes = [find_axis(query, [r for r in rows if r]) for query, rows in members]
    heading = members[0][0] if by else ""
    groups = [
        Group(name_segment(first) if by else query, tuple(rows))
        for first, (query, rows) in zip(known, members, strict=True)
    ]
    return Panel(heading, by, min(low for low, _ in axes), max(high for _, high in axes), groups)


def _middle(row: Row) -> float:
    return (row.lower or 0.0) + (row.upper or 0.0)


_ORDERS: dict[str, Callable[[Row], float]] = {
    "lower": lambda row: row.lower or 0.0,
    "upper": lambda row: row.upper or 0.0,
    "width": lambda row: (row.upper or 0.0) - (row.lower or 0.0),
}


def _sort(panel: Panel, order: str | None) -> Panel:
    """Groups by the last series that has numbers, the rest behind, by their status."""
    if order is None:
        return panel
    value = _ORDERS.get(order, _middle)

    def place(group: Group) -> tuple[bool, str, float]:
        told = [row for row in group.rows if row is not None and row.lower is not None]
        if told:
            return False, "", value(told[-1])
        return True, next((row.status for row in group.rows if row), ""), 0.0

    return panel._replace(groups=sorted(panel.groups, key=place))


# -- a panel with room for every name --------------------------------------------------------------


class Frame(NamedTuple):
    """The columns that all panels share: widths of labels and names of series, and where the axis begins and ends."""

    label: float
    name: float
    left: float
    right: float


def _is_dense(panel: Panel, series: Sequence[Series]) -> bool:
    return len(panel.groups) * len(series) > DENSE


def _find_frame(panels: Sequence[Panel], series: Sequence[Series]) -> Frame:
    groups = [g for p in panels for g in p.groups]
    label = min(_WIDEST_LABEL, max((measure(g.label, _LABEL) for g in groups), default=0) + 1)
    name = min(_WIDEST_SERIES, max(measure(s.name, _LABEL, True) for s in series))
    number = max((measure(_number(row), _NUMBER) for g in groups for row in g.rows if row), default=0)
    left = MARGIN + label + (name + 8 if name else 0) + 14
    return Frame(label, name, left, WIDTH - MARGIN - number - (14 if number else 4))


def _draw_panel(
    drawing: Drawing, panel: Panel, series: Sequence[Series], frame: Frame, y: float, used: set[str]
) -> float:
    for line in wrap(panel.heading, 10, WIDTH - 2 * MARGIN, bold=True) if panel.heading else ():
        drawing.text(MARGIN, y + 10, line, 10, bold=True)
        y += 14
    if panel.by:
        drawing.text(MARGIN, y + 9, wrap(f"by {panel.by}", 8, WIDTH - 2 * MARGIN, most=1)[0], 8, "muted")
        y += 12
    scale = Scale(frame.left, frame.right - frame.left, panel.low, panel.high)
    top, y, grid = y, y + 4, len(drawing.items)
    pitch = 20.0 if len(series) == 1 else 15.0
    for k, group in enumerate(panel.groups):
        lines = wrap(group.label, _LABEL, frame.label)
        height = max(pitch * len(series) + (5 if len(series) > 1 else 0), _LINE * len(lines) + 7)
        if len(series) > 1 and k:
            drawing.line((MARGIN, y), (WIDTH - MARGIN, y), stroke="grid", width=0.6)
        first = y + (height - pitch * len(series)) / 2 + pitch / 2
        at = first if len(series) > 1 else y + height / 2 - _LINE * (len(lines) - 1) / 2
        for i, line in enumerate(lines):
            drawing.text(MARGIN, at + 3 + i * _LINE, line, _LABEL)
        for j, (one, row) in enumerate(zip(series, group.rows, strict=True)):
            middle = first + j * pitch if len(series) > 1 else y + height / 2
            name = wrap(one.name, _LABEL, frame.name + 1, most=1, bold=True)[0]
            drawing.text(frame.left - frame.name - 8, middle + 3, name, _LABEL, one.colour, bold=True)
            _draw_row(drawing, scale, row, middle, pitch, one.colour, used)
        y += height
    _put_below(drawing, grid, scale, top, y + 2)
    return draw_axis(drawing, scale, y + 2)


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
