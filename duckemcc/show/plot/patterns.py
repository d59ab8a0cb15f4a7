"""Observed and fitted frequencies of a study: where it contradicts the graph, or the other studies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from duckemcc.answer.frequencies import FREQUENCY_COLUMNS
from duckemcc.errors import OptionError
from duckemcc.show.plot.canvas import Picture
from duckemcc.show.plot.drawing import Drawing, clean, measure, shorten, wrap
from duckemcc.show.plot.rows import read_table, require, show_number
from duckemcc.show.plot.scale import Scale, draw_axis, draw_grid
from duckemcc.show.plot.segments import name_value, read_segments

if TYPE_CHECKING:
    import pyarrow as pa

MOST_PATTERNS = 24
"""Patterns of a picture at most: those furthest from their fit."""

LEAST = 5e-5
"""The smallest difference that is shown as one."""

_WIDTH, _MARGIN = 518.0, 12.0
_LABEL, _LINE = 8.5, 10.5
_WIDEST_LABEL = 190.0


class Pattern(NamedTuple):
    """One row of the table, with its segment's name."""

    segment: str
    study: str
    pattern: str
    observed: float
    fitted: float
    n: float
    worst: bool
    fault: bool

    @property
    def distance(self) -> float:
        return abs(self.observed - self.fitted)

    @property
    def stands_out(self) -> bool:
        return self.worst and self.distance >= LEAST


class Arm(NamedTuple):
    """One arm of a study in one segment: its patterns, the worst first. rest: how many more are closer to their fit."""

    study: str
    segment: str
    patterns: list[Pattern]
    rest: int


def frequencies(
    table: Any, *, study: str | None = None, segment: str | None = None, title: str | None = None
) -> Picture:
    """Each pattern of a study as it was observed (a full dot) and as the best fit expects it (a ring), the worst first.

    table: what `emcc.frequencies` returns, or a frame of it. study: an arm, such as "trial[Treatment=drug]"; by
    default the one that is at fault, and below it the others that depart from the fit; all of them where none does.
    Arms that are left out are counted in a line. segment: the values of the `by` columns, joined by " · "; by default
    the one with the largest difference at fault.
    Raises `OptionError` for another table, or a study or segment that it does not have; `NotSupported`, once it is
    looked at, without matplotlib.
    """
    arms, rest = select_arms(read_patterns(table), study, segment)
    drawing = Drawing(_WIDTH)
    y = _MARGIN
    where = f"{arms[0].segment}: " if arms[0].segment else ""
    several = f"Observed and fitted{f' in {arms[0].segment}' if where else ''}"
    heading = title or (several if len(arms) > 1 else f"{where}{arms[0].study}, observed and fitted")
    for line in wrap(clean(heading), 11, _WIDTH - 2 * _MARGIN, bold=True):
        drawing.text(_MARGIN, y + 10, line, 11, bold=True)
        y += 15
    for line in wrap(describe_worst(arms), 8.5, _WIDTH - 2 * _MARGIN, most=4):
        drawing.text(_MARGIN, y + 8, line, 8.5, "muted")
        y += 12
    y = _draw(drawing, arms, y + 4)
    if rest:
        drawing.text(_MARGIN, y + 8, describe_rest(rest), 8, "muted")
        y += 14
    drawing.height = _explain(drawing, y + 4, any(p.stands_out for a in arms for p in a.patterns)) + _MARGIN / 2
    return Picture(drawing)


def read_worst(table: pa.Table) -> list[Pattern]:
    """The rows of the segment with the largest difference at fault alone. Raises as `read_patterns` does."""
    import pyarrow as pa
    import pyarrow.compute as pc

    _check(table)
    by = _by(table)
    numbered = table.append_column("", pa.array(range(table.num_rows), pa.int64()))
    for mark in ("fault", "worst"):
        if pc.any(table[mark]).as_py():
            numbered = numbered.filter(numbered[mark])
            break
    apart = pc.abs(pc.subtract(numbered["observed"], numbered["fitted"]))
    place = numbered[""][pc.index(apart, pc.max(apart)).as_py()].as_py()
    segments = read_segments(table, by)
    own = [i for i, segment in enumerate(segments) if segment == segments[place]]
    return read_patterns(table.take(own))


def read_patterns(table: Any) -> list[Pattern]:
    """The rows of a table of frequencies. Raises `OptionError` for another table, or one without rows."""
    found = read_table(table)
    _check(found)
    by = _by(found)
    return [
        Pattern(
            " · ".join(name_value(row[name]) for name in by),
            clean(str(row["study"])),
            clean(str(row["pattern"])),
            float(row["observed"]),
            float(row["fitted"]),
            float(row["n"]),
            bool(row["worst"]),
            bool(row["fault"]),
        )
        for row in found.to_pylist()
    ]


def _check(table: pa.Table) -> None:
    require(table, [name for name in FREQUENCY_COLUMNS if name != "difference"], "emcc.frequencies")
    if not table.num_rows:
        raise OptionError("the table of frequencies has no rows", remedy="ask for a study that has records")


def _by(table: pa.Table) -> list[str]:
    return [name for name in table.column_names if name not in FREQUENCY_COLUMNS]


