"""What stands where: the rows of one result or of several side by side, in groups, panels and an order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

from duckemcc.errors import OptionError
from duckemcc.show.plot.drawing import clean
from duckemcc.show.plot.rows import Result, Row, find_axis, name_segment


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


def arrange(results: Sequence[Result]) -> list[Panel]:
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


ORDERS: dict[str, Callable[[Row], float]] = {
    "lower": lambda row: row.lower or 0.0,
    "upper": lambda row: row.upper or 0.0,
    "width": lambda row: (row.upper or 0.0) - (row.lower or 0.0),
}


def sort_groups(panel: Panel, order: str | None) -> Panel:
    """Groups by the last series that has numbers, the rest behind, by their status."""
    if order is None:
        return panel
    value = ORDERS.get(order, _middle)

    def place(group: Group) -> tuple[bool, str, float]:
        told = [row for row in group.rows if row is not None and row.lower is not None]
        if told:
            return False, "", value(told[-1])
        return True, next((row.status for row in group.rows if row), ""), 0.0

    return panel._replace(groups=sorted(panel.groups, key=place))
