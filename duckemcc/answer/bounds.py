"""From learned models to rows: the result of each query in each segment."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from math import isfinite
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from duckemcc.answer.arrange import Answers, arrange, describe, how_asked
from duckemcc.answer.options import Clock, Options, timed
from duckemcc.answer.plan import Batch, Plan, prepare
from duckemcc.answer.schema import COLUMNS, CONFIDENCE, make_table, put_together
from duckemcc.bound.bounds import BLUR, Bounds, add_limits, bound, bound_sharply
from duckemcc.bound.ends import zero_in
from duckemcc.bound.limits.collect import collect_merged, collect_pieces
from duckemcc.bound.limits.find import find_limits
from duckemcc.bound.sharp import Sharp
from duckemcc.bound.terms import Terms, compile_query
from duckemcc.errors import Timeout, TooLarge, placing
from duckemcc.model.scm import Model
from duckemcc.query.event import Compiled
from duckemcc.query.syntax import Query
from duckemcc.study.table import CountTable

if TYPE_CHECKING:
    import pyarrow as pa


_log = logging.getLogger(__name__)

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
    return bound_segments(
        prepare(model, tables, by, options, clock, queries=queries, quick=options.confidence is None),
        queries,
        clock,
        {} if by else None,
    )[0]


def bound_segments(
    plan: Plan,
    queries: Sequence[tuple[str, Query]],
    clock: Clock,
    refused: dict[int, TooLarge] | None,
    tell: Callable[[Batch], None] = lambda batch: None,
) -> tuple[pa.Table, Timeout | None]:
    """The result table of a plan, and why it lacks some answers if the time was over.

    refused: takes the segments that are too large; without it `TooLarge` is raised. tell: called with each batch once
    its bounds are found, before it is forgotten."""
    begun = time.monotonic()
    clock.reserved = clock.row * plan.segment_count * len(queries)
    asked: dict[int, list[_Asked]] = {}
    told: dict[int, list[dict[str, Any]]] = {}
    untold = dict.fromkeys(plan.empty_segments, ("no_data", NO_RECORDS))
    late: Timeout | None = None
    try:
        for batch in plan.batches(clock, refused):
            if batch.kind not in asked:
                asked.clear()  # kinds come one after the other, and there may be many
                asked[batch.kind] = [_compile(text, q, plan, batch, clock) for text, q in queries]
            described = describe(plan, batch.segments)
            for i, segment in enumerate(batch.segments):
                shared = described.row(i) | _shared_columns(batch, i)
                own = told[segment] = []
                for j, ((text, _), one) in enumerate(zip(queries, asked[batch.kind], strict=True)):
                    if isinstance(one, Sharp):
                        answers = (plan.segment_count - len(told) + 1) * len(queries) - j
                        one.allow(clock.tick(), answers)
                    own.append({"query": text} | shared | _answer_one(one, plan, batch, i))
                    clock.tick()
            if plan.options.confidence is not None and plan.options.limits == "conditional":
                rows = [told[segment] for segment in batch.segments]
                _add_limits([q for _, q in queries], asked[batch.kind], plan, batch, rows)
            clock.lap("bound")
            clock.advance("answer", len(told), plan.segment_count)
            tell(batch)
    except Timeout as over:
        late = over
    untold |= {segment: ("too_large", str(large)) for segment, large in (refused or {}).items()}
    sizes = len(queries), len(told), plan.segment_count, time.monotonic() - begun
    _log.info("bounded %d queries in %d of %d segments, %.3f s with compiling and learning", *sizes)
    why = None if late is None else ("timeout", str(late))
    rows, place = arrange(Answers([text for text, _ in queries], told, untold, why), plan)
    table = put_together(rows, plan.encoded.segments, place, clock.laps)
    if plan.options.confidence is None:
        return table, late
    return table.replace_schema_metadata(table.schema.metadata | {CONFIDENCE: f"{plan.options.confidence!r}"}), late


def unanswered(queries: Sequence[tuple[str, Query]], options: Options, late: Timeout) -> pa.Table:
    """The result table where there was no time to count; there are no segments."""
    import polars as pl

    rows = [{"query": text, "status": "timeout", "message": str(late)} | how_asked(options) for text, _ in queries]
    return make_table(rows, COLUMNS, pl.DataFrame(), [], {})


_Asked: TypeAlias = Compiled | Terms | Sharp | TooLarge


def _compile(text: str, asked: Query, plan: Plan, batch: Batch, clock: Clock) -> _Asked:
    try:
        with placing(query=text):
            if plan.options.method == "emcc":
                return compile_query(asked, plan.model, batch.likelihood, listed=True)
            names = plan.names_of(plan.options.population, batch.likelihood)
            return Sharp(asked, plan.model, batch.likelihood, names, clock.tick)
    except TooLarge as large:
        return large


def _answer_one(asked: _Asked, plan: Plan, batch: Batch, i: int) -> dict[str, Any]:
    """The columns that depend on the query."""
    options, learned = plan.options, batch.learned
    incompatible = not batch.verdict.compatible[i]
    if isinstance(asked, TooLarge):
        return {"status": "too_large", "message": str(asked)}
    if incompatible and (options.incompatible == "null" or not isfinite(batch.verdict.loglik_gap[i])):
        return {"status": "incompatible", "message": _why_incompatible(batch, i)}
    if isinstance(asked, Sharp):
        compiled = asked.compiled
        joint = options.confidence if options.limits == "joint" else None
        found = bound_sharply(asked, learned, batch.verdict, i, blur=_blur(batch, i), confidence=joint)
        if options.confidence is not None and joint is None and found.status != "undefined":
            found = found._replace(late=True)  # until `_add_limits` comes to it
    else:
        chances = plan.chances_of(learned.chances, options.population, batch.likelihood)
        compiled, found = asked, bound(asked, chances, i, int(learned.kept[i]), zero_in(batch.likelihood.groups, i))
    return _tell(found, compiled, plan, batch, i)


def _tell(found: Bounds, compiled: Compiled | Terms, plan: Plan, batch: Batch, i: int) -> dict[str, Any]:
    """The columns of bounds, with what they mean."""
    options, incompatible = plan.options, not batch.verdict.compatible[i]
    answer = dict[str, Any](found._asdict())
    if found.status == "undefined":
        answer["message"] = (
            "the condition has probability zero in every learned model; condition on something that can happen"
        )
    elif found.late:
        answer["message"] = (
            f"stopped after max_seconds={options.max_seconds or 0:g}: the bounds were found by then, their limits at "
            f"confidence {options.confidence:g} were not; give it more time"
        )
    else:
        answer["message"] = (
            _advise(batch, i, options, found.maxima)
            or _advise_on_local(compiled, plan, batch, i)
            or _advise_on(found, options, batch)
            or _tell_population(compiled, plan)
        )
    return answer | ({"status": "incompatible", "message": _why_incompatible(batch, i)} if incompatible else {})


def _add_limits(
    queries: Sequence[Query],
    asked: Sequence[_Asked],
    plan: Plan,
    batch: Batch,
    rows: Sequence[list[dict[str, Any]]],
) -> None:
    """Puts the limits of each query into the rows of a batch, segment by segment; all segments are sought together."""
    confidence = plan.options.confidence
    assert confidence is not None
    for k, (query, sharp) in enumerate(zip(queries, asked, strict=True)):
        waiting = [i for i, own in enumerate(rows) if own[k].get("late")]
        if not waiting or not isinstance(sharp, Sharp):
            continue
        own = plan.names_of(plan.options.population)
        pieces = collect_pieces(query, plan.model, plan.learned_model, batch.arms, own)
        problem = pieces or collect_merged(sharp, batch.likelihood.groups)
        bounds = [Bounds(**{name: rows[i][k][name] for name in Bounds._fields}) for i in waiting]
        limits = None
        if problem is not None:
            lower, upper = (np.array([getattr(found, end) for found in bounds]) for end in ("lower", "upper"))
            limits = find_limits(problem, np.array(waiting), lower, upper, confidence)
        for place, (i, found) in enumerate(zip(waiting, bounds, strict=True)):
            found = found._replace(late=False)
            if limits is not None:
                found = add_limits(found, sharp, float(limits.lower[place]), float(limits.upper[place]))
                found = found._replace(ties=int(limits.ties[place]))
            rows[i][k] |= _tell(found, sharp.compiled, plan, batch, i)
    batch.clock.lap("bound")


def _why_incompatible(batch: Batch, i: int) -> str | None:
    learned = batch.learned
    return why_incompatible(batch.verdict.reason[i], bool(learned.converged[i]), int(learned.steps[i]))


def why_incompatible(reason: str | None, converged: bool, steps: int) -> str | None:
    """What the verdict says, and whether to trust it; None where it does not accuse."""
    if reason is None or converged:
        return reason
    return (
        f"{reason}. EM stopped after {steps} steps before it converged, so a better fit may yet agree; "
        "raise max_steps or restarts"
    )


def _blur(batch: Batch, i: int) -> float:
    """The error of fitted probabilities in the smallest arm: the maximum is found to so much per record of all."""
    records = [float(n) for arm in batch.arms if (n := arm.count[i].sum()) > 0]
    return BLUR * sum(records) / min(records) if records else BLUR


def _advise_on(found: Bounds, options: Options, batch: Batch) -> str | None:
    """What bounds mean that are not proven, or lack their confidence limits."""
    if options.confidence is not None and found.lower_ci is None:
        return (
            f"there are no limits at confidence {options.confidence:g}: "
            + "no model is likely enough, as the data contradict it (ask compatibility), or "
            * (options.limits == "joint")
            + "causes that share a component have too many joint states"
        )
    if found.noise is not None:
        return (
            "lower and upper meet only because noise put the data outside the model, whose best fit allows one value; "
            f"in fits near it they are up to {found.noise:.2g} apart. Limits (confidence=) include the noise"
        )
    if (found.ties or 1) > 1:
        return (
            f"{found.ties} sources of information tie at an end, of which chance picks the narrowest: lower and upper "
            "are likely too narrow; rely on lower_ci and upper_ci"
        )
    if (found.maxima or 1) > 1:
        return (
            f"{found.maxima} maxima of the likelihood were found that fit the records differently; lower and upper "
            "range over these, and there may be more: measure what ties causes together, or raise restarts"
        )
    if found.forgotten:
        return _told_forgotten(found.forgotten, batch.likelihood.model)
    if found.outer_lower is None or (found.exact_lower and found.exact_upper):
        return None
    tied = any(((arm.codes < 0).any(axis=0) & (arm.codes >= 0).any(axis=0)).any() for arm in batch.arms)
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


def _advise(batch: Batch, i: int, options: Options, maxima: int | None) -> str | None:
    learned = batch.learned
    if not learned.converged[i]:
        remedy = "raise max_steps" if options.accelerate else "raise max_steps, or leave accelerate on"
        return f"EM stopped after {learned.steps[i]} steps before it converged, so the bounds may be off; {remedy}"
    kept = int(learned.kept[i])
    if (maxima or 1) == 1 and kept < options.restarts and kept < 10:
        return (
            f"only {kept} of {options.restarts} restarts reached the maximum, so the bounds are narrow; raise restarts"
        )
    return None


def _advise_on_local(evaluate: Compiled | Terms, plan: Plan, batch: Batch, i: int) -> str | None:
    """What to do about a cause in which the answer is vacuous, as all that is known of it is of other populations."""
    asked = evaluate.causes
    unknown = [u for u, never in plan.uninformed(batch.likelihood).items() if never[i] and u in asked]
    if not unknown:
        return None
    what = f"nothing is known of {', '.join(unknown)}"
    if (population := plan.options.population) is not None:
        return f"{what} in {population!r}, so the bounds are vacuous in it; name another population, or leave it out"
    local = [study for study, own in plan.local.items() if any(u in own for u in unknown)]
    return (
        f"{what} but in {', '.join(map(repr, local))}, where it is local, so the bounds are vacuous in it; name one of "
        "these studies as population, or leave out local"
    )


def _tell_population(evaluate: Compiled | Terms, plan: Plan) -> str | None:
    """Whose chances an answer is about, where studies differ in a cause that it depends on and none was named."""
    asked = evaluate.causes
    own = {study: [u for u in causes if u in asked] for study, causes in plan.local.items()}
    own = {study: causes for study, causes in own.items() if causes}
    if plan.options.population is not None or not own:
        return None
    causes = dict.fromkeys(u for local in own.values() for u in local)
    return (
        f"{', '.join(causes)} {'is' if len(causes) == 1 else 'are'} local in {', '.join(map(repr, own))}; the answer "
        f"is about the population of the other studies. For another name it: population={next(iter(own))!r}"
    )


def _shared_columns(batch: Batch, i: int) -> dict[str, Any]:
    """The columns that are the same for all queries of a segment, beside those that describe it."""
    learned, verdict = batch.learned, batch.verdict
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
