"""From learned models to rows: the result of each query in each segment."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from typing import TYPE_CHECKING, Any, TypeAlias

from duckemcc.answer.arrange import Answers, arrange, describe, how_asked
from duckemcc.answer.options import Clock, Options, timed
from duckemcc.answer.plan import Job, Part, prepare
from duckemcc.answer.schema import COLUMNS, CONFIDENCE, make_table, put_together
from duckemcc.bound.bounds import BLUR, Bounds, bound, bound_sharply
from duckemcc.bound.ends import zero_in
from duckemcc.bound.sharp import Sharp
from duckemcc.bound.terms import Terms, compile_query
from duckemcc.errors import Timeout, TooLarge
from duckemcc.model.scm import Model
from duckemcc.query.event import Compiled
from duckemcc.query.syntax import Query
from duckemcc.study.table import CountTable

if TYPE_CHECKING:
    import pyarrow as pa


NO_RECORDS = "no record of the segment counts: all weigh nothing, or are left out for a NULL"


@timed
def answer(
    model: Model,
    tables: Sequence[CountTable],
    queries: Sequence[tuple[str, Query]],
    by: tuple[str, ...],
    options: Options,
    clock: Clock,
) -> pa.Table:
    """The result table of counted studies. Raises `Timeout` if there was no time to find out which segments there
    are."""
    job = prepare(model, tables, by, options, clock, [q for _, q in queries])
    clock.reserved = clock.row * job.segment_count * len(queries)
    asked: dict[int, list[_Asked]] = {}
    told: dict[int, list[dict[str, Any]]] = {}
    refused: dict[int, TooLarge] | None = {} if by else None
    untold = dict.fromkeys(job.empty_segments, ("no_data", NO_RECORDS))
    late = None
    try:
        for part in job.parts(clock, spread=options.method == "emcc", refused=refused):
            if part.kind not in asked:
                asked.clear()  # kinds come one after the other, and there may be many
                asked[part.kind] = [_compile(q, job, part, clock) for _, q in queries]
            described = describe(job, part.segments)
            for i, segment in enumerate(part.segments):
                shared = described.row(i) | _shared_columns(part, i)
                own = told[segment] = []
                for (text, _), one in zip(queries, asked[part.kind], strict=True):
                    own.append({"query": text} | shared | _answer_one(one, job, part, i, options))
                    clock.tick()
            clock.lap("bound")
            clock.advance("answer", len(told), job.segment_count)
    except Timeout as over:
        late = "timeout", str(over)
    untold |= {segment: ("too_large", str(large)) for segment, large in (refused or {}).items()}
    rows, place = arrange(Answers([text for text, _ in queries], told, untold, late), job)
    table = put_together(rows, job.encoded.segments, place, clock.laps)
    if options.confidence is None:
        return table
    return table.replace_schema_metadata(table.schema.metadata | {CONFIDENCE: f"{options.confidence!r}"})


def unanswered(queries: Sequence[tuple[str, Query]], options: Options, late: Timeout) -> pa.Table:
    """The result table where there was no time to count; there are no segments."""
    import polars as pl

    rows = [{"query": text, "status": "timeout", "message": str(late)} | how_asked(options) for text, _ in queries]
    return make_table(rows, COLUMNS, pl.DataFrame(), [], {})


_Asked: TypeAlias = Compiled | Terms | Sharp | TooLarge


def _compile(asked: Query, job: Job, part: Part, clock: Clock) -> _Asked:
    try:
        if job.options.method == "emcc":
            return compile_query(asked, job.model, part.likelihood, listed=True)
        names = job.names_of(job.options.population, part.likelihood)
        return Sharp(asked, job.model, part.likelihood, names, clock.tick)
    except TooLarge as large:
        return large


def _answer_one(asked: _Asked, job: Job, part: Part, i: int, options: Options) -> dict[str, Any]:
    """The columns that depend on the query."""
    incompatible = not part.verdict.compatible[i]
    if isinstance(asked, TooLarge):
        return {"status": "too_large", "message": str(asked)}
    if incompatible and (options.incompatible == "null" or not isfinite(part.verdict.loglik_gap[i])):
        return {"status": "incompatible", "message": why_incompatible(part, i)}
    if isinstance(asked, Sharp):
        compiled = asked.compiled
        found = bound_sharply(asked, part.learned, part.verdict, i, blur=_blur(part, i), confidence=options.confidence)
    else:
        chances = job.chances_of(part.learned.chances, options.population, part.likelihood)
        compiled, found = asked, bound(asked, chances, i, int(part.learned.kept[i]), zero_in(part.likelihood.groups, i))
    answer = dict[str, Any](found._asdict())
    if found.status == "undefined":
        answer["message"] = (
            "the condition has probability zero in every learned model; condition on something that can happen"
        )
    elif found.late:
        answer["message"] = (
            f"stopped after max_seconds={options.max_seconds:g}: the bounds were found by then, their limits at "
            f"confidence {options.confidence:g} were not; give it more time"
        )
    else:
        answer["message"] = (
            _advise(part, i, options, found.maxima)
            or _advise_on_local(compiled, job, part, i)
            or _advise_on(found, options, part)
            or _tell_population(compiled, job)
        )
    return answer | ({"status": "incompatible", "message": why_incompatible(part, i)} if incompatible else {})


def why_incompatible(part: Part, i: int) -> str | None:
    """What the verdict says; None where it does not accuse."""
    reason = part.verdict.reason[i]
    if reason is None or part.learned.converged[i]:
        return reason
    return (
        f"{reason}. EM stopped after {part.learned.steps[i]} steps before it converged, so a better fit may yet agree; "
        "raise max_steps or restarts"
    )


def _blur(part: Part, i: int) -> float:
    """The error of fitted probabilities in the smallest arm: the maximum is found to so much per record of all."""
    records = [float(n) for arm in part.arms if (n := arm.count[i].sum()) > 0]
    return BLUR * sum(records) / min(records) if records else BLUR


def _advise_on(found: Bounds, options: Options, part: Part) -> str | None:
    """What bounds mean that are not proven, or lack their confidence limits."""
    if options.confidence is not None and found.lower_ci is None:
        return (
            f"there are no limits at confidence {options.confidence:g}: no model is likely enough, as the data "
            "contradict it (ask compatibility), or causes that share a component have too many joint states"
        )
    if found.noise is not None:
        return (
            "lower and upper meet only because noise put the data outside the model, whose best fit allows one value; "
            f"in fits near it they are up to {found.noise:.2g} apart. Limits (confidence=) include the noise"
        )
    if (found.maxima or 1) > 1:
        return (
            f"{found.maxima} maxima of the likelihood were found that fit the records differently; lower and upper "
            "range over these, and there may be more: measure what ties causes together, or raise restarts"
        )
    if found.forgotten:
        return _told_forgotten(found.forgotten, part.likelihood.model)
    if found.outer_lower is None or (found.exact_lower and found.exact_upper):
        return None
    tied = any(((arm.codes < 0).any(axis=0) & (arm.codes >= 0).any(axis=0)).any() for arm in part.arms)
    return (
        "lower and upper are attained, but not proven to be the ends, which may lie as far out as outer_lower and "
        "outer_upper: causes share a component, or too many matter at once, or the condition or a study is too rare"
    ) + ("; records with a NULL tie causes together: nulls='drop' asks without them" if tied else "")


def _told_forgotten(causes: Sequence[str], model: Model) -> str:
    """What merged arcs leave open."""
    merged = [u for u in model.exogenous if u.name in causes]
    arcs = " and ".join(", ".join(f"{a} <-> {b}" for a, b in u.arcs) for u in merged)
    children = " and ".join(f"'{u.name}: {', '.join(u.children)}'" for u in merged)
    return (
        f"the arcs {arcs} meet and are taken for one cause; that they are independent of each other is not used, so "
        f"the range may be narrower than lower and upper. If one cause is meant, write {children}"
    )


def _advise(part: Part, i: int, options: Options, maxima: int | None) -> str | None:
    if not part.learned.converged[i]:
        remedy = "raise max_steps" if options.accelerate else "raise max_steps, or leave accelerate on"
        return f"EM stopped after {part.learned.steps[i]} steps before it converged, so the bounds may be off; {remedy}"
    kept = int(part.learned.kept[i])
    if (maxima or 1) == 1 and kept < options.restarts and kept < 10:
        return (
            f"only {kept} of {options.restarts} restarts reached the maximum, so the bounds are narrow; raise restarts"
        )
    return None


def _advise_on_local(evaluate: Compiled | Terms, job: Job, part: Part, i: int) -> str | None:
    """What to do about a cause in which the answer is vacuous, as all that is known of it is of other populations."""
    asked = evaluate.causes
    unknown = [u for u, never in job.uninformed(part.likelihood).items() if never[i] and u in asked]
    if not unknown:
        return None
    what = f"nothing is known of {', '.join(unknown)}"
    if (population := job.options.population) is not None:
        return f"{what} in {population!r}, so the bounds are vacuous in it; name another population, or leave it out"
    local = [study for study, own in job.local.items() if any(u in own for u in unknown)]
    return (
        f"{what} but in {', '.join(map(repr, local))}, where it is local, so the bounds are vacuous in it; name one of "
        "these studies as population, or leave out local"
    )


def _tell_population(evaluate: Compiled | Terms, job: Job) -> str | None:
    """Whose chances an answer is about, where studies differ in a cause that it depends on and none was named."""
    asked = evaluate.causes
    own = {study: [u for u in causes if u in asked] for study, causes in job.local.items()}
    own = {study: causes for study, causes in own.items() if causes}
    if job.options.population is not None or not own:
        return None
    causes = dict.fromkeys(u for local in own.values() for u in local)
    return (
        f"{', '.join(causes)} {'is' if len(causes) == 1 else 'are'} local in {', '.join(map(repr, own))}; the answer "
        f"is about the population of the other studies. For another name it: population={next(iter(own))!r}"
    )


def _shared_columns(part: Part, i: int) -> dict[str, Any]:
    """The columns that are the same for all queries of a segment, beside those that describe it."""
    learned, verdict = part.learned, part.verdict
    return {
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
