"""From learned models to rows: the result of a query in each segment, and the report on compatibility."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from typing import TYPE_CHECKING, Any

from duckemcc.bound.bounds import bound
from duckemcc.errors import Timeout, TooLarge
from duckemcc.model.scm import Model
from duckemcc.query.event import Compiled
from duckemcc.query.syntax import Query
from duckemcc.serve.options import Clock, Options
from duckemcc.serve.result import COLUMNS, STUDY_COLUMNS, make_table
from duckemcc.serve.work import Job, Part, prepare
from duckemcc.study.read import CountTable

if TYPE_CHECKING:
    import pyarrow as pa


def answer(
    model: Model,
    tables: Sequence[CountTable],
    queries: Sequence[tuple[str, Query]],
    by: tuple[str, ...],
    options: Options,
    clock: Clock,
) -> pa.Table:
    """The result table of counted studies."""
    job = prepare(model, tables, by, options)
    compiled = [_compile(q, job.model) for _, q in queries]
    rows: list[dict[str, Any]] = []
    try:
        for part in job.parts(clock):
            for i, segment in enumerate(part.segments):
                shared = _shared_columns(job, part, i, segment)
                for (text, _), evaluate in zip(queries, compiled, strict=True):
                    rows.append({"query": text} | shared | _answer_one(evaluate, part, i, options))
            clock.lap("bound")
    except Timeout as late:
        for segment in range(len(rows) // len(queries), job.segment_count):
            shared = _described(job, segment) | {"status": "timeout", "message": str(late)}
            rows.extend({"query": text} | shared for text, _ in queries)
    place = [s for s in range(job.segment_count) for _ in queries]
    return make_table(rows, COLUMNS, job.encoded.segments, place, clock.laps)


def _compile(asked: Query, model: Model) -> Compiled | TooLarge:
    try:
        return Compiled(asked, model)
    except TooLarge as large:
        return large


def _answer_one(evaluate: Compiled | TooLarge, part: Part, i: int, options: Options) -> dict[str, Any]:
    """The columns that depend on the query."""
    incompatible = not part.verdict.compatible[i]
    if isinstance(evaluate, TooLarge):
        return {"status": "too_large", "message": str(evaluate)}
    if incompatible and (options.incompatible == "null" or not isfinite(part.verdict.loglik_gap[i])):
        return {"status": "incompatible", "message": part.verdict.reason[i]}
    found = bound(evaluate, part.learned.chances, i, int(part.learned.kept[i]))
    answer = dict[str, Any](found._asdict())
    if found.lower is not None:
        answer |= {"exact_lower": False, "exact_upper": False}  # restarts prove nothing
    if found.status == "undefined":
        answer["message"] = (
            "the condition has probability zero in every learned model; condition on something that can happen"
        )
    else:
        answer["message"] = _advise(part, i, options)
    return answer | ({"status": "incompatible", "message": part.verdict.reason[i]} if incompatible else {})


def _advise(part: Part, i: int, options: Options) -> str | None:
    if not part.learned.converged[i]:
        remedy = "raise max_steps" if options.accelerate else "raise max_steps, or leave accelerate on"
        return f"EM stopped after {part.learned.steps[i]} steps before it converged, so the bounds may be off; {remedy}"
    kept = int(part.learned.kept[i])
    if kept < options.restarts and kept < 10:
        return (
            f"only {kept} of {options.restarts} restarts reached the maximum, so the bounds are narrow; raise restarts"
        )
    return None


def _described(job: Job, segment: int) -> dict[str, Any]:
    """What is known of a segment before it is learned."""
    present = [(s.name, s.count[segment]) for s in job.encoded.studies if s.count[segment].any()]
    options = job.options
    return {
        "n": float(sum(count.sum() for _, count in present)),
        "studies": [name for name, _ in present],
        "patterns": int(sum((count > 0).sum() for _, count in present)),
        "restarts": options.restarts,
        "method": options.method,
        "seed": options.seed,
        "version": _version(),
    }


def _shared_columns(job: Job, part: Part, i: int, segment: int) -> dict[str, Any]:
    """The columns that are the same for all queries of a segment."""
    learned, verdict = part.learned, part.verdict
    return _described(job, segment) | {
        "compatible": bool(verdict.compatible[i]),
        "misfit": float(verdict.misfit[i]),
        "loglik_gap": float(verdict.loglik_gap[i]),
        "p_value": float(verdict.p_value[i]),
        "fault": verdict.fault[i],
        "optimality_gap": float(learned.optimality_gap[i]),
        "kept": int(learned.kept[i]),
        "converged": bool(learned.converged[i]),
        "steps": int(learned.steps[i]),
    }


def report(model: Model, tables: Sequence[CountTable], by: tuple[str, ...], options: Options, clock: Clock) -> pa.Table:
    """The compatibility report of counted studies."""
    job = prepare(model, tables, by, options)
    rows: list[dict[str, Any]] = []
    place: list[int] = []
    for part in job.parts(clock, every_study=True):
        for i, segment in enumerate(part.segments):
            found = _report_segment(job, part, i)
            rows.extend(found)
            place.extend([segment] * len(found))
    return make_table(rows, STUDY_COLUMNS, job.encoded.segments, place, clock.laps)


def _report_segment(job: Job, part: Part, i: int) -> list[dict[str, Any]]:
    verdict = part.verdict
    counts = [arm.count[i] for arm in part.arms]
    together = {
        "study": None,
        "compatible": bool(verdict.compatible[i]),
        "loglik_gap": float(verdict.loglik_gap[i]),
        "misfit": float(verdict.misfit[i]),
        "p_value": float(verdict.p_value[i]),
        "df": int(verdict.df[i]),
        "n": float(sum(c.sum() for c in counts)),
        "patterns": int(sum((c > 0).sum() for c in counts)),
        "fault": verdict.fault[i],
        "message": verdict.reason[i],
    }
    rows = [together]
    for test, count in zip(verdict.studies, counts, strict=True):
        if not count.any():
            continue
        rows.append(
            {
                "study": test.name,
                "compatible": bool(test.compatible[i]),
                "loglik_gap": float(test.loglik_gap[i]),
                "misfit": float(test.misfit[i]),
                "p_value": float(test.p_value[i]),
                "df": int(test.df[i]),
                "n": float(count.sum()),
                "patterns": int((count > 0).sum()),
                "fault": None if test.compatible[i] else test.fault[i],
            }
        )
    return rows


def _version() -> str:
    from importlib.metadata import version

    return version("duckemcc")
