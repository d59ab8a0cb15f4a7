"""The observed frequencies of each study beside the fitted ones: where data contradict the graph, or each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from duckemcc.answer.api import count_studies, read_model, read_studies
from duckemcc.answer.arrange import in_order
from duckemcc.answer.options import Clock, Options, read_options, timed
from duckemcc.answer.plan import Batch, Kept, Plan, prepare
from duckemcc.answer.schema import check_segment_names
from duckemcc.errors import Timeout
from duckemcc.learn.verdict.frequencies import Frequency, compare_frequencies
from duckemcc.model.scm import Model
from duckemcc.study.study import names_of
from duckemcc.study.table import CountTable

if TYPE_CHECKING:
    import pyarrow as pa

FREQUENCY_COLUMNS: dict[str, str] = {
    "study": "string",
    "pattern": "string",
    "observed": "double",
    "fitted": "double",
    "difference": "double",
    "n": "double",
    "worst": "bool",
    "fault": "bool",
}
"""The columns of the frequencies, after the `by` columns. study: the arm. pattern: ``P(event | context)``. difference:
observed less fitted. n: records in the context. worst: the pattern by which its arm contradicts the fit most. fault:
that by which all studies together do, which the report on compatibility names."""


def frequencies(model: Model | str, studies: Any, *, by: str | Sequence[str] = (), **options: Any) -> pa.Table:
    """What each study saw, beside what the model that fits all records best expects: one row per pattern.

    Arguments as for `bounds`. The patterns are those of the test of compatibility: each variable given what it depends
    on in the network of the measured variables. Returns the `by` columns and those of `FREQUENCY_COLUMNS`. Raises as
    `bounds` does, `OptionError` also for a segment that is called as one of these.
    """
    settings = read_options(options)
    pscm, names = read_model(model), names_of("by", by)
    check_segment_names(names, FREQUENCY_COLUMNS)
    clock = Clock(settings.max_seconds)
    tables = count_studies(pscm, read_studies(studies), settings, names, clock)
    clock.lap("count")
    return tabulate(pscm, tables, names, settings, clock)


@timed
def tabulate(
    model: Model, tables: Sequence[CountTable], by: tuple[str, ...], options: Options, clock: Clock
) -> pa.Table:
    """The frequencies of counted studies. A segment that there was no time for is a row of nulls. Raises `Timeout` if
    there was no time for any."""
    plan = prepare(model, tables, by, options, clock, spread=False)
    clock.reserved = clock.row * plan.segment_count
    rows: dict[int, list[dict[str, Any]]] = {}
    blank: dict[str, Any] | None = None
    try:
        for batch in plan.batches(clock):
            rows |= describe_patterns(plan, batch)
    except Timeout:
        if not rows:
            raise
        blank = {}
    return in_order(rows, FREQUENCY_COLUMNS, plan, clock, blank)


def describe_patterns(plan: Plan, of: Batch | Kept) -> dict[int, list[dict[str, Any]]]:
    """The rows of each of some segments, at the best fit."""
    best = of.learned.best if isinstance(of, Batch) else of.best
    found = compare_frequencies(plan.learned_model, of.arms, best, plan.nulls, of.likelihood.split)
    return {s: [_row(pattern) for pattern in patterns] for s, patterns in zip(of.segments, found, strict=True)}


def _row(pattern: Frequency) -> dict[str, Any]:
    return pattern._asdict() | {"difference": round(pattern.observed - pattern.fitted, 12)}
