"""Strips: an interval, or a frequency beside its fit, drawn in percent of whatever width the page has."""

from __future__ import annotations

from duckemcc.show.page.tags import Html, join, tag
from duckemcc.show.plot.bars import DOUBTFUL, LEGEND, TINT
from duckemcc.show.plot.patterns import Pattern
from duckemcc.show.plot.rows import Row, show_interval, show_number
from duckemcc.show.plot.scale import Scale, find_ticks, show_tick

_INSET = 2.0  # percent left free on either side
_MIDDLE = 13.0


def find_scale(low: float, high: float) -> Scale:
    """The scale of a strip, in percent."""
    return Scale(_INSET, 100 - 2 * _INSET, low, high)


def show_scale(scale: Scale) -> Html:
    """The ends of a strip's scale, for the head of its column."""
    ends = (tag("span", show_tick(round(end, 6))) for end in (scale.low, scale.high))
    return tag("span", ends, class_="scale")


def draw_interval(row: Row, scale: Scale) -> Html:
    """A row's interval, or the words that stand for it."""
    if row.lower is None or row.upper is None:
        return tag("span", row.reason, class_="quiet")
    shapes = [_grid(scale), _marks(row, scale)]
    ends = f"{show_tick(round(scale.low, 6))} to {show_tick(round(scale.high, 6))}"
    label = f"{row.words}: {show_interval(row.lower, row.upper)}, on a scale from {ends}"
    return _frame(shapes, label)


def _marks(row: Row, scale: Scale) -> Html:
    lower, upper = row.lower or 0.0, row.upper or 0.0
    colour = DOUBTFUL if row.doubtful else "blue"
    parts: list[Html] = []
    if row.outer is not None and row.has_outer:
        parts.append(_bar(scale, min(row.outer[0], lower), max(row.outer[1], upper), colour, TINT))
    if row.limits is not None:
        parts.append(_line(scale.at(row.limits[0]), scale.at(row.limits[1]), _MIDDLE, _MIDDLE))
    if row.status == "identified":
        parts.append(_diamond(scale.at((lower + upper) / 2), colour))
    else:
        parts.append(_bar(scale, lower, upper, colour))
        if not row.doubtful:
            exact = ((row.exact_lower, lower), (row.exact_upper, upper))
            parts += [_line(scale.at(end), scale.at(end), 6, 20, 2.0) for proven, end in exact if proven]
    parts += [_line(scale.at(x), scale.at(x), _MIDDLE - 4, _MIDDLE + 4) for x in row.limits or ()]
    return join(parts)


def draw_frequency(pattern: Pattern) -> Html:
    """The observed frequency of a pattern, a full dot, and the fitted one, a ring."""
    scale = find_scale(0.0, 1.0)
    seen, expected = scale.at(pattern.observed), scale.at(pattern.fitted)
    colour = "orange" if pattern.stands_out else "blue"
    line = tag(
        "line", x1=f"{seen:.3f}%", x2=f"{expected:.3f}%", y1=_MIDDLE, y2=_MIDDLE, class_=f"s-{colour}", stroke_width=2.5
    )
    ring = tag("circle", cx=f"{expected:.3f}%", cy=_MIDDLE, r=5, class_=f"f-paper s-{colour}", stroke_width=1.8)
    dot = tag("circle", cx=f"{seen:.3f}%", cy=_MIDDLE, r=4.4, class_=f"f-{colour}")
    label = f"observed {show_number(pattern.observed)}, fitted {show_number(pattern.fitted)}, on a scale from 0 to 1"
    return _frame([_grid(scale), line, ring, dot], label)


def draw_legend(rows: list[Row], limits: str) -> Html:
    """What the marks of these rows mean. limits: what they are called."""
    used = {kind for row in rows for kind in _kinds(row)}
    names = {kind: words for kind, (words, _) in LEGEND.items()} | {"limits": limits}
    return tag(
        "ul",
        (tag("li", _sample(kind), tag("span", words)) for kind, words in names.items() if kind in used),
        class_="legend",
    )


def _kinds(row: Row) -> set[str]:
    if row.lower is None or row.upper is None:
        return set()
    kinds = {"doubtful" if row.doubtful else "identified" if row.status == "identified" else "bounds"}
    if row.has_outer:
        kinds.add("outer")
    if row.limits is not None:
        kinds.add("limits")
    if "bounds" in kinds and (row.exact_lower or row.exact_upper):
        kinds.add("exact")
    return kinds


def _sample(kind: str) -> Html:
    scale = Scale(0.0, 100.0, 0.0, 1.0)
    shapes = {
        "bounds": lambda: _bar(scale, 0, 1, "blue"),
        "outer": lambda: _bar(scale, 0, 1, "blue", TINT),
        "exact": lambda: join(_bar(scale, 0.2, 1, "blue"), _line(20, 20, 6, 20, 2.0)),
        "identified": lambda: _diamond(50, "blue"),
        "limits": lambda: join(_line(0, 100, 13, 13), _line(0, 0, 9, 17), _line(100, 100, 9, 17)),
        "doubtful": lambda: _bar(scale, 0, 1, DOUBTFUL),
    }
    return tag("svg", tag("g", shapes[kind](), transform="translate(0 -4)"), class_="strip", aria_hidden="true")


# -- shapes ----------------------------------------------------------------------------------------


def _frame(shapes: list[Html], label: str) -> Html:
    return tag("svg", shapes, class_="strip", role="img", aria_label=label)


def _grid(scale: Scale) -> Html:
    """Lines at the ticks, and on a phone the numbers of the first, the last and zero."""
    ticks = find_ticks(scale.low, scale.high)
    lines = (_line(scale.at(t), scale.at(t), 1, 25, 1.0, "axis" if t == 0 and scale.low < 0 else "grid") for t in ticks)
    named = dict.fromkeys([ticks[0], *(t for t in ticks if t == 0), ticks[-1]])
    anchors = {ticks[0]: "start", ticks[-1]: "end"}
    look = "tick f-muted"
    numbers = (
        tag("text", show_tick(t), x=f"{scale.at(t):.3f}%", y=37, text_anchor=anchors.get(t, "middle"), class_=look)
        for t in named
    )
    return join(lines, numbers)


def _bar(scale: Scale, low: float, high: float, colour: str, opacity: float | None = None) -> Html:
    left, right = scale.at(low), scale.at(high)
    width = max(right - left, 0.6)
    x = (left + right - width) / 2
    return tag("rect", x=f"{x:.3f}%", y=8, width=f"{width:.3f}%", height=10, class_=f"f-{colour}", opacity=opacity)


def _line(x1: float, x2: float, y1: float, y2: float, width: float = 1.2, colour: str = "ink") -> Html:
    return tag("line", x1=f"{x1:.3f}%", x2=f"{x2:.3f}%", y1=y1, y2=y2, class_=f"s-{colour}", stroke_width=width)


def _diamond(x: float, colour: str) -> Html:
    path = tag("path", d="M0 6.5L6.5 13L0 19.5L-6.5 13Z", class_=f"f-{colour} s-paper", stroke_width=1)
    return tag("svg", path, x=f"{x:.3f}%", style="overflow:visible")
