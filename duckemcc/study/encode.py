"""From labels to codes: the states of each variable, the segments, and each study as `StudyCounts`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from math import prod
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from duckemcc.errors import MissingColumn, OptionError, StudyError, TooLarge, UnknownState, given, hint
from duckemcc.learn.counts import StudyCounts
from duckemcc.study.literal import all_named, named, values
from duckemcc.study.table import CountTable

if TYPE_CHECKING:
    import polars as pl

_FEW = 1000  # rows up to which a loop is faster than a query of polars, where studies are many

MOST_COUNTS = 100_000_000  # of one study: segments times patterns, 800 MB


class Encoded(NamedTuple):
    """Studies in codes.

    states:   variable -> its labels, whose positions are the codes; variables in model order
    segments: one row per distinct combination of the `by` columns, sorted, NULLs first, those without a record that
              counts included; without `by` there is one segment, and this frame has no columns and so no rows: ask
              `segment_count`, and choose by `only`
    studies:  in the order of the tables; axis s of their counts is that of the segments
    """

    states: dict[str, tuple[str, ...]]
    segments: pl.DataFrame
    studies: tuple[StudyCounts, ...]

    @property
    def segment_count(self) -> int:
        return len(self.studies[0].count)

    def only(self, places: Sequence[int]) -> Encoded:
        """The same of some segments, by their positions."""
        segments = self.segments[list(places)] if self.segments.width else self.segments
        studies = tuple(replace(study, count=study.count[list(places)]) for study in self.studies)
        return Encoded(self.states, segments, studies)


def encode(
    tables: Sequence[CountTable],
    declared: Mapping[str, tuple[str, ...] | None],
    by: Sequence[str] = (),
    tick: Callable[[], object] = lambda: None,
) -> Encoded:
    """Codes for labels, over all studies at once; -1 for what was not recorded.

    `declared` has the variables in model order with their states, or None where the states are those in the data:
    sorted as numbers if all are integers, otherwise as text. The segments are those of the studies that have them; a
    shared study counts in each. A study's own distribution of a cause U is called ``U@study``. tick: called between
    studies; may raise.

    Raises UnknownState for a label that is not declared, MissingColumn for a variable without states, declared or seen,
    StudyError for segments of different types, TooLarge for more counts than fit into memory, OptionError without
    tables, or where all are shared.
    """
    if not tables:
        raise OptionError("there is no study", remedy="give at least one", option="studies")
    states = {v: _states(tables, v) if given is None else tuple(given) for v, given in declared.items()}
    for table in tables:
        tick()
        for variable, labels in declared.items():
            if labels is not None:
                _check_declared(table, variable, tuple(labels))
    apart = [t for t in tables if not (by and t.shared)]
    if not apart:
        raise all_shared(by)
    segments, positions = _segments(apart, by)
    size = segments.height if by else 1
    place = {t.name: p for t, p in zip(apart, positions, strict=True)}
    studies = []
    for table in tables:
        tick()
        studies.append(_study(table, states, place.get(table.name), size))
    return Encoded(states, segments, tuple(studies))


def all_shared(by: Sequence[str]) -> OptionError:
    return OptionError(
        f"all studies are shared, so none says what the segments by {', '.join(by)} are",
        remedy="leave by out",
        option="by",
    )


def _states(tables: Sequence[CountTable], variable: str) -> tuple[str, ...]:
    seen = {label for t in tables for label in values(t.frame, variable).unique().to_list()} - {None}
    if not seen:
        raise MissingColumn(
            f"no study has a value of {variable}, so its states are not known",
            remedy=f"declare them in the graph: {variable} {{…}}",
            variable=variable,
        )
    return tuple(_sorted(seen))


def _sorted(labels: Iterable[str]) -> list[str]:
    labels = list(labels)
    if all(re.fullmatch(r"-?[0-9]+", label) for label in labels):
        return sorted(labels, key=lambda label: (int(label), label))
    return sorted(labels)


def _check_declared(table: CountTable, variable: str, declared: tuple[str, ...]) -> None:
    import polars as pl

    unknown = table.frame.filter(~named(variable).is_in(list(declared)))  # NULL is neither in nor out
    if unknown.is_empty():
        return
    label, count = (
        unknown.group_by(named(variable)).agg(pl.col("count").sum()).sort(-pl.col("count"), named(variable)).row(0)
    )
    number = f"{count:.0f}" if float(count).is_integer() else f"{count:g}"
    raise UnknownState(
        f"study {table.name!r} has {variable} = {label!r} in {number} record{'' if count == 1 else 's'}; the model "
        f"declares {', '.join(declared)}",
        remedy="Map it with "
        + given("columns", ...)
        + ", or declare the state"
        + ("." + near if (near := hint(label.strip(), declared, "states")) else ""),
        study=table.name,
        variable=variable,
    )


def _segments(tables: Sequence[CountTable], by: Sequence[str]) -> tuple[pl.DataFrame, list[NDArray[np.intp]]]:
    """The distinct segments, and for each table the segment of each of its rows."""
    import polars as pl

    if not by:
        return pl.DataFrame(), [np.zeros(t.frame.height, np.intp) for t in tables]
    for b in by:  # a supertype exists even of integers and dates
        kinds = {_kind(t.frame.schema[b]) for t in tables} - {None}
        if len(kinds) > 1:
            found = "; ".join(f"{t.name} has {t.frame.schema[b]}" for t in tables)
            raise StudyError(
                f"the studies' segments by {b} are of different types: {found}", remedy="Cast them alike", option="by"
            )
    absent = [t.absent.select(all_named(by)) for t in tables if t.absent is not None]
    rows = pl.concat([*(t.frame.select(all_named(by)) for t in tables), *absent], how="vertical_relaxed")
    # Sorted rows start a new segment where they differ from the row before; this takes NULLs and NaN as values.
    ordered = rows.with_row_index("emcc_row").sort(all_named(by), nulls_last=False)
    starts = ordered.select(
        pl.any_horizontal(pl.int_range(pl.len()) == 0, *(b.ne_missing(b.shift()) for b in all_named(by)))
    ).to_series()
    position = np.empty(rows.height, np.intp)
    position[ordered["emcc_row"].to_numpy()] = np.cumsum(starts.to_numpy()) - 1
    ends = np.cumsum([t.frame.height for t in tables])
    return ordered.filter(starts).select(all_named(by)), np.split(position, ends)[: len(tables)]


def _kind(dtype: pl.DataType) -> str | None:
    """What values of a type can be compared with; None for a column of NULLs, which goes with all."""
    import polars as pl

    if isinstance(dtype, pl.Null):
        return None
    if dtype.is_numeric():
        return "number"
    return f"Datetime {dtype.time_zone}" if isinstance(dtype, pl.Datetime) else str(dtype)


def _study(
    table: CountTable, states: Mapping[str, tuple[str, ...]], segment: NDArray[np.intp] | None, segments: int
) -> StudyCounts:
    """segment: of each row of the table; None where each row is in all of them."""
    codes = np.stack([_codes(table, v, labels) for v, labels in states.items()], axis=1)
    patterns, pattern = _distinct(codes, [len(labels) for labels in states.values()])
    if segments * len(patterns) > MOST_COUNTS:
        raise TooLarge(
            f"study {table.name!r} has {len(patterns)} distinct patterns and there are {segments} segments, too "
            "many to be counted together",
            remedy="take fewer segments, or fewer states",
            study=table.name,
        )
    weight = table.frame["count"].to_numpy()
    if segment is None:
        count = np.tile(np.bincount(pattern, weight, len(patterns)).astype(np.float64), (segments, 1))
    else:
        place = segment * len(patterns) + pattern
        found = np.bincount(place, weight, segments * len(patterns)).astype(np.float64)
        count = found.reshape(segments, len(patterns))
    local = {u: f"{u}@{table.name}" for u in table.local}
    return StudyCounts(table.name, tuple(states), table.do, patterns, count, local)


def _distinct(codes: NDArray[np.int32], cards: Sequence[int]) -> tuple[NDArray[np.int32], NDArray[np.intp]]:
    """The distinct rows in lexicographic order, and which of them each row is."""
    if prod(card + 1 for card in cards) >= 2**63:
        patterns, pattern = np.unique(codes, axis=0, return_inverse=True)
        return patterns, pattern.reshape(-1)
    number = np.zeros(len(codes), np.int64)  # to sort numbers takes a tenth of the time
    for column, card in zip(codes.T, cards, strict=True):
        number = number * (card + 1) + (column + 1)
    _, first, pattern = np.unique(number, return_index=True, return_inverse=True)
    return codes[first], pattern.reshape(-1)


def _codes(table: CountTable, variable: str, labels: tuple[str, ...]) -> NDArray[np.int32]:
    import polars as pl

    code = dict(zip(labels, range(len(labels)), strict=True))
    if table.frame.height <= _FEW:
        return np.array([code.get(label, -1) for label in values(table.frame, variable).to_list()], np.int32)
    column = values(table.frame, variable).replace_strict(code, default=-1, return_dtype=pl.Int32)
    return np.asarray(column.to_numpy(), np.int32)
