"""Whether the studies agree with the graph and with each other, and where they do not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from duckemcc.serve.page.strip import draw_frequency, find_scale, show_scale
from duckemcc.serve.page.tags import Html, tag
from duckemcc.serve.plot.patterns import MOST_PATTERNS, Pattern, describe_worst, read_patterns, select_patterns
from duckemcc.serve.plot.rows import require, show_number
from duckemcc.serve.plot.segments import name_value
from duckemcc.serve.result import STUDY_COLUMNS

if TYPE_CHECKING:
    import pyarrow as pa

MOST_SHOWN = 200
"""Rows of the report on compatibility; those that contradict come first."""


def show_agreement(compatibility: pa.Table, frequencies: pa.Table | None) -> Html:
    """The section on compatibility. Raises `OptionError` for tables that are not those of the functions named."""
    require(compatibility, STUDY_COLUMNS, "emcc.compatibility")
    by = [name for name in compatibility.column_names if name not in STUDY_COLUMNS]
    rows = compatibility.to_pylist()
    whole = [row for row in rows if row["study"] is None and row["compatible"] is not None]  # None: not tested
    bad = [row for row in whole if not row["compatible"]]
    return tag(
        "section",
        tag("h2", "Do the studies agree?", id="agreement"),
        tag("p", _summarise(whole, bad)),
        _show_reasons(bad, by),
        _show_table(_worst_first(rows, bad, by), by, len(rows)),
        _show_worst(frequencies, bool(bad)) if frequencies is not None else None,
    )


def _segment(row: Mapping[str, Any], by: Sequence[str]) -> str:
    return " · ".join(name_value(row[name]) for name in by)


def _summarise(whole: Sequence[Mapping[str, Any]], bad: Sequence[Mapping[str, Any]]) -> str:
    if not whole:
        return "There are no records to test."
    if len(whole) == 1:
        word = "contradict the graph or each other" if bad else "agree with the graph and with each other"
        return f"The studies {word}."
    if not bad:
        return f"In each of the {len(whole):,} segments the studies agree with the graph and with each other."
    return f"In {len(bad):,} of {len(whole):,} segments the studies contradict the graph or each other."


def _show_reasons(bad: Sequence[Mapping[str, Any]], by: Sequence[str]) -> Html | None:
    """What to do, and who is to blame, each reason once with the first segment that has it."""
    if not bad:
        return None
    reasons: dict[str, list[Mapping[str, Any]]] = {}
    for row in bad:
        reasons.setdefault(row["message"] or "", []).append(row)
    items = []
    for reason, rows in reasons.items():
        where = f"{_segment(rows[0], by)}: " if by else ""
        more = f" ({len(rows):,} segments)" if len(rows) > 1 else ""
        fault = f" Most of all, {where}{rows[0]['fault']}." if rows[0]["fault"] else ""
        items.append(tag("li", f"{reason}{more}.{fault}"))
    return tag("div", tag("strong", "What to do"), tag("ul", items), class_="todo")


def _worst_first(
    rows: Sequence[Mapping[str, Any]], bad: Sequence[Mapping[str, Any]], by: Sequence[str]
) -> list[Mapping[str, Any]]:
    """Segments that contradict first, otherwise as they come; what all studies say before each arm."""
    wrong = {_segment(row, by) for row in bad}
    return sorted(rows, key=lambda row: _segment(row, by) not in wrong)


def _show_table(rows: Sequence[Mapping[str, Any]], by: Sequence[str], total: int) -> Html:
    first = [" · ".join(by)] if by else []
    columns = (*first, "study", "verdict", "p-value", "misfit", "records")
    head = tag("tr", (tag("th", name, scope="col") for name in columns))
    body = [_show_row(row, by) for row in rows[:MOST_SHOWN]]
    note = (
        "Each study is tested by itself, too. The p-value is that of a likelihood-ratio test against the saturated "
        "model; misfit is the largest distance (total variation) between observed and fitted frequencies in a context."
    )
    if total > MOST_SHOWN:
        note = f"The first {MOST_SHOWN:,} of {total:,} rows, those that contradict before the others. {note}"
    return tag(
        "details" if total > 12 else "div",
        tag("summary", "Every study") if total > 12 else None,
        tag("table", tag("thead", head), tag("tbody", body), class_="stack"),
        tag("p", note, class_="note"),
    )


def _show_row(row: Mapping[str, Any], by: Sequence[str]) -> Html:
    word = {True: "agrees", False: "contradicts", None: "not tested"}[row["compatible"]]
    name = row["study"] if row["study"] is not None else tag("strong", "all together")
    told = row["message"] if row["study"] is not None or row["compatible"] is None else None
    advice = tag("div", told, class_="quiet") if told else None
    return tag(
        "tr",
        tag("th", _segment(row, by), scope="row") if by else None,
        tag("td" if by else "th", name, scope=None if by else "row"),
        tag("td", tag("span", word, class_=f"chip {word.replace(' ', '-')}"), advice),
        tag("td", _show_p(row["p_value"]), class_="number", data_label="p-value"),
        tag("td", "–" if row["misfit"] is None else show_number(row["misfit"]), class_="number", data_label="misfit"),
        tag("td", f"{row['n']:,.10g}", class_="number", data_label="records"),
    )


def _show_p(value: float | None) -> str:
    if value is None:
        return "–"
    return "< 0.0001" if value < 1e-4 else show_number(value)


def _show_worst(frequencies: pa.Table, contradicts: bool) -> Html | None:
    """The study at fault, pattern by pattern."""
    if not contradicts:
        return None
    patterns = select_patterns(read_patterns(frequencies))
    kept = sorted(patterns, key=lambda p: (not p.worst, -p.distance, p.pattern))[:MOST_PATTERNS]
    where = f"{kept[0].segment}: " if kept[0].segment else ""
    columns = ("pattern", show_scale(find_scale(0.0, 1.0)), "observed", "fitted")
    head = tag("tr", (tag("th", name, scope="col", class_="bar" if i == 1 else None) for i, name in enumerate(columns)))
    rest = len(patterns) - len(kept)
    more = f" {rest:,} more patterns are closer to their fit." if rest else ""
    return tag(
        "figure",
        tag("h3", f"Observed and fitted: {where}{kept[0].study}"),
        tag("table", tag("thead", head), tag("tbody", map(_show_pattern, kept)), class_="stack"),
        tag("figcaption", f"Full dots are observed, rings fitted; {describe_worst(patterns)}.{more}"),
    )


def _show_pattern(pattern: Pattern) -> Html:
    name = tag("strong", pattern.pattern) if pattern.stands_out else pattern.pattern
    return tag(
        "tr",
        tag("th", name, scope="row"),
        tag("td", draw_frequency(pattern), class_="bar"),
        tag("td", show_number(pattern.observed), class_="number", data_label="observed"),
        tag("td", show_number(pattern.fitted), class_="number", data_label="fitted"),
    )
