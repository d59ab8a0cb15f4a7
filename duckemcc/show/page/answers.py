"""The answers: a table for each query, or one for all where there are no segments, with intervals drawn in it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from duckemcc.show.page.strip import draw_interval, draw_legend, find_scale, show_scale
from duckemcc.show.page.tags import Html, draw_inline, tag
from duckemcc.show.plot.dense import DENSE
from duckemcc.show.plot.drawing import shorten
from duckemcc.show.plot.intervals import draw_overview
from duckemcc.show.plot.rows import (
    WORDS,
    Result,
    Row,
    find_axis,
    name_limits,
    name_segment,
    show_interval,
    show_number,
)
from duckemcc.show.plot.scale import Scale

MOST_SHOWN = 300
"""Rows of one table; the others are in the job's output."""

MOST_ROWS_SHOWN = 2000
"""Rows of all tables together; the queries after them have a line each."""

_MOST_NAMED = 12
_MOST_REMEDIES = 12

REMEDIES = {
    "incompatible": "ask compatibility which study contradicts which; correct the graph, or leave the study out",
    "undefined": "condition on something that can happen",
    "no_data": "leave the segment out, or give it a study",
    "too_large": "coarsen the variables that the message names, or ask for less at once",
    "timeout": "raise max_seconds, or lower restarts",
    "invalid": "correct the query",
}
"""What to do about a status, where the row itself does not say."""


def show_answers(result: Result) -> Html:
    """The section with all answers: tables with room for a row each, and beyond that a line for each query."""
    groups, taken = _group(result), 0
    whole: list[list[Row]] = []
    for rows in groups:
        taken += min(len(rows), MOST_SHOWN)
        if whole and taken > MOST_ROWS_SHOWN:
            break
        whole.append(rows)
    blocks = [_show_block(result, rows) for rows in whole]
    limits = name_limits([result.confidence])
    return tag(
        "section",
        tag("h2", "The answer"),
        _show_remedies(result.rows, bool(result.by)),
        draw_legend(result.rows, limits),
        blocks,
        _show_others(groups[len(whole) :]),
        class_="answers",
    )


def _show_others(groups: Sequence[Sequence[Row]]) -> Html | None:
    """The queries whose rows have no room, a line each."""
    if not groups:
        return None
    count = sum(map(len, groups))
    items = [tag("li", tag("code", rows[0].query), f": {summarise(rows)}") for rows in groups[:MOST_SHOWN]]
    if len(groups) > MOST_SHOWN:
        items.append(tag("li", f"and {len(groups) - MOST_SHOWN:,} more queries"))
    return tag(
        "div",
        tag("h3", f"{len(groups):,} more queries"),
        tag("p", f"Their {count:,} rows are in the job's output and not on this page.", class_="note"),
        tag("ul", items),
    )


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


def _show_block(result: Result, rows: Sequence[Row]) -> Html:
    axes = [find_axis(row.query, [row]) for row in rows]
    scale = find_scale(min(low for low, _ in axes), max(high for _, high in axes))
    first = " · ".join(result.by) if result.by else "query"
    columns = (first, show_scale(scale), "bounds", "status")
    head = tag("tr", (tag("th", name, scope="col", class_="bar" if i == 1 else None) for i, name in enumerate(columns)))
    level = f"{name_limits([result.confidence], 'limits')} "
    body = [_show_row(row, bool(result.by), scale, level) for row in rows[:MOST_SHOWN]]
    more = None
    if len(rows) > MOST_SHOWN:
        more = tag("p", f"The first {MOST_SHOWN:,} of {len(rows):,} rows; all are in the job's output.", class_="note")
    return tag(
        "div",
        tag("h3", tag("code", rows[0].query)) if result.by else None,
        _show_overview(result, rows) if result.by else None,
        tag("table", tag("thead", head), tag("tbody", body), class_="stack"),
        more,
    )


def _show_row(row: Row, segments: bool, scale: Scale, level: str) -> Html:
    name = name_segment(row) if segments else tag("code", row.query)
    number, limits = tag("span", "–", class_="dash"), None
    if row.lower is not None and row.upper is not None:
        number = tag("span", show_interval(row.lower, row.upper), class_="whole")
        if row.limits is not None:  # first what includes sampling error, then what takes the sample for exact
            limits = tag("div", level, tag("span", show_interval(*row.limits), class_="whole"))
            number = tag("div", "best fit ", number, class_="quiet")
    credible = None
    if row.credibility is not None:
        credible = tag("div", f"credibility {show_number(row.credibility)}", class_="quiet")
    return tag(
        "tr",
        tag("th", name, scope="row"),
        tag("td", draw_interval(row, scale), class_="bar"),
        tag("td", limits, number, credible, class_="number"),
        tag("td", tag("span", row.status.replace("_", " "), class_=f"chip {_word(row.status)}")),
    )


def _word(status: str) -> str:
    """A status as a class; one that is not ours gets none."""
    return status if status in WORDS else "unknown"


def _show_overview(result: Result, rows: Sequence[Row]) -> Html | None:
    """All segments of a query in one picture, where they are too many to look at one by one."""
    if len(rows) <= DENSE:
        return None
    said = f"All {len(rows):,} segments, sorted: {summarise(rows)}"
    drawing = draw_overview(result._replace(rows=list(rows)))
    return tag("figure", draw_inline(drawing, said), tag("figcaption", said))


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
        for (status, advice), names in list(remedies.items())[:_MOST_REMEDIES]
    ]
    if len(remedies) > _MOST_REMEDIES:
        items.append(tag("li", f"{len(remedies) - _MOST_REMEDIES:,} more messages are in the job's output."))
    return tag("div", tag("strong", "What to do"), tag("ul", items), class_="todo")


def _list(names: Sequence[str]) -> str:
    """The first names, each as long as a line of a phone."""
    short = [shorten(name, 10, 280) for name in names[:_MOST_NAMED]]
    return ", ".join(short) if len(names) <= _MOST_NAMED else f"{len(names):,}, such as {', '.join(short)}"
