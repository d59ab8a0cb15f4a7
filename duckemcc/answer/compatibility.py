"""The report on compatibility: all studies together, and each arm by itself, in each segment."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from duckemcc.answer.arrange import in_order
from duckemcc.answer.bounds import NO_RECORDS, why_incompatible
from duckemcc.answer.options import Clock, Options, timed
from duckemcc.answer.plan import Batch, Kept, prepare
from duckemcc.answer.schema import STUDY_COLUMNS
from duckemcc.bound.bounds import bound_sharply
from duckemcc.bound.sharp import Sharp
from duckemcc.errors import Timeout
from duckemcc.learn.verdict.compatibility import Compatibility
from duckemcc.model.scm import Model
from duckemcc.study.table import CountTable

if TYPE_CHECKING:
    import pyarrow as pa


_log = logging.getLogger(__name__)


@timed
def report(model: Model, tables: Sequence[CountTable], by: tuple[str, ...], options: Options, clock: Clock) -> pa.Table:
    """The compatibility report of counted studies. A segment that there was no time for is a row with a message. Raises
    `Timeout` if there was no time for any."""
    begun = time.monotonic()
    plan = prepare(model, tables, by, options, clock, spread=False)
    clock.reserved = clock.row * plan.segment_count
    rows: dict[int, list[dict[str, Any]]] = {}
    blank = None
    try:
        for batch in plan.batches(clock):
            verdict = plan.judge(batch.kept, every_study=True)
            clock.lap("judge")
            selected = find_selected(batch, range(len(batch.segments)), verdict)
            rows |= {s: describe_segment(batch.kept, verdict, i, selected[i]) for i, s in enumerate(batch.segments)}
            clock.advance("answer", len(rows), plan.segment_count)
    except Timeout as late:
        if not rows:
            raise
        blank = {"message": str(late)}
    sizes = len(rows), plan.segment_count, time.monotonic() - begun
    _log.info("tested the studies of %d of %d segments, %.3f s with compiling and learning", *sizes)
    rows |= dict.fromkeys(plan.empty_segments, NO_ROW)
    return in_order(rows, STUDY_COLUMNS, plan, clock, blank)


NO_ROW: list[dict[str, Any]] = [{"n": 0.0, "patterns": 0, "message": NO_RECORDS}]
"""All that is told of a segment without records."""

Selected: TypeAlias = dict[int, dict[str, float | None]]
"""For each arm that a rule selected from, by its position, the columns on P(selected)."""


def find_selected(batch: Batch, places: Iterable[int], verdict: Compatibility) -> list[Selected]:
    """The range of P(selected) in the segments at these places of a batch, where a rule dropped records."""
    plan = batch.plan
    asked = {k: s for k in range(len(plan.arms)) if (s := _ask_selected(batch, k)) is not None}
    return [{k: _range_of(one, batch, verdict, i) for k, one in asked.items()} for i in places]


def _ask_selected(batch: Batch, k: int) -> Sharp | None:
    """P(selected) in an arm, where a rule dropped records."""
    plan = batch.plan
    query = plan.ask_selected(k)
    if query is None:
        return None
    names = plan.names_of(plan.arm_of[k], batch.likelihood)
    return Sharp(query, plan.learned_model, batch.likelihood, names)


def _range_of(selected: Sharp, batch: Batch, verdict: Compatibility, i: int) -> dict[str, float | None]:
    found = bound_sharply(selected, batch.learned, verdict, i)
    return {"selected_lower": found.lower, "selected_upper": found.upper}


def describe_segment(kept: Kept, verdict: Compatibility, i: int, selected: Selected) -> list[dict[str, Any]]:
    """The rows of a segment: that of all studies together, and of each arm with records."""
    counts = [arm.count[i] for arm in kept.arms]
    why = why_incompatible(verdict.reason[i], bool(kept.converged[i]), int(kept.steps[i]))
    together = {
        "study": None,
        "compatible": bool(verdict.compatible[i]),
        "loglik_gap": float(verdict.loglik_gap[i]),
        "misfit": float(verdict.misfit[i]),
        "p_value": float(verdict.p_value[i]),
        "df": int(verdict.df[i]),
        "independences": int(verdict.independences[i]),
        "n": float(sum(c.sum() for c in counts)),
        "patterns": int(sum((c > 0).sum() for c in counts)),
        "fault": verdict.fault[i],
        "message": why or _untested(verdict, i),
    }
    rows: list[dict[str, Any]] = [together]
    for k, (test, count) in enumerate(zip(verdict.studies, counts, strict=True)):
        if not count.any():
            continue
        rows.append(
            selected.get(k, {})
            | {
                "study": test.name,
                "compatible": bool(test.compatible[i]),
                "loglik_gap": float(test.loglik_gap[i]),
                "misfit": float(test.misfit[i]),
                "p_value": float(test.p_value[i]),
                "df": int(test.df[i]),
                "independences": int(test.independences[i]),
                "n": float(count.sum()),
                "patterns": int((count > 0).sum()),
                "fault": None if test.compatible[i] else test.fault[i],
                "message": test.reason[i],
            }
        )
    return rows


def _untested(verdict: Compatibility, i: int) -> str | None:
    """Where agreement says nothing, that it does not."""
    if verdict.df[i] or verdict.independences[i]:
        return None
    return (
        "nothing was tested: the graph implies no independence of what these studies measured, and its causes fit "
        "whatever they showed, but for inequalities; another study of the same population, such as a trial, could "
        "contradict it"
    )
