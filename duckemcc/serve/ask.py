"""Ask: read the studies, learn, bound, answer. The one way that Python, SQL and the command line all take.

studies ─► count tables ─► counts [s, p] ─► likelihood ─► chances [s, r, u] ─► bounds ─► Arrow
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import isfinite
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from duckemcc.bound.bounds import bound
from duckemcc.errors import GraphError, NotSupported, OptionError, QueryError, Timeout, TooLarge, UnknownModel
from duckemcc.learn.compatibility import Compatibility, check
from duckemcc.learn.counts import StudyCounts
from duckemcc.learn.likelihood import Likelihood, compile_likelihood
from duckemcc.learn.restarts import Effort, Learned, learn
from duckemcc.learn.start import draw_starts, read_start
from duckemcc.model.scm import Model
from duckemcc.query.event import Compiled
from duckemcc.query.language import Query, query
from duckemcc.serve.result import COLUMNS, STUDY_COLUMNS, make_table
from duckemcc.study.encode import Encoded, encode
from duckemcc.study.labels import Nulls
from duckemcc.study.read import CountTable, count_study
from duckemcc.study.study import Study, name_studies, names_of

if TYPE_CHECKING:
    import pyarrow as pa

Floats = NDArray[np.float64]

BATCH = 128
"""Segments learned together; larger batches fall out of the cache."""

_SINGLE_NAME = re.compile(r"\s*\w+\s*")  # no graph text is a single word, so one is the name of a stored model

DEFAULT_START = "dirichlet(0.03)"


@dataclass(frozen=True, kw_only=True)
class Options:
    """How to learn and judge, for every entry (Python keywords, SQL named arguments). Raises `OptionError`,
    `NotSupported`.

    method: "emcc", the paper's Algorithm 1. restarts, seed, start: of its random restarts; start is "dirichlet(alpha)",
    "uniform" or "stick". accelerate=False: its literal steps, without a second-order stage. gap: of the
    log-likelihood per record at which a restart has converged. max_steps: EM steps at most. level, tolerance: data
    are incompatible if p_value < level and misfit > tolerance; level=None takes them as exact. incompatible: "null"
    leaves out the bounds of incompatible data, "report" gives those of the maximum-likelihood set. nulls: "drop"
    leaves out records with a NULL; else they are an error. max_seconds: stop after so long.
    """

    method: str = "emcc"
    restarts: int = 30
    seed: int = 0
    start: str = DEFAULT_START
    accelerate: bool = True
    gap: float = 1e-9
    max_steps: int = 5000
    nulls: str = "mar"
    level: float | None = 0.01
    tolerance: float = 0.01
    incompatible: str = "null"
    population: str | None = None
    confidence: float | None = None
    max_seconds: float | None = None

    def __post_init__(self) -> None:
        _one_of("method", self.method, ("emcc", "sharp"))
        _one_of("nulls", self.nulls, ("mar", "mcar", "drop", "error"))
        _one_of("incompatible", self.incompatible, ("null", "report"))
        _whole("restarts", self.restarts, 1)
        _whole("seed", self.seed, 0)
        _whole("max_steps", self.max_steps, 1)
        _number("gap", self.gap, 0, 1)
        _number("tolerance", self.tolerance, 0, 1)
        if self.level is not None:
            _number("level", self.level, 0, 1)
        if self.max_seconds is not None:
            _number("max_seconds", self.max_seconds, 0, float("inf"))
        if not isinstance(self.accelerate, bool):
            raise OptionError(f"accelerate is {self.accelerate!r}; it is true or false")
        read_start(self.start)
        if self.method == "sharp":
            raise NotSupported("method='sharp' is not yet supported; use method='emcc', the paper's restarts")
        for name in ("population", "confidence"):
            if getattr(self, name) is not None:
                raise NotSupported(f"{name}= is not yet supported; leave it out")


# -- the public functions ----------------------------------------------------------------------


def bounds(model: Model | str, studies: Any, queries: Any, *, by: str | Sequence[str] = (), **options: Any) -> pa.Table:
    """Bounds on counterfactual queries from several studies, one row per segment and query.

    model: a `Model`, or graph text. studies: a `Study`, anything that `Study` takes, or a list of them. queries:
    query texts or parsed queries, one or a list. by: columns of the studies; every distinct combination is a segment
    of its own.
    options: see `Options`.

    Returns a pyarrow.Table with the `by` columns and those of `result.COLUMNS`; timings are in the schema's metadata.
    Bounds are inner: the range of the query over the learned models (paper §6), which the exact range contains.
    Raises a `DuckEmccError` for whatever is wrong with the input; "incompatible" and "undefined" are answers, not
    errors.
    """
    settings = read_options(options)
    pscm, asked = read_model(model), read_queries(queries)
    names = names_of("by", by)
    clock = Clock(settings.max_seconds)
    tables = count_studies(pscm, read_studies(studies), settings, names)
    clock.lap("count")
    return answer(pscm, tables, asked, names, settings, clock)


def compatibility(model: Model | str, studies: Any, *, by: str | Sequence[str] = (), **options: Any) -> pa.Table:
    """Whether the studies contradict the graph, or each other: M-compatibility (paper Definition 2, Theorem 3).

    Arguments as for `bounds`. Returns per segment one row with `study` null for all studies together, and one per
    arm, each tested against the saturated model: columns of `result.STUDY_COLUMNS`. Raises as `bounds` does.
    """
    settings = read_options(options)
    pscm = read_model(model)
    names = names_of("by", by)
    clock = Clock(settings.max_seconds)
    tables = count_studies(pscm, read_studies(studies), settings, names)
    clock.lap("count")
    return report(pscm, tables, names, settings, clock)


class Fit(NamedTuple):
    """What was learned from all records together.

    model: with its states. chances: for each exogenous variable the learned PMFs [r, u]. loglik: of the best;
    optimality_gap: nats that it may still be below the maximum. kept: restarts at the maximum, of `restarts`.
    compatible, misfit, loglik_gap,
    p_value: as in the result's columns.
    """

    model: Model
    chances: dict[str, Floats]
    loglik: float
    optimality_gap: float
    restarts: int
    kept: int
    converged: bool
    steps: int
    compatible: bool
    misfit: float
    loglik_gap: float
    p_value: float


def fit(model: Model | str, studies: Any, **options: Any) -> Fit:
    """Algorithm 1 by itself: the distributions of the exogenous variables that all studies allow. Arguments as for
    `bounds`."""
    settings = read_options(options)
    pscm = read_model(model)
    clock = Clock(settings.max_seconds)
    tables = count_studies(pscm, read_studies(studies), settings, ())
    job = prepare(pscm, tables, (), settings)
    part = next(job.parts(clock))
    learned, verdict = part.learned, part.verdict
    return Fit(
        job.model,
        {name: chances[0].copy() for name, chances in learned.chances.items()},
        float(learned.loglik[0]),
        float(learned.optimality_gap[0]),
        settings.restarts,
        int(learned.kept[0]),
        bool(learned.converged[0]),
        int(learned.steps[0]),
        bool(verdict.compatible[0]),
        float(verdict.misfit[0]),
        float(verdict.loglik_gap[0]),
        float(verdict.p_value[0]),
    )


# -- what is given -----------------------------------------------------------------------------


def read_options(given: Mapping[str, Any]) -> Options:
    """The options given by name. Raises `OptionError` for an unknown one."""
    from duckemcc.errors import hint

    known = list(Options.__dataclass_fields__)
    for name in given:
        if name not in known:
            raise OptionError(
                f"there is no option {name!r}; the options are {', '.join(known)}." + hint(name, known, "options")
            )
    return Options(**given)


def read_model(model: Model | str) -> Model:
    """A model as it is, or that of a graph text."""
    if isinstance(model, Model):
        return model
    if isinstance(model, str):
        if _SINGLE_NAME.fullmatch(model):
            raise UnknownModel(
                f"there is no model named {model.strip()!r}, and a catalog of models is not yet supported; "
                "give graph text such as 'X -> Y; X <-> Y'"
            )
        return Model.parse(model)
    raise GraphError(
        f"a model is a Model or graph text; found {type(model).__name__}. Model.from_dict reads its storage form"
    )


def read_queries(queries: Any) -> list[tuple[str, Query]]:
    """Each query with the text it is reported under."""
    listed = (
        [queries] if isinstance(queries, (str, Query)) else list(queries) if isinstance(queries, Sequence) else None
    )
    if not listed:
        raise QueryError(f"queries are a text, a query or a list of them; found {queries!r}")
    return [(q if isinstance(q, str) else str(q), query(q)) for q in listed]


def read_studies(studies: Any) -> list[Study]:
    """The studies, sources without options made into studies."""
    listed = list(studies) if isinstance(studies, (list, tuple)) else [studies]
    if not listed:
        raise OptionError("studies is an empty list; give at least one Study")
    return [s if isinstance(s, Study) else Study(s) for s in listed]


def count_studies(model: Model, studies: Sequence[Study], options: Options, by: tuple[str, ...]) -> list[CountTable]:
    """Each study's count table, counted in its engine."""
    _check_by(by)
    nulls: Nulls = "drop" if options.nulls == "drop" else "error"
    return [
        count_study(s, model.variables, name=n, by=by, nulls=nulls)
        for s, n in zip(studies, name_studies(studies), strict=True)
    ]


