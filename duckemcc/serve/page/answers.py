"""The answers: a table for each query, or one for all where there are no segments, with intervals drawn in it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from duckemcc.serve.page.strip import draw_interval, draw_legend, find_scale, show_scale
from duckemcc.serve.page.tags import Html, draw_inline, tag
from duckemcc.serve.plot.dense import DENSE
from duckemcc.serve.plot.drawing import shorten
from duckemcc.serve.plot.intervals import draw_intervals
from duckemcc.serve.plot.rows import MOST_ROWS, WORDS, Result, Row, find_axis, name_segment, show_interval
from duckemcc.serve.plot.scale import Scale

if TYPE_CHECKING:
    import pyarrow as pa

MOST_SHOWN = 500
"""Rows of one table; the others are in the job's output."""

_MOST_NAMED = 12

REMEDIES = {
    "incompatible": "ask compatibility which study contradicts which; correct the graph, or leave the study out",
    "undefined": "condition on something that can happen",
    "no_data": "leave the segment out, or give it a study",
    "too_large": "coarsen the variables that the message names, or ask for less at once",
    "timeout": "raise max_seconds, or lower restarts",
    "invalid": "correct the query",
}
"""What to do about a status, where the row itself does not say."""


def show_answers(table: pa.Table, result: Result) -> Html:
    """The section with all answers."""
    blocks = [_show_block(table, result, rows) for rows in _group(result)]
    remedies = _show_remedies(result.rows, bool(result.by))
    return tag("section", tag("h2", "The answer"), remedies, draw_legend(result.rows), blocks, class_="answers")


def summarise(rows: Sequence[Row]) -> str:
    """How many answers have which status, in a sentence."""
    counts = Counter(row.status for row in rows)
    known = [status for status in WORDS if counts[status]] + [s for s in counts if s not in WORDS]
    if len(rows) == 1:
        return f"One answer: {rows[0].words}."
    if len(known) == 1:
        return f"{len(rows):,} answers, all {known[0].replace('_', ' ')}."
    return f"{len(rows):,} answers: " + ", ".join(f"{counts[s]:,} {s.replace('_', ' ')}" for s in known) + "."


def _group(result: Result) -> list[list[Row]]:
    """Rows by query where there are segments; otherwise by the range that a query can have."""
    groups: dict[object, list[Row]] = {}
    for row in result.rows:
        groups.setdefault(row.query if result.by else find_axis(row.query, [row]), []).append(row)
    return list(groups.values())


def _show_block(table: pa.Table, result: Result, rows: Sequence[Row]) -> Html:
    axes = [find_axis(row.query, [row]) for row in rows]
    scale = find_scale(min(low for low, _ in axes), max(high for _, high in axes))
    first = " · ".join(result.by) if result.by else "query"
    columns = (first, show_scale(scale), "bounds", "status")
    head = tag("tr", (tag("th", name, scope="col", class_="bar" if i == 1 else None) for i, name in enumerate(columns)))
    body = [_show_row(row, bool(result.by), scale) for row in rows[:MOST_SHOWN]]
    more = None
    if len(rows) > MOST_SHOWN:
        more = tag("p", f"The first {MOST_SHOWN:,} of {len(rows):,} rows; all are in the job's output.", class_="note")
    return tag(
        "div",
        tag("h3", tag("code", rows[0].query)) if result.by else None,
        _show_overview(table, rows) if result.by else None,
        tag("table", tag("thead", head), tag("tbody", body), class_="stack"),
        more,
    )


def _show_row(row: Row, segments: bool, scale: Scale) -> Html:
    name = name_segment(row) if segments else tag("code", row.query)
    number, limits = tag("span", "–", class_="dash"), None
    if row.lower is not None and row.upper is not None:
        number = tag("span", show_interval(row.lower, row.upper), class_="whole")
        if row.limits is not None:
            limits = tag("div", "limits ", tag("span", show_interval(*row.limits), class_="whole"), class_="quiet")
    return tag(
        "tr",
        tag("th", name, scope="row"),
        tag("td", draw_interval(row, scale), class_="bar"),
        tag("td", number, limits, class_="number"),
        tag("td", tag("span", row.status.replace("_", " "), class_=f"chip {_word(row.status)}")),
    )


def _word(status: str) -> str:
    """A status as a class; one that is not ours gets none."""
    return status if status in WORDS else "unknown"


def _show_overview(table: pa.Table, rows: Sequence[Row]) -> Html | None:
    """All segments of a query in one picture, where they are too many to look at one by one."""
    if not DENSE < len(rows) <= MOST_ROWS:
        return None
    import pyarrow.compute as pc

    own = table.filter(pc.equal(table["query"], rows[0].query))
    if not own.num_rows:  # a query with signs that are shown in another way
        return None
    said = f"All {len(rows):,} segments, sorted: {summarise(rows)}"
    return tag("figure", draw_inline(draw_intervals({"": own}), said), tag("figcaption", said))


def _show_remedies(rows: Sequence[Row], segments: bool) -> Html | None:
    """What to do about the rows that are not all they could be, each thing once."""
    remedies: dict[tuple[str, str], dict[str, None]] = {}
    for row in rows:
        advice = row.message or REMEDIES.get(row.status)
        if advice:
            remedies.setdefault((row.status, advice), {})[name_segment(row) if segments else row.query] = None
    if not remedies:
        return None
    items = [
        tag("li", tag("strong", f"{status.replace('_', ' ')}"), f" ({_list(list(names))}): {advice}.")
        for (status, advice), names in remedies.items()
    ]
    return tag("div", tag("strong", "What to do"), tag("ul", items), class_="todo")


def _list(names: Sequence[str]) -> str:
    """The first names, each as long as a line of a phone."""
    short = [shorten(name, 10, 280) for name in names[:_MOST_NAMED]]
    return ", ".join(short) if len(names) <= _MOST_NAMED else f"{len(names):,}, such as {', '.join(short)}"
