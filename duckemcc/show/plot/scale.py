"""An axis of values: where a number lies on it, its ticks and their grid."""

from __future__ import annotations

from math import ceil, floor, log10
from typing import NamedTuple

from duckemcc.show.plot.drawing import Drawing, measure

TICK_SIZE = 8.0
TALL = 280.0
"""From so many points on, what is drawn over an axis bears it on both sides."""


class Scale(NamedTuple):
    """The interval [low, high] of values over [x, x + width]."""

    x: float
    width: float
    low: float
    high: float

    def at(self, value: float) -> float:
        return self.x + self.width * (value - self.low) / ((self.high - self.low) or 1.0)

    @property
    def end(self) -> float:
        return self.x + self.width


def find_ticks(low: float, high: float, most: int = 6) -> list[float]:
    """At most so many round numbers over an interval, its ends among them where they are round."""
    span = (high - low) or 1.0
    size = 10.0 ** floor(log10(span))
    for step in (size / 10, size / 5, size / 4, size / 2, size, size * 2, size * 5, size * 10):
        first, last = ceil(low / step - 1e-9), floor(high / step + 1e-9)
        if last - first < most:
            return [round(k * step, 12) + 0.0 for k in range(first, last + 1)]
    return [low, high]


def show_tick(value: float) -> str:
    return f"{value:.10g}".replace("-", "−")


def draw_grid(drawing: Drawing, scale: Scale, top: float, bottom: float) -> None:
    """A line for each tick, zero darker where values may be negative."""
    for tick in find_ticks(scale.low, scale.high):
        x = scale.at(tick)
        zero = tick == 0 and scale.low < 0
        drawing.line((x, top), (x, bottom), stroke="axis" if zero else "grid", width=1.0 if zero else 0.8)


def draw_axis_above(drawing: Drawing, scale: Scale, y: float) -> None:
    """The axis once more, its numbers above: of a tall picture nobody sees both ends at once."""
    drawing.line((scale.x, y), (scale.end, y), stroke="axis", width=0.8)
    for tick in find_ticks(scale.low, scale.high):
        x, text = scale.at(tick), show_tick(tick)
        drawing.line((x, y - 3), (x, y), stroke="axis", width=0.8)
        half = measure(text, TICK_SIZE) / 2
        drawing.text(min(x, drawing.width - half - 2), y - 5, text, TICK_SIZE, "muted", anchor="middle")


def draw_axis(drawing: Drawing, scale: Scale, y: float, caption: str = "") -> float:
    """The axis with its ticks' numbers and a caption below; returns where it ends."""
    drawing.line((scale.x, y), (scale.end, y), stroke="axis", width=0.8)
    for tick in find_ticks(scale.low, scale.high):
        x, text = scale.at(tick), show_tick(tick)
        drawing.line((x, y), (x, y + 3), stroke="axis", width=0.8)
        half = measure(text, TICK_SIZE) / 2
        drawing.text(min(x, drawing.width - half - 2), y + 12, text, TICK_SIZE, "muted", anchor="middle")
    if not caption:
        return y + 15
    drawing.text(scale.x + scale.width / 2, y + 24, caption, TICK_SIZE, "muted", anchor="middle")
    return y + 28