def _check_by(by: Sequence[str]) -> None:
    taken = {c.casefold(): c for c in COLUMNS}
    for name in by:
        if name.casefold() in taken:
            raise OptionError(f"by names the column {name!r}, which is a column of the result; rename it in the source")


# -- the work ----------------------------------------------------------------------------------


class Part(NamedTuple):
    """A batch of segments, learned and judged."""

    segments: range
    arms: list[StudyCounts]
    learned: Learned
    verdict: Compatibility


@dataclass(frozen=True)
class Job:
    """Everything that is known once the studies are counted: the model with its states, the counts, the arms."""

    model: Model
    encoded: Encoded
    arms: list[StudyCounts]
    options: Options

    def parts(self, clock: Clock, *, every_study: bool = False) -> Iterator[Part]:
        """The segments in batches; the starts are drawn once and used for all. Raises `Timeout`."""
        causes = [u.name for u in self.model.exogenous]
        drawn = draw_starts(
            self.options.start, [self.model.card(u) for u in causes], self.options.restarts, self.options.seed
        )
        starts = dict(zip(causes, drawn, strict=True))
        effort = Effort(self.options.gap, self.options.max_steps, self.options.accelerate)
        for first in range(0, self.segment_count, BATCH):
            clock.tick()
            segments = range(first, min(first + BATCH, self.segment_count))
            arms = [replace(arm, count=arm.count[segments.start : segments.stop]) for arm in self.arms]
            likelihood = compile_likelihood(self.model, arms)
            clock.lap("compile")
            learned = learn(likelihood, starts, effort, clock.tick)
            clock.lap("learn")
            verdict = self._judge(likelihood, arms, learned, every_study)
            clock.lap("judge")
            yield Part(segments, arms, learned, verdict)

    @property
    def segment_count(self) -> int:
        return int(self.arms[0].count.shape[0])

    def _judge(
        self, likelihood: Likelihood, arms: list[StudyCounts], learned: Learned, every_study: bool
    ) -> Compatibility:
        return check(
            likelihood,
            arms,
            learned.loglik,
            learned.best,
            level=self.options.level,
            tolerance=self.options.tolerance,
            every_study=every_study,
        )


