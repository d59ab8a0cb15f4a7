"""The plan of one question, between counted studies and learned models: encode, compile, learn, segments in batches.

Whoever has something to say about the same records reads the same batches: bounds, the verdict, frequencies, a fit, a
witness, a report. A batch is learned once. Bounds of all segments are told before a report looks closely at some, and
what it needs of these is kept until then (`Kept`), without restarts and without other segments.

The model that is learned may have more variables than the one that is asked about: a selector for each study whose
records a rule kept or dropped. And more distributions: those that a study has for itself (`local`).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from math import prod
from typing import NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from duckemcc.answer.options import Clock, Options
from duckemcc.errors import OptionError, TooLarge, given, hint, placing
from duckemcc.learn.counts import StudyCounts
from duckemcc.learn.emcc import Tick
from duckemcc.learn.likelihood import Floats, Likelihood, compile_likelihood
from duckemcc.learn.pieces.split import is_wide
from duckemcc.learn.restarts import Effort, Learned, learn
from duckemcc.learn.segments import Kind, sort_segments, split_by_support
from duckemcc.learn.start import draw_starts
from duckemcc.learn.verdict.compatibility import Compatibility, StudyTest, check
from duckemcc.learn.verdict.independence import Design, Independences, examine_claims
from duckemcc.model.scm import Model
from duckemcc.query.assume import restrict
from duckemcc.query.named import Combination, expand
from duckemcc.query.syntax import Atom, PotentialOutcome, Probability, Query, Setting, Term
from duckemcc.study.encode import Encoded, encode
from duckemcc.study.selection import KEPT, add_selectors
from duckemcc.study.table import CountTable

_log = logging.getLogger(__name__)

BATCH = 128
"""Segments learned together; larger batches fall out of the cache."""

LARGEST_RUN, LARGEST_BATCH = 2**26, 2**24
"""Chances of states and patterns in all restarts: of one segment, and of those that are learned together, at most."""


PIECED = 16
"""States of a cause up to which it is a list in any case. With the two contexts of Table 1's Gender apart, 64 states
that are two of 8, segments take 40 % of the time; 16 states have no more bases than are tried at once."""

FEW = 2**16
"""Values of two worlds up to which they are spelled out rather than summed variable by variable."""

AHEAD = 512
"""Segments whose independences are tested together, at most: what they show does not matter for that."""


@dataclass(frozen=True)
class Plan:
    """A question once its studies are counted: what is learned from them, batch after batch, for all who read it.

    model: asked about, with its states. learned_model: the same with the selectors. arms: of the studies, in codes of
    the latter. arm_of: the study of each arm. selectors: study -> its selector. local: study -> exogenous variable ->
    the study's own distribution of it. spread: restart also where the maximum is found without. pieces: causes are
    split into pieces. asked: the queries, whose worlds then decide into which.
    """

    model: Model
    learned_model: Model
    encoded: Encoded
    arms: list[StudyCounts]
    arm_of: list[str]
    selectors: dict[str, str]
    local: dict[str, Mapping[str, str]]
    options: Options
    spread: bool
    pieces: bool = False
    asked: Sequence[Combination] = ()

    def batches(self, clock: Clock, refused: dict[int, TooLarge] | None = None) -> Iterator[Batch]:
        """The segments in batches, kind by kind; the starts are the same for all. Raises `Timeout`.

        A batch is learned when its turn comes and forgotten when the next one is taken, unless a reader holds it.
        refused: takes the segments whose likelihood is too large; without it, `TooLarge` is raised.
        """
        effort = Effort(self.options.gap, self.options.max_steps, self.options.accelerate, self.spread)
        clock.tick()
        for number, (kind, independences) in enumerate(self._kinds()):
            clock.tick()
            begun = time.monotonic()
            try:
                compiled = compile_likelihood(self.learned_model, kind.arms, self.asked, self.pieces)
                starts, together = self._starts(compiled, kind, clock.tick)
            except TooLarge as large:
                if refused is None:
                    raise
                refused |= dict.fromkeys(kind.segments, large)
                continue
            clock.lap("compile")
            patterns = sum(len(arm.codes) for arm in kind.arms)
            told = len(kind.segments), patterns, len(compiled.groups), time.monotonic() - begun
            _log.debug("compiled %d segments of one kind: %d patterns, %d groups, %.3f s", *told)
            for first in range(0, len(kind.segments), together):
                clock.tick()
                batch = slice(first, min(first + together, len(kind.segments)))
                likelihood = compiled.part(batch)
                arms = [replace(arm, count=arm.count[batch]) for arm in kind.arms]
                begun = time.monotonic()
                learned = learn(likelihood, starts, effort, clock.tick, self.options.restarts)
                told = batch.stop - batch.start, patterns, int(learned.steps.max()), time.monotonic() - begun
                _log.info("learned %d segments: %d patterns, %d steps at most, %.3f s", *told)
                clock.lap("learn")
                found = partial(independences, batch)
                yield Batch(self, clock, kind.segments[batch], number, arms, likelihood, learned, found)

    def _kinds(self) -> Iterator[tuple[Kind, Callable[[slice], Independences]]]:
        """The kinds by support, and how to look up the independences of a batch of one."""
        there = np.setdiff1d(np.arange(self.segment_count), self.empty_segments)
        arms = self.arms if len(there) == self.segment_count else [replace(a, count=a.count[there]) for a in self.arms]
        for kind in sort_segments(arms):
            split, start = split_by_support(self.learned_model, kind), 0
            ahead = _Ahead(self.learned_model, kind, split, self._design(range(len(arms))), self.nulls)
            for own in split:
                yield own._replace(segments=there[own.segments].tolist()), partial(ahead.find, start)
                start += len(own.segments)

    def _starts(self, compiled: Likelihood, kind: Kind, tick: Tick) -> tuple[dict[str, Floats], int]:
        """The starts, one where no restart is made of a variable; and how many segments to learn together.

        Raises `TooLarge` for so many restarts that they fit into no memory.
        """
        tied = {name for group in compiled.groups if not group.concave for name in group.names}
        sizes = [self.options.restarts if self.spread or name in tied else 1 for name in compiled.causes]
        cards = [compiled.cards[name] for name in compiled.causes]
        patterns = sum(len(arm.codes) for arm in kind.arms)
        size = sum(rows * card for rows, card in zip(sizes, cards, strict=True)) + max(sizes, default=1) * patterns
        if size > LARGEST_RUN:
            raise TooLarge(
                f"{max(sizes):,} restarts of {sum(cards):,} states and {patterns:,} patterns are {size:,} chances, "
                f"more than the {LARGEST_RUN:,} that are learned at once",
                remedy="ask for fewer restarts",
                option="restarts",
            )
        drawn = draw_starts(self.options.start, cards, sizes, self.options.seed, tick)
        return dict(zip(compiled.causes, drawn, strict=True)), min(BATCH, max(1, LARGEST_BATCH // size))

    @property
    def nulls(self) -> str:
        """What the test of compatibility takes NULLs for."""
        return "mcar" if self.options.nulls == "mcar" else "mar"

    def _design(self, places: Sequence[int]) -> Design:
        """Of some of the arms."""
        states = self.learned_model.states
        kept = {s: (v, (states[v] or ()).index(KEPT)) for s, v in self.selectors.items()}
        return Design(tuple(self.arm_of[k] for k in places), kept)

    @property
    def empty_segments(self) -> list[int]:
        """The segments without a record that counts."""
        return np.flatnonzero(~np.any([arm.count.any(axis=1) for arm in self.arms], axis=0)).tolist()

    @property
    def segment_count(self) -> int:
        return int(self.arms[0].count.shape[0])

    def names_of(self, study: str | None, likelihood: Likelihood | None = None) -> dict[str, str]:
        """For each exogenous variable the name of its distribution in a study; the shared one without a study. With
        a likelihood of pieces, for each piece.

        Raises `OptionError` for a name that is no study's.
        """
        own = self.local[_find_study(study, list(self.local))] if study is not None else {}
        if likelihood is not None and likelihood.split is not None:
            return likelihood.split.choose(own)
        return {u.name: own.get(u.name, u.name) for u in self.model.exogenous}

    def chances_of(
        self, chances: Mapping[str, Floats], study: str | None, likelihood: Likelihood | None = None
    ) -> dict[str, Floats]:
        """What was learned of each exogenous variable in a study; what the studies share, without one."""
        return {cause: chances[name] for cause, name in self.names_of(study, likelihood).items()}

    def ask_selected(self, k: int) -> Query | None:
        """P(selected) in an arm, if a rule dropped records of its study."""
        arm, selector = self.arms[k], self.selectors.get(self.arm_of[k])
        if selector is None:
            return None
        model = self.learned_model
        place = [(v, model.variables.index(v)) for v in arm.do]
        do = tuple(Setting(v, (model.states[v] or ())[arm.codes[0, column]]) for v, column in place)
        return Query((Term(1.0, Probability((Atom(PotentialOutcome(selector, do), (KEPT,)),))),))

    def uninformed(self, likelihood: Likelihood) -> dict[str, NDArray[np.bool_]]:
        """The exogenous variables that are local somewhere, and in which segments [s] no record bears on the
        distribution that is asked about."""
        local = {u for own in self.local.values() for u in own}
        asked = self.names_of(self.options.population, likelihood)
        found = {u: np.ones(len(likelihood.n), bool) for u in local}
        for name in asked.values():
            if (cause := likelihood.causes[name]) in local:
                found[cause] &= _records_on(likelihood, name) == 0
        return found

    def judge(self, kept: Kept, *, every_study: bool = False) -> Compatibility:
        """Do the studies agree in these segments? Arms without records in them are not there, for how many are tested
        is part of the verdict. every_study: test each arm by itself, too."""
        arms = kept.arms
        there = [k for k, arm in enumerate(arms) if arm.count.any()]
        verdict = check(
            kept.likelihood,
            [arms[k] for k in there] or arms,
            kept.loglik,
            kept.best,
            level=self.options.level,
            tolerance=self.options.tolerance,
            nulls=self.nulls,
            every_study=every_study,
            design=self._design(there or range(len(arms))),
            independences=kept.independences,
        )
        if len(there) in (0, len(arms)):
            return verdict
        tested = dict(zip(there, verdict.studies, strict=True))
        return verdict._replace(studies=tuple(tested.get(k) or _untested(arm) for k, arm in enumerate(arms)))


class Kept(NamedTuple):
    """What a later reader needs of some segments of a batch: neither restarts nor other segments.

    best [s, u], loglik [s]: at the largest likelihood. converged, steps [s]: of EM.
    """

    segments: list[int]
    arms: list[StudyCounts]
    likelihood: Likelihood
    independences: Independences
    loglik: Floats
    best: dict[str, Floats]
    converged: NDArray[np.bool_]
    steps: NDArray[np.intp]

    def part(self, places: Sequence[int]) -> Kept:
        """The same of the segments at these places, without the others: a copy of all but what a kind shares."""
        own = np.asarray(places, np.intp)
        sliced = cast("slice", own)  # what is indexed are arrays, which take either
        return Kept(
            [self.segments[i] for i in places],
            [replace(arm, count=arm.count[own]) for arm in self.arms],
            self.likelihood.part(sliced),
            self.independences.part(sliced),
            self.loglik[own],
            {name: chances[own] for name, chances in self.best.items()},
            self.converged[own],
            self.steps[own],
        )


@dataclass(frozen=True, eq=False)
class Batch:
    """Segments of one kind (see `learn.segments`), learned; judged when somebody asks. kind: its number, from 0."""

    plan: Plan
    clock: Clock
    segments: list[int]
    kind: int
    arms: list[StudyCounts]
    likelihood: Likelihood
    learned: Learned
    find_independences: Callable[[], Independences]

    @cached_property
    def kept(self) -> Kept:
        """What later readers need of it, whole."""
        own = self.learned
        found = self.find_independences()
        return Kept(self.segments, self.arms, self.likelihood, found, own.loglik, own.best, own.converged, own.steps)

    @cached_property
    def verdict(self) -> Compatibility:
        """The joint test, which tests an arm by itself only where that tells more."""
        found = self.plan.judge(self.kept)
        self.clock.lap("judge")
        return found


class _Ahead:
    """The independences of a kind's segments, some hundred at a time in the order in which they are learned: one by one
    they take ten times as long, and with all at once a limit of time would be over before the first is answered."""

    def __init__(self, model: Model, kind: Kind, split: Sequence[Kind], design: Design, nulls: str) -> None:
        place = {segment: k for k, segment in enumerate(kind.segments)}
        self.order = [place[segment] for own in split for segment in own.segments]
        self.model, self.arms, self.design, self.nulls = model, kind.arms, design, nulls
        self.known: tuple[int, int, Independences | None] = (0, 0, None)

    def find(self, start: int, batch: slice) -> Independences:
        """Of a batch of the segments that begin at `start` of the order."""
        first, last = start + batch.start, start + batch.stop
        begin, end, found = self.known
        if found is None or first < begin or last > end:
            begin, end = first, max(last, first + AHEAD)
            own = self.order[begin:end]
            arms = [replace(arm, count=arm.count[own]) for arm in self.arms]
            found = examine_claims(self.model, arms, self.design, self.nulls)
            self.known = begin, end, found
        return found.part(slice(first - begin, last - begin))


def _untested(arm: StudyCounts) -> StudyTest:
    """Of an arm without records."""
    zero = np.zeros(len(arm.count))
    none, agreed = np.zeros(len(zero), dtype=np.intp), np.ones(len(zero), dtype=bool)
    untold: list[str | None] = [None] * len(zero)
    return StudyTest(arm.name, agreed, zero, zero + 1, zero, none, untold, untold, none)


def _records_on(likelihood: Likelihood, distribution: str) -> Floats:
    """N_j [s]: the records in whose patterns a distribution takes part."""
    for group in likelihood.groups:
        if distribution in group.names:
            return group.records[:, group.names.index(distribution)]
    return np.zeros(len(likelihood.n))


def prepare(
    model: Model,
    tables: Sequence[CountTable],
    by: tuple[str, ...],
    options: Options,
    clock: Clock | None = None,
    spread: bool | None = None,
    queries: Sequence[tuple[str, Query]] = (),
    quick: bool = False,
) -> Plan:
    """The plan of a question about these count tables. queries: that will be asked, with their texts. quick: split also
    causes that could be listed, where nobody asks for their states. Raises `UnknownState`, `TooLarge`, `OptionError`
    for an unknown population, and `Timeout`.

    spread: whether some reader needs restarts where the maximum is found without; left out, if bounds of this method
    do, which rest on restarts with "emcc" alone.
    """
    if options.population is not None:
        options = replace(options, population=_find_study(options.population, [t.name for t in tables]))
    rules = {t.name: t.rule for t in tables if t.rule is not None}
    if rules and options.nulls == "mcar":
        raise OptionError(
            given("nulls", "mcar")
            + " takes each pattern of NULLs as a sample of its own, which the dropped records of "
            + f"{', '.join(map(repr, rules))} are not",
            remedy="use " + given("nulls", "mar"),
            study=next(iter(rules)),
            option="nulls",
        )
    encoded = encode(tables, model.states, by, (clock or Clock(None)).count_on)
    spread = options.method == "emcc" if spread is None else spread
    known = model.with_states(encoded.states)
    listed = PIECED if quick and _splits_well(known, encoded.studies) and not spread else None
    model = restrict(known, pieces=True, listed=listed)
    wide = is_wide(model, listed)
    for variable in () if wide else model.variables:
        model.table(variable)  # refuses a canonical cause that is too large before anything is drawn for it
    extended, studies, selectors = add_selectors(model, encoded.studies, rules)
    states = extended.states
    arms = [(arm, s.name) for s in studies for arm in s.arms(lambda variable, code: (states[variable] or ())[code])]
    local = {s.name: s.local for s in studies}
    plan = Plan(
        model, extended, encoded, [a for a, _ in arms], [n for _, n in arms], selectors, local, options, spread, wide
    )
    if not wide:
        return plan
    labels = {v: own for v, own in states.items() if own is not None}
    asked = []
    for text, query in queries:
        with placing(query=text):
            asked.append(expand(query, labels, extended.parents))
    read = (plan.ask_selected(k) for k in range(len(arms)))
    return replace(plan, asked=[*asked, *(expand(q, labels, extended.parents) for q in read if q is not None)])


def _splits_well(model: Model, studies: Sequence[StudyCounts]) -> bool:
    """Whether pieces answer for sure what lists do: with a value of every variable in each record, and few worlds."""
    complete = all((study.codes >= 0).all() for study in studies)
    return complete and not model.unmeasured and prod(map(model.card, model.variables)) ** 2 <= FEW


def _find_study(named: str, studies: Sequence[str]) -> str:
    """The study that `population` names, exactly or but for case. Raises `OptionError`."""
    for study in (*(s for s in studies if s == named), *studies):
        if study.casefold() == named.casefold():
            return study
    raise OptionError(
        f"population is {named!r}, which is no study; the studies are {', '.join(studies)}",
        remedy=hint(named, studies),
        option="population",
    )
