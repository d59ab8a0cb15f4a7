"""Intervals: the bounds of each query and segment, of one result or of several side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from duckemcc.errors import OptionError
from duckemcc.show.plot.arrange import ORDERS, Panel, Series, arrange, sort_groups
from duckemcc.show.plot.bars import draw_legend
from duckemcc.show.plot.canvas import Picture
from duckemcc.show.plot.dense import DENSE, draw_dense
from duckemcc.show.plot.drawing import SERIES, Drawing, clean, wrap
from duckemcc.show.plot.panel import MARGIN, WIDTH, draw_panel, find_frame
from duckemcc.show.plot.rows import Result, name_limits, read_result

_PHONE = 340.0


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
            f"found {len(tables) if isinstance(tables, Mapping) else type(tables).__name__}",
            option="tables",
        )
    return Picture(draw_intervals(tables, title, sort))


def draw_intervals(tables: Mapping[str, Any], title: str | None = None, sort: str | None = None) -> Drawing:
    """The drawing of `bounds` and `compare`."""
    if sort is not None and sort not in ORDERS:
        raise OptionError(
            f"sort is {sort!r}",
            remedy=f"it may be {', '.join(map(repr, ORDERS))}, or None for the table's order",
            option="sort",
        )
    return draw_results({clean(str(name)): read_result(table) for name, table in tables.items()}, title, sort)


def draw_results(results: Mapping[str, Result], title: str | None = None, sort: str | None = None) -> Drawing:
    """The drawing of results that are read already."""
    series = [Series(name, colour) for name, colour in zip(results, SERIES, strict=False)]
    drawing = Drawing(WIDTH)
    y = MARGIN
    for line in wrap(clean(title or ""), 12, WIDTH - 2 * MARGIN, bold=True) if title else ():
        drawing.text(MARGIN, y + 11, line, 12, bold=True)
        y += 16
    used: set[str] = set()
    panels = arrange(list(results.values()))
    frame = find_frame([p for p in panels if not _is_dense(p, series)], series)
    for panel in panels:
        dense = _is_dense(panel, series)
        panel = sort_groups(panel, sort or ("middle" if dense else None))
        if dense:
            y = draw_dense(drawing, panel, series, y + 4, used) + 10
        else:
            y = draw_panel(drawing, panel, series, frame, y + 4, used) + 10
    limits = name_limits(r.confidence for r in results.values() if any(row.limits for row in r.rows))
    drawing.height = draw_legend(drawing, MARGIN, y, used, limits) + MARGIN / 2
    return drawing


def draw_overview(result: Result) -> Drawing:
    """A strip of the segments of one query, as narrow as a phone."""
    drawing, used = Drawing(_PHONE), set[str]()
    (panel,) = arrange([result])
    y = draw_dense(drawing, sort_groups(panel._replace(heading=""), "middle"), [Series("", SERIES[0])], 0.0, used)
    limits = name_limits([result.confidence])
    drawing.height = draw_legend(drawing, MARGIN, y + 10, used, limits) + MARGIN / 2
    return drawing


def _is_dense(panel: Panel, series: Sequence[Series]) -> bool:
    return len(panel.groups) * len(series) > DENSE