def prepare(model: Model, tables: Sequence[CountTable], by: tuple[str, ...], options: Options) -> Job:
    """The job of these count tables. Raises `UnknownState`, `TooLarge`."""
    encoded = encode(tables, model.states, by)
    model = model.with_states(encoded.states)
    for variable in model.variables:
        model.table(variable)  # refuses a canonical cause that is too large before anything is drawn for it
    states = encoded.states
    arms = [arm for counts in encoded.studies for arm in counts.arms(lambda variable, code: states[variable][code])]
    return Job(model, encoded, arms, options)


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
    exact = {"exact_lower": False, "exact_upper": False} if found.lower is not None else {}
    answer: dict[str, Any] = {"lower": found.lower, "upper": found.upper, "status": found.status, "credibility": found.credibility} | exact
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


class Clock:
    """Times the stages, and stops the work when it has run for too long."""

    def __init__(self, max_seconds: float | None) -> None:
        self.begun = self.last = time.perf_counter()
        self.limit = max_seconds
        self.laps: dict[str, float] = {}

    def lap(self, stage: str) -> None:
        """Adds the time since the last lap to a stage."""
        now = time.perf_counter()
        self.laps[stage] = self.laps.get(stage, 0.0) + now - self.last
        self.last = now

    def tick(self) -> None:
        """Raises `Timeout` once the time is over."""
        if self.limit is not None and time.perf_counter() - self.begun > self.limit:
            raise Timeout(
                f"stopped after max_seconds={self.limit:g}; give it more time, fewer restarts or fewer segments"
            )


def _one_of(name: str, value: Any, allowed: Sequence[str]) -> None:
    if value not in allowed:
        raise OptionError(f"{name} is {value!r}; it may be {', '.join(map(repr, allowed))}")


def _whole(name: str, value: Any, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise OptionError(f"{name} is {value!r}; it takes a whole number of at least {least}")


def _number(name: str, value: Any, low: float, high: float) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        raise OptionError(f"{name} is {value!r}; it takes a number from {low:g} to {high:g}")


def _version() -> str:
    from importlib.metadata import version

    return version("duckemcc")
