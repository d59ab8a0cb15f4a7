"""The restarts' values of a query: how far apart Algorithm 1's random starts end, which is what its bounds are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from duckemcc.errors import QueryError
from duckemcc.query.event import ZERO_EVIDENCE, Compiled
from duckemcc.query.language import query as read_query
from duckemcc.query.syntax import Query
from duckemcc.show.plot.canvas import Picture
from duckemcc.show.plot.drawing import Drawing, Point, clean, wrap
from duckemcc.show.plot.rows import find_range, show_interval
from duckemcc.show.plot.scale import Scale, draw_axis, draw_grid

if TYPE_CHECKING:
    from duckemcc.answer.api import Fit

_WIDTH, _MARGIN = 518.0, 12.0
_STEPS = 120.0  # height of the steps
_RADII = (2.4, 2.0, 1.6, 1.3)  # of dots, the first with which all of them find room
_DEEPEST = 66.0  # height of the dots, or the columns, at most
_COLUMNS = 100


def restarts(
    fit: Fit, query: Query | str, *, within: tuple[float, float] | None = None, title: str | None = None
) -> Picture:
    """The distribution of a query over the restarts of a fit: a dot for each, piled up where they are close, or columns
    where they are too many for that; and the share of them up to each value.

    fit: what `emcc.fit` returns. within: bounds to show behind them, such as the sharp ones of `emcc.bounds`.
    Raises as `emcc.query` does, `QueryError` also where the condition has probability zero in every restart, and
    `NotSupported`, once it is looked at, without matplotlib.
    """
    asked = read_query(query)
    values, undefined = evaluate(fit, asked)
    drawing = Drawing(_WIDTH)
    y = _MARGIN
    for line in wrap(clean(title or str(asked)), 11, _WIDTH - 2 * _MARGIN, bold=True):
        drawing.text(_MARGIN, y + 10, line, 11, bold=True)
        y += 15
    for line in wrap(_describe(fit, values, undefined, within), 8, _WIDTH - 2 * _MARGIN):
        drawing.text(_MARGIN, y + 8, line, 8, "muted")
        y += 11
    low, high = find_range(str(asked))
    ends = [*values, *(within or ())]
    scale = Scale(_MARGIN + 34, _WIDTH - 2 * _MARGIN - 44, min(low, *ends), max(high, *ends))
    drawing.height = _draw(drawing, scale, values, within, y + 8) + _MARGIN
    return Picture(drawing)


def evaluate(fit: Fit, query: Query) -> tuple[list[float], int]:
    """The query's value in each restart, in increasing order, and how many restarts leave it undefined.

    Raises `QueryError` where all do.
    """
    chances = {cause: fit.chances[name] for cause, name in fit.distributions.items()}
    found = Compiled(query, fit.model)(chances)
    value, evidence = np.broadcast_arrays(found.value, found.evidence)
    defined = evidence > ZERO_EVIDENCE
    if not defined.any():
        raise QueryError(
            f"{query} is undefined: its condition has probability zero in every restart",
            remedy="condition on something that can happen",
            query=str(query),
        )
    # rounded as bounds are, so that restarts that agree are one place
    return sorted(np.round(value[defined], 12).tolist()), int((~defined).sum())


def _describe(fit: Fit, values: Sequence[float], undefined: int, within: tuple[float, float] | None) -> str:
    told = f"{len(values):,} restarts, {fit.kept:,} of {fit.restarts:,} at the maximum by themselves"
    told += f"; values {show_interval(values[0], values[-1])}"
    told += f"; {undefined:,} leave the query undefined" if undefined else ""
    told += f"; bounds {show_interval(*within)}, the band" if within else "; the exact range may be wider"
    return told + ("" if fit.compatible else "; the data are incompatible, and this is their best fit")


def _draw(
    drawing: Drawing, scale: Scale, values: Sequence[float], within: tuple[float, float] | None, y: float
) -> float:
    bottom = y + _STEPS
    pile = _pile_up([scale.at(value) for value in values])
    strip = 10 + (_DEEPEST if pile is None else pile.height)
    if within is not None:
        left, right = scale.at(within[0]), scale.at(within[1])
        drawing.box(left, y, max(right - left, 1.0), _STEPS + strip, "fill")
    draw_grid(drawing, scale, y, bottom + strip)
    for share, text in ((0.0, "0"), (0.5, "50 %"), (1.0, "100 %")):
        at = bottom - share * _STEPS
        drawing.line((scale.x, at), (scale.end, at), stroke="grid", width=0.8)
        drawing.text(scale.x - 5, at + 3, text, 8, "muted", anchor="end")
    for x in map(scale.at, (values[0], values[-1])):
        drawing.line((x, y), (x, bottom + strip), stroke="ink", width=0.9, dashed=True)
    drawing.line(*_climb(scale, values, bottom), stroke="blue", width=1.6)
    floor = bottom + strip
    if pile is None:
        what = _draw_columns(drawing, scale, values, floor)
    else:
        what = "a dot is a restart"
        for value, level in zip(values, pile.levels, strict=True):
            drawing.dot(scale.at(value), floor - 2 - pile.radius * (2 * level + 1), pile.radius - 0.3, "blue")
    return draw_axis(drawing, scale, floor, f"value of the query; the steps are the share of restarts up to it, {what}")


class Pile(NamedTuple):
    """Dots piled up so that none hides another. levels: of each value, 0 the lowest."""

    radius: float
    levels: list[int]

    @property
    def height(self) -> float:
        return 2 * self.radius * (max(self.levels) + 1)


def _pile_up(places: Sequence[float]) -> Pile | None:
    """Each dot at its own place, on the lowest level that is free there; None where they are too many for that."""
    for radius in _RADII:
        ends: list[float] = []  # of the last dot of each level
        levels = []
        for x in places:
            level = next((k for k, end in enumerate(ends) if end <= x - radius), len(ends))
            if 2 * radius * (level + 1) > _DEEPEST:
                break
            ends[level : level + 1] = [x + radius]
            levels.append(level)
        if len(levels) == len(places):
            return Pile(radius, levels)
    return None


def _draw_columns(drawing: Drawing, scale: Scale, values: Sequence[float], floor: float) -> str:
    """How many values are about each hundredth of the axis; says what a column is."""
    share = (np.array(values) - scale.low) / (scale.high - scale.low)
    places, counts = np.unique(np.round(share * _COLUMNS, 6).round(), return_counts=True)
    most, width = int(counts.max()), scale.width / _COLUMNS
    for place, count in zip(places.tolist(), counts.tolist(), strict=True):
        height = max(_DEEPEST * count / most, 0.8)
        drawing.box(scale.x + (place - 0.5) * width + 0.2, floor - height, width - 0.4, height, "blue")
    drawing.text(scale.x - 5, floor - _DEEPEST + 3, f"{most:,}", 8, "muted", anchor="end")
    return "the columns their number"


def _climb(scale: Scale, values: Sequence[float], bottom: float) -> list[Point]:
    """The empirical distribution function."""
    points: list[Point] = [(scale.x, bottom)]
    for k, value in enumerate(values):
        x = scale.at(value)
        points += [(x, bottom - k / len(values) * _STEPS), (x, bottom - (k + 1) / len(values) * _STEPS)]
    return [*points, (scale.end, bottom - _STEPS)]
