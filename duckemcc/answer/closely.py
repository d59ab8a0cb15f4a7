"""Bounds with a close look at some segments: what a report needs, learned once.

Bounds come first, of all segments. Meanwhile the segments that contradict most are kept as their batches go by, with no
more of them than a close look needs (`plan.Kept`). What is then left of the time is for each study's own test there,
and for the frequencies of the segment that contradicts most.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from duckemcc.answer.arrange import in_order
from duckemcc.answer.bounds import bound_segments
from duckemcc.answer.compatibility import NO_ROW, Selected, describe_segment, find_selected
from duckemcc.answer.frequencies import FREQUENCY_COLUMNS, describe_patterns
from duckemcc.answer.options import Clock, Options, timed
from duckemcc.answer.plan import Batch, Kept, Plan, prepare
from duckemcc.answer.schema import STUDY_COLUMNS
from duckemcc.errors import Timeout, TooLarge
from duckemcc.model.scm import Model
from duckemcc.query.syntax import Query
from duckemcc.study.table import CountTable

if TYPE_CHECKING:
    import pyarrow as pa

MOST_PICKED = 60
"""Segments that are looked at closely."""


class Closely(NamedTuple):
    """The tables of one question: as from `bounds`, and of some segments as from `compatibility` and `frequencies`.

    compatibility: of those that contradict most and then of the first ones, of all if they are no more than
    `MOST_PICKED`; None if there was no time for any. frequencies: of the segment that contradicts most; None if none
    does or there was no time. late: what there was no time for, if anything.
    """

    bounds: pa.Table
    compatibility: pa.Table | None = None
    frequencies: pa.Table | None = None
    late: Timeout | None = None


@timed
def answer_closely(
    model: Model,
    tables: Sequence[CountTable],
    queries: Sequence[tuple[str, Query]],
    by: tuple[str, ...],
    options: Options,
    clock: Clock,
) -> Closely:
    """The bounds of counted studies with a close look, all in the time of one clock. Raises `Timeout` if there was no
    time to find out which segments there are."""
    plan = prepare(model, tables, by, options, clock, queries=queries, quick=options.confidence is None)
    picked = Picked(plan, MOST_PICKED)
    refused: dict[int, TooLarge] | None = {} if by else None
    bounds, late = bound_segments(plan, queries, clock, refused, picked.read)
    segments = picked.segments
    clock.reserved = clock.row * len(segments)
    rows: dict[int, list[dict[str, Any]]] = {}
    frequencies = None
    try:
        for kept, selected in picked.looks:
            clock.tick()
            verdict = plan.judge(kept, every_study=True)
            rows |= {s: describe_segment(kept, verdict, i, selected[i]) for i, s in enumerate(kept.segments)}
            clock.lap("judge")
        if (worst := picked.worst) is not None:
            clock.tick()
            frequencies = in_order(describe_patterns(plan, worst), FREQUENCY_COLUMNS, plan, clock, only=worst.segments)
    except Timeout as over:
        late = over
    if late is not None and not rows:
        return Closely(bounds, None, frequencies, late)
    rows |= dict.fromkeys(plan.empty_segments, NO_ROW)
    rows |= {s: [{"message": str(large)}] for s, large in (refused or {}).items()}
    blank = None if late is None else {"message": str(late)}
    own = {s: rows[s] for s in segments if s in rows}
    return Closely(bounds, in_order(own, STUDY_COLUMNS, plan, clock, blank, segments), frequencies, late)


class Look(NamedTuple):
    """What is picked of a batch, with the ranges of P(selected) in each segment."""

    kept: Kept
    selected: list[Selected]


class Picked:
    """The segments to look at closely, of the batches that were read so far.

    Whether a segment is picked depends only on those that contradict more, so one that was let go is never wanted
    again.
    """

    def __init__(self, plan: Plan, most: int) -> None:
        self.plan, self.most = plan, most
        self.looks: list[Look] = []
        self._misfit: dict[int, float] = {}  # of the segments that contradict, the worst first

    @property
    def segments(self) -> list[int]:
        """Their positions, ascending: those that contradict most, then the first."""
        chosen = dict.fromkeys([*self._misfit, *range(min(self.most, self.plan.segment_count))])
        return sorted(list(chosen)[: self.most])

    @property
    def worst(self) -> Kept | None:
        """The segment that contradicts most, if one does."""
        for segment in self._misfit:
            for kept, _ in self.looks:
                if segment in kept.segments:
                    return kept.part([kept.segments.index(segment)])
        return None

    def read(self, batch: Batch) -> None:
        """Keeps what is picked of a batch, and lets go of what has nothing picked any more."""
        verdict = batch.verdict
        bad = {s: float(verdict.misfit[i]) for i, s in enumerate(batch.segments) if not verdict.compatible[i]}
        worst = sorted((self._misfit | bad).items(), key=lambda one: (-one[1], one[0]))
        self._misfit = dict(worst[: self.most])
        picked = set(self.segments)
        self.looks = [look for look in self.looks if not picked.isdisjoint(look.kept.segments)]
        if places := [i for i, s in enumerate(batch.segments) if s in picked]:
            self.looks.append(Look(batch.kept.part(places), find_selected(batch, places, verdict)))
