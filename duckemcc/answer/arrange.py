"""The rows of all segments in their order: those that were answered, and those that say why there is no answer.

There may be a million of the latter, all made when the time is over: so they are made column by column.

Axes: s segment, p distinct pattern, k study.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from duckemcc.answer.options import Clock, Options
from duckemcc.answer.plan import Plan
from duckemcc.answer.schema import COLUMNS, fill_columns, make_columns, put_together
from duckemcc.learn.likelihood import Floats, Ints

if TYPE_CHECKING:
    import pyarrow as pa

_AT_ONCE = 2**20
"""Rows that are put into order together: their texts have less than the 2 GB that an Arrow array of texts holds."""

_Why = tuple[str, str]  # status and message


class Answers(NamedTuple):
    """What is known of each segment, by its position. told: its rows, maybe not of all queries. untold: why it has
    none. late: why all others lack some."""

    queries: list[str]
    told: Mapping[int, list[dict[str, Any]]]
    untold: Mapping[int, _Why]
    late: _Why | None


class Described(NamedTuple):
    """What is known of segments before they are learned. n, patterns [s]; there [k, s]: which studies have records.
    asked: how to ask again."""

    n: Floats
    patterns: Ints
    there: NDArray[np.bool_]
    names: list[str]
    asked: dict[str, Any]

    def row(self, i: int) -> dict[str, Any]:
        """The columns of one of the segments."""
        studies = [self.names[k] for k in np.flatnonzero(self.there[:, i])]
        return self.asked | {"n": float(self.n[i]), "studies": studies, "patterns": int(self.patterns[i])}

    def columns(self, place: Ints) -> dict[str, Any]:
        """The columns of many rows, of which each has its segment's place among those described."""
        import pyarrow as pa

        segment, study = np.nonzero(self.there.T[place])
        offsets = np.searchsorted(segment, np.arange(len(place) + 1))
        studies = pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), pa.array(self.names).take(pa.array(study)))
        return self.asked | {
            "n": pa.array(self.n[place]),
            "studies": studies,
            "patterns": pa.array(self.patterns[place], pa.int64()),
        }


def describe(plan: Plan, segments: Sequence[int] | Ints) -> Described:
    """Sums are taken over the patterns that a segment has, in their order: so they do not depend on other segments."""
    size = len(segments)
    n, patterns = np.zeros(size), np.zeros(size, np.intp)
    there = np.zeros((len(plan.encoded.studies), size), bool)
    for k, study in enumerate(plan.encoded.studies):
        count = study.count[segments]
        segment, pattern = np.nonzero(count > 0)
        n += np.bincount(segment, count[segment, pattern], size)
        own = np.bincount(segment, minlength=size)
        patterns += own
        there[k] = own > 0
    return Described(n, patterns, there, [study.name for study in plan.encoded.studies], how_asked(plan.options))


def how_asked(options: Options) -> dict[str, Any]:
    """The columns that say how to ask again."""
    return {
        "restarts": options.restarts,
        "method": options.method,
        "seed": options.seed,
        "version": _version(),
    }


def arrange(answers: Answers, plan: Plan) -> tuple[pa.Table, Ints]:
    """The rows of all segments, in the order of these and of the queries; and the position of each row's segment."""
    import pyarrow as pa

    size, width = plan.segment_count, len(answers.queries)
    known = np.zeros(size, np.intp)
    known[list(answers.told)] = [len(rows) for rows in answers.told.values()]
    reasons = list(dict.fromkeys([*answers.untold.values(), *([answers.late] if answers.late else [])]))
    number = {reason: k for k, reason in enumerate(reasons)}
    why = np.full(size, number[answers.late] if answers.late else -1)
    why[list(answers.untold)] = [number[reason] for reason in answers.untold.values()]
    step = max(1, _AT_ONCE // width)
    parts = [slice(first, min(first + step, size)) for first in range(0, size, step)]
    tables = [_arrange_some(answers, plan, np.arange(size)[own], known[own], why[own], reasons) for own in parts]
    return pa.concat_tables(tables), np.repeat(np.arange(size), width)


def _arrange_some(
    answers: Answers, plan: Plan, segments: Ints, known: Ints, why: Ints, reasons: Sequence[_Why]
) -> pa.Table:
    """known, why [s]: how many rows are told of each segment, and the number of the reason that others are not."""
    import pyarrow as pa

    width = len(answers.queries)
    told = make_columns([row for s in segments[known > 0].tolist() for row in answers.told[s]], COLUMNS)
    size = int(known.sum())
    own, query = np.repeat(np.arange(len(segments)), width), np.tile(np.arange(width), len(segments))
    answered = query < known[own]
    if answered.all():
        return pa.table(told)
    row = np.where(answered, (np.cumsum(known) - known)[own] + query, 0)
    given = describe(plan, segments).columns(own) | {"query": pa.array(answers.queries).take(pa.array(query))}
    reason = pa.array(np.where(answered, row, size + why[own]))
    for part, name in enumerate(("status", "message")):
        given[name] = pa.concat_arrays([told[name], pa.array([r[part] for r in reasons], pa.string())]).take(reason)
    place = pa.array(row, mask=~answered)
    return pa.table(fill_columns(len(own), {n: told[n].take(place) for n in COLUMNS if n not in given} | given))


def in_order(
    rows: Mapping[int, Sequence[dict[str, Any]]],
    columns: Mapping[str, str],
    plan: Plan,
    clock: Clock,
    blank: Mapping[str, Any] | None = None,
    only: Sequence[int] | None = None,
) -> pa.Table:
    """The table of the rows of each segment. blank: the row of a segment that has none; left out, it has no row. only:
    the segments of the table, ascending; left out, all."""
    import pyarrow as pa

    known = np.zeros(plan.segment_count, np.intp)
    known[list(rows)] = [len(own) for own in rows.values()]
    told = [row for s in np.flatnonzero(known).tolist() for row in rows[s]]
    known = known if only is None else known[list(only)]
    given = make_columns([*told, blank or {}], columns)
    lines = known if blank is None else np.maximum(known, 1)
    place = np.repeat(np.arange(len(lines)), lines)
    answered = known[place] > 0
    row = pa.array(np.where(answered, np.cumsum(answered) - 1, len(told)))
    table = pa.table({name: column.take(row) for name, column in given.items()})
    encoded = plan.encoded if only is None else plan.encoded.only(only)
    return put_together(table, encoded.segments, place, clock.laps)


@cache
def _version() -> str:
    from importlib.metadata import version

    return version("duckemcc")
