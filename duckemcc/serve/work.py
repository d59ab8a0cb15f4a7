"""The work between counted studies and learned models: encode, compile, learn and judge, segments in batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from duckemcc.learn.compatibility import Compatibility, check
from duckemcc.learn.counts import StudyCounts
from duckemcc.learn.likelihood import Likelihood, compile_likelihood
from duckemcc.learn.restarts import Effort, Learned, learn
from duckemcc.learn.start import draw_starts
from duckemcc.model.scm import Model
from duckemcc.serve.options import Clock, Options
from duckemcc.study.encode import Encoded, encode
from duckemcc.study.read import CountTable

BATCH = 128
"""Segments learned together; larger batches fall out of the cache."""


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
        compiled = compile_likelihood(self.model, self.arms)
        clock.lap("compile")
        for first in range(0, self.segment_count, BATCH):
            clock.tick()
            segments = range(first, min(first + BATCH, self.segment_count))
            batch = slice(segments.start, segments.stop)
            likelihood = compiled.part(batch)
            arms = [replace(arm, count=arm.count[batch]) for arm in self.arms]
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
