"""The report on compatibility: all studies together, and each arm by itself, in each segment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from duckemcc.answer.arrange import in_order
from duckemcc.answer.bounds import NO_RECORDS, why_incompatible
from duckemcc.answer.options import Clock, Options, timed
from duckemcc.answer.plan import Job, Part, prepare
from duckemcc.answer.schema import STUDY_COLUMNS
from duckemcc.bound.bounds import bound_sharply
from duckemcc.bound.sharp import Sharp
from duckemcc.errors import Timeout
from duckemcc.model.scm import Model
from duckemcc.query.syntax import Atom, PotentialOutcome, Probability, Query, Setting, Term
from duckemcc.study.selection import KEPT
from duckemcc.study.table import CountTable

if TYPE_CHECKING:
    import pyarrow as pa


MOST_PICKED = 60
"""Segments that an HTML report looks at closely."""


@timed
def report(
    model: Model,
    tables: Sequence[CountTable],
    by: tuple[str, ...],
    options: Options,
    clock: Clock,
    only: Sequence[int] | None = None,
) -> pa.Table:
    """The compatibility report of counted studies. only: positions of the segments to report on, in order. A segment
    that there was no time for is a row with a message. Raises `Timeout` if there was no time for any."""
    job = narrow(prepare(model, tables, by, options, clock), only)
    clock.reserved = clock.row * job.segment_count
    rows: dict[int, list[dict[str, Any]]] = {}
    blank = None
    try:
        _report_parts(job, clock, rows)
    except Timeout as late:
        if not rows:
            raise
        blank = {"message": str(late)}
    rows |= {segment: [{"n": 0.0, "patterns": 0, "message": NO_RECORDS}] for segment in job.empty_segments}
    return in_order(rows, STUDY_COLUMNS, job, clock, blank)


def _report_parts(job: Job, clock: Clock, rows: dict[int, list[dict[str, Any]]]) -> None:
    """Fills the rows of each segment, as far as there is time."""
    for part in job.parts(clock, every_study=True, spread=False):
        selected = [_selected(job, part, k) for k in range(len(job.arms))]
        for i, segment in enumerate(part.segments):
            rows[segment] = _report_segment(part, i, selected)
        clock.advance("answer", len(rows), job.segment_count)


def narrow(job: Job, only: Sequence[int] | None) -> Job:
    """The job of some of its segments; states are those of all."""
    if only is None:
        return job
    places = list(only)
    arms = [replace(arm, count=arm.count[places]) for arm in job.arms]
    return replace(job, arms=arms, encoded=job.encoded.only(places))


def pick_segments(table: pa.Table, queries: int, most: int = MOST_PICKED) -> tuple[list[int] | None, list[int]]:
    """Which segments of a result, by their positions, to look at closely: those that contradict most and then the
    first, or None for all where they are no more than `most`; and the one that contradicts most, if one does."""
    compatible, misfit = (table[name].to_pylist()[::queries] for name in ("compatible", "misfit"))
    bad = sorted((i for i, good in enumerate(compatible) if good is False), key=lambda i: (-misfit[i], i))
    if len(compatible) <= most:
        return None, bad[:1]
    chosen = dict.fromkeys([*bad, *range(most)])
    return sorted(list(chosen)[:most]), bad[:1]


def _selected(job: Job, part: Part, k: int) -> Sharp | None:
    """P(selected) in an arm, where a rule dropped records."""
    arm, selector = job.arms[k], job.selectors.get(job.arm_of[k])
    if selector is None:
        return None
    model = job.learned_model
    place = [(v, model.variables.index(v)) for v in arm.do]
    do = tuple(Setting(v, (model.states[v] or ())[arm.codes[0, column]]) for v, column in place)
    event = (Atom(PotentialOutcome(selector, do), (KEPT,)),)
    query = Query((Term(1.0, Probability(event)),))
    return Sharp(query, model, part.likelihood, job.names_of(job.arm_of[k], part.likelihood))


def _report_segment(part: Part, i: int, selected: Sequence[Sharp | None]) -> list[dict[str, Any]]:
    verdict = part.verdict
    counts = [arm.count[i] for arm in part.arms]
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
        "message": why_incompatible(part, i) or _untested(part, i),
    }
    rows = [together]
    for k, (test, count) in enumerate(zip(verdict.studies, counts, strict=True)):
        if not count.any():
            continue
        rows.append(
            _range_of(selected[k], part, i)
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


def _untested(part: Part, i: int) -> str | None:
    """Where agreement says nothing, that it does not."""
    if part.verdict.df[i] or part.verdict.independences[i]:
        return None
    return (
        "nothing was tested: the graph implies no independence of what these studies measured, and its causes fit "
        "whatever they showed, but for inequalities; another study of the same population, such as a trial, could "
        "contradict it"
    )


def _range_of(selected: Sharp | None, part: Part, i: int) -> dict[str, Any]:
    if selected is None:
        return {}
    found = bound_sharply(selected, part.learned, part.verdict, i)
    return {"selected_lower": found.lower, "selected_upper": found.upper}
