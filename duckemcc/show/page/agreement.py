"""Whether the studies agree with the graph and with each other, and where they do not."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from duckemcc.answer.schema import STUDY_COLUMNS, was_untested
from duckemcc.show.page.strip import draw_frequency, find_scale, show_scale
from duckemcc.show.page.tags import Html, join, tag
from duckemcc.show.plot.patterns import (
    Arm,
    Pattern,
    describe_rest,
    describe_worst,
    read_worst,
    select_arms,
    show_difference,
)
from duckemcc.show.plot.rows import require, show_number
from duckemcc.show.plot.segments import name_value, name_values, order_segments, read_segments

if TYPE_CHECKING:
    import pyarrow as pa

MOST_SHOWN = 200
"""Rows of the report on compatibility; those that contradict come first."""

_MOST_REASONS = 12


class Verdict(NamedTuple):
    """What all studies of a segment say together."""

    segment: tuple[Any, ...]
    compatible: bool
    message: str | None
    fault: str | None

    @property
    def name(self) -> str:
        return " · ".join(name_values(self.segment))


_TITLE = tag("h2", "Do the studies agree?", id="agreement")


def show_late(late: str | None) -> Html | None:
    """The section on compatibility if there was no time for any; no section if that is not why there is none."""
    if late is None:
        return None
    return tag("section", _TITLE, tag("p", f"There was no time to test that: {late}."))


def show_agreement(
    bounds: pa.Table, compatibility: pa.Table, frequencies: pa.Table | None, late: str | None = None
) -> Html:
    """The section on compatibility. late: said if a part of it is missing as the time was over. Raises `OptionError`
    for tables that are not those of the functions named."""
    require(compatibility, STUDY_COLUMNS, "emcc.compatibility")
    by = [name for name in compatibility.column_names if name not in STUDY_COLUMNS]
    verdicts = _read_verdicts(bounds, compatibility, by)
    bad = [verdict for verdict in verdicts if not verdict.compatible]
    return tag(
        "section",
        _TITLE,
        tag("p", _summarise(verdicts, bad, _untested(compatibility, by))),
        _show_reasons(bad),
        _show_table(compatibility, by, {verdict.segment for verdict in bad}, len(verdicts)),
        _show_worst(frequencies) if frequencies is not None and bad else None,
        tag("p", f"There was no time for all of it: {late}.", class_="note") if late is not None else None,
    )


def _read_verdicts(bounds: pa.Table, compatibility: pa.Table, by: Sequence[str]) -> list[Verdict]:
    """Of each segment that was tested: by the report on compatibility, and where that leaves it out, by the bounds."""
    import pyarrow.compute as pc

    found: dict[tuple[Any, ...], Verdict] = {}
    if {*by, "compatible", "message", "fault", "status"} <= set(bounds.column_names):
        for verdict, status in zip(_verdicts(bounds, by), bounds["status"].to_pylist(), strict=True):
            # of another status, the message is about that
            found.setdefault(verdict.segment, verdict if status == "incompatible" else verdict._replace(message=None))
    found |= {v.segment: v for v in _verdicts(compatibility.filter(pc.is_null(compatibility["study"])), by)}
    told, order = list(found.values()), order_segments(list(found))
    return [v for v in (told if order is None else [told[i] for i in order]) if v.compatible is not None]


def _verdicts(table: pa.Table, by: Sequence[str]) -> Iterable[Verdict]:
    columns = (table[name].to_pylist() for name in ("compatible", "message", "fault"))
    return map(Verdict, read_segments(table, by), *columns)


def _untested(compatibility: pa.Table, by: Sequence[str]) -> Collection[tuple[Any, ...]]:
    """The segments in which nothing could contradict anything."""
    segments = read_segments(compatibility, by)
    rows = compatibility.select(["study", "compatible", "df", "independences"]).to_pylist()
    told = zip(segments, rows, strict=True)
    return {s for s, row in told if row["study"] is None and row["compatible"] and was_untested(row)}


def _summarise(verdicts: Sequence[Verdict], bad: Sequence[Verdict], untested: Collection[tuple[Any, ...]]) -> str:
    if not verdicts:
        return "There are no records to test."
    if untested and len(untested) == len(verdicts):
        where = "The" if len(verdicts) == 1 else f"In each of the {len(verdicts):,} segments the"
        return f"{where} studies agree, but nothing was tested: they could contradict neither the graph nor each other."
    if untested:
        return f"{_summarise(verdicts, bad, ())} In {len(untested):,} of them nothing could be tested."
    if len(verdicts) == 1:
        word = "contradict the graph or each other" if bad else "agree with the graph and with each other"
        return f"The studies {word}."
    if not bad:
        return f"In each of the {len(verdicts):,} segments the studies agree with the graph and with each other."
    return f"In {len(bad):,} of {len(verdicts):,} segments the studies contradict the graph or each other."


def _show_reasons(bad: Sequence[Verdict]) -> Html | None:
    """What to do, and who is to blame, each reason once with the first segment that has it."""
    if not bad:
        return None
    reasons: dict[str, list[Verdict]] = {}
    for verdict in bad:
        reasons.setdefault(verdict.message or "", []).append(verdict)
    items = []
    for reason, own in list(reasons.items())[:_MOST_REASONS]:
        where = f"{own[0].name}: " if own[0].segment else ""
        more = f" ({len(own):,} segments)" if len(own) > 1 else ""
        fault = f" Most of all, {where}{own[0].fault}." if own[0].fault else ""
        items.append(tag("li", f"{reason or 'ask compatibility what contradicts what'}{more}.{fault}"))
    if len(reasons) > _MOST_REASONS:
        items.append(tag("li", f"{len(reasons) - _MOST_REASONS:,} more reasons are in the job's output."))
    return tag("div", tag("strong", "What to do"), tag("ul", items), class_="todo")


def _show_table(table: pa.Table, by: Sequence[str], bad: Collection[tuple[Any, ...]], total: int) -> Html:
    """Segments that contradict first, otherwise as they come; what all studies say before each arm."""
    segments = read_segments(table, by)
    order = order_segments(segments) or range(len(segments))
    shown = sorted(order, key=lambda i: segments[i] not in bad)[:MOST_SHOWN]
    rows = table.take(list(shown)).to_pylist()
    first = [" · ".join(by)] if by else []
    columns = (*first, "study", "verdict", "p-value", "misfit", "records")
    head = tag("tr", (tag("th", name, scope="col") for name in columns))
    note = (
        "Each study is tested by itself, too: its p-value is that of a likelihood-ratio test of its own records "
        "against the saturated model, or of the independence of the graph that its records violate most. Its misfit is "
        "how far its records are from the fit of all studies together: the largest distance (total variation) between "
        "observed and fitted frequencies in one context; of an independence, the share of records out of place."
    )
    told = len({segments[i] for i in shown})
    if told < total:
        note = f"{told:,} of {total:,} segments, those that contradict before the others. {note}"
    return tag(
        "details" if len(rows) > 12 else "div",
        tag("summary", "Every study") if len(rows) > 12 else None,
        tag("table", tag("thead", head), tag("tbody", (_show_row(row, by) for row in rows)), class_="stack"),
        tag("p", note, class_="note"),
    )


def _show_row(row: Mapping[str, Any], by: Sequence[str]) -> Html:
    verdict = None if row["compatible"] and was_untested(row) else row["compatible"]
    word = {True: "agrees", False: "contradicts", None: "not tested"}[verdict]
    name = row["study"] if row["study"] is not None else tag("strong", "all together")
    told = row["message"] if row["study"] is not None or verdict is None else None
    advice = tag("div", told, class_="quiet") if told else None
    shown = word if row["study"] is None or verdict is None else f"{word} by itself"
    return tag(
        "tr",
        tag("th", " · ".join(name_value(row[name]) for name in by), scope="row") if by else None,
        tag("td" if by else "th", name, scope=None if by else "row"),
        tag("td", tag("span", shown, class_=f"chip {word.replace(' ', '-')}"), advice),
        tag("td", _show_p(None if verdict is None else row["p_value"]), class_="number", data_label="p-value"),
        tag("td", "–" if row["misfit"] is None else show_number(row["misfit"]), class_="number", data_label="misfit"),
        tag("td", "–" if row["n"] is None else f"{row['n']:,.10g}", class_="number", data_label="records"),
    )


def _show_p(value: float | None) -> str:
    if value is None:
        return "–"
    return "< 0.0001" if value < 1e-4 else show_number(value)


def _show_worst(frequencies: pa.Table) -> Html:
    """What the studies at fault saw, pattern by pattern, in the segment that is the worst."""
    arms, rest = select_arms(read_worst(frequencies))
    where = f" in {arms[0].segment}" if arms[0].segment else ""
    return tag(
        "figure",
        tag("h3", f"Observed and fitted{where}"),
        (_show_arm(arm) for arm in arms),
        tag("p", f"{describe_rest(rest)}.", class_="note") if rest else None,
        tag("figcaption", f"Full dots are observed, rings fitted; {describe_worst(arms)}."),
    )


def _show_arm(arm: Arm) -> Html:
    columns = ("pattern", show_scale(find_scale(0.0, 1.0)), "observed", "fitted", "difference")
    head = tag("tr", (tag("th", name, scope="col", class_="bar" if i == 1 else None) for i, name in enumerate(columns)))
    return join(
        tag("h4", arm.study),
        tag("table", tag("thead", head), tag("tbody", map(_show_pattern, arm.patterns)), class_="stack patterns"),
        tag("p", f"{arm.rest:,} more patterns are closer to their fit.", class_="note") if arm.rest else None,
    )


def _show_pattern(pattern: Pattern) -> Html:
    name = tag("strong", pattern.pattern) if pattern.stands_out else pattern.pattern
    return tag(
        "tr",
        tag("th", name, scope="row"),
        tag("td", draw_frequency(pattern), class_="bar"),
        tag("td", show_number(pattern.observed), class_="number", data_label="observed"),
        tag("td", show_number(pattern.fitted), class_="number", data_label="fitted"),
        tag("td", show_difference(pattern), class_="number", data_label="difference"),
    )