def select_arms(
    patterns: Sequence[Pattern], study: str | None = None, segment: str | None = None
) -> tuple[list[Arm], int]:
    """The arms to show, of one segment, and how many others it has; see `frequencies`. Raises `OptionError` where there
    is none."""
    for name, given, known in (
        ("study", study, dict.fromkeys(p.study for p in patterns)),
        ("segment", segment, dict.fromkeys(p.segment for p in patterns)),
    ):
        if given is not None and given not in known:
            some = ", ".join(map(repr, list(known)[:12]))
            raise OptionError(
                f"{name} is {given!r}, of which the table has no frequencies", remedy=f"it may be {some}", option=name
            )
    fits = [p for p in patterns if study in (None, p.study) and segment in (None, p.segment)]
    if not fits:
        raise OptionError(
            f"study {study!r} has no records in segment {segment!r}", remedy="name another segment", study=study
        )
    first = min(fits, key=_badness)
    arms: dict[str, list[Pattern]] = {}
    for pattern in sorted((p for p in fits if p.segment == first.segment), key=_badness):
        arms.setdefault(pattern.study, []).append(pattern)
    own = arms.pop(first.study)
    others = [a for a in arms.values() if a[0].stands_out or not own[0].stands_out]
    most = max(4, MOST_PATTERNS // (1 + len(others)))
    shown = [own, *sorted(others, key=lambda arm: -arm[0].distance)][: MOST_PATTERNS // most]
    rest = 1 + len(arms) - len(shown)
    return [Arm(a[0].study, first.segment, a[:most], len(a[most:])) for a in shown], rest


def _badness(pattern: Pattern) -> tuple[bool, bool, float, str]:
    return not pattern.fault, not pattern.worst, -pattern.distance, pattern.pattern


def describe_worst(arms: Sequence[Arm]) -> str:
    """The worst pattern of the arms in a sentence."""
    worst = next((p for arm in arms for p in arm.patterns if p.stands_out), None)
    if worst is None:
        return "every pattern is observed as often as it is fitted"
    return (
        f"worst: {worst.pattern}, observed {show_number(worst.observed)}, fitted {show_number(worst.fitted)}, "
        f"of {worst.n:,.10g} records"
    )


def describe_rest(arms: int) -> str:
    """That so many arms are not shown."""
    return "1 more arm is closer to its fit" if arms == 1 else f"{arms:,} more arms are closer to their fit"


def show_difference(pattern: Pattern) -> str:
    """Observed less fitted, with its sign."""
    difference = pattern.observed - pattern.fitted
    return ("+" if difference >= LEAST else "") + show_number(difference)


def _draw(drawing: Drawing, arms: Sequence[Arm], y: float) -> float:
    """The arms over one axis each has for itself; several have a heading."""
    patterns = [p for arm in arms for p in arm.patterns]
    label = min(_WIDEST_LABEL, max(measure(p.pattern, _LABEL, p.stands_out) for p in patterns) + 2)
    scale = Scale(_MARGIN + label + 12, _WIDTH - 2 * _MARGIN - label - 12 - 74, 0.0, 1.0)
    drawing.text(_WIDTH - _MARGIN, y + 7, "difference", 7.5, "muted", anchor="end")
    for arm in arms:
        if len(arms) > 1:
            drawing.text(_MARGIN, y + 8, shorten(arm.study, 9, _WIDTH - 2 * _MARGIN - 60, True), 9, bold=True)
            y += 4
        y = _draw_arm(drawing, scale, arm, label, y + 10)
        if arm.rest:
            drawing.text(_MARGIN, y + 8, f"{arm.rest:,} more patterns are closer to their fit", 8, "muted")
            y += 12
        y += 8
    return y - 8


def _draw_arm(drawing: Drawing, scale: Scale, arm: Arm, label: float, y: float) -> float:
    heights = [max(18.0, _LINE * len(wrap(p.pattern, _LABEL, label, bold=p.stands_out)) + 6) for p in arm.patterns]
    draw_grid(drawing, scale, y, y + sum(heights) + 2)
    for pattern, height in zip(arm.patterns, heights, strict=True):
        lines = wrap(pattern.pattern, _LABEL, label, bold=pattern.stands_out)
        middle = y + height / 2
        colour = "orange" if pattern.stands_out else "blue"
        for i, line in enumerate(lines):
            at = middle + 3 + _LINE * (i - (len(lines) - 1) / 2)
            drawing.text(_MARGIN, at, line, _LABEL, bold=pattern.stands_out)
        seen, expected = scale.at(pattern.observed), scale.at(pattern.fitted)
        drawing.line((seen, middle), (expected, middle), stroke=colour, width=2.0)
        drawing.dot(expected, middle, 4.0, "paper", colour)
        drawing.dot(seen, middle, 3.2, colour, colour)
        drawing.text(
            _WIDTH - _MARGIN, middle + 3, show_difference(pattern), 8, "ink", anchor="end", bold=pattern.stands_out
        )
        y += height
    return draw_axis(drawing, scale, y + 2)


def _explain(drawing: Drawing, y: float, contradicts: bool) -> float:
    drawing.dot(_MARGIN + 4, y + 6, 3.2, "blue", "blue")
    drawing.text(_MARGIN + 13, y + 9, "observed", 8, "muted")
    drawing.dot(_MARGIN + 74, y + 6, 4.0, "paper", "blue")
    drawing.text(_MARGIN + 83, y + 9, "fitted by all studies together", 8, "muted")
    if contradicts:
        drawing.dot(_MARGIN + 234, y + 6, 3.2, "orange", "orange")
        drawing.text(_MARGIN + 243, y + 9, "contradicts most", 8, "muted")
    return y + 14
