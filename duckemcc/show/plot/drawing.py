"""A drawing: shapes and texts in points (1/72 inch), x to the right and y down, for `canvas.py` and the HTML report.

Widths of texts are estimated from the advances of DejaVu Sans, a wide face, so that what fits here fits in others, and
a layout needs no font. Colours go by what they say; the palette is that of Okabe and Ito (2008), which people with any
colour vision tell apart.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, TypeAlias

PALETTE = {
    "ink": "#1f2328",
    "muted": "#5b6470",
    "axis": "#9aa3ad",
    "grid": "#e4e7eb",
    "band": "#f4f5f7",
    "paper": "#ffffff",
    "blue": "#0072b2",
    "orange": "#d55e00",
    "green": "#009e73",
    "pink": "#cc79a7",
    "yellow": "#e69f00",
    "sky": "#56b4e9",
    "fill": "#dce9f5",
}
SERIES = ("blue", "orange", "green", "pink", "yellow", "sky")

# advances of the ASCII characters from the space on, in hundredths of the font size
_ADVANCES = (
    "3240468464957827393950843236323464646464646464646464343484848453996869707763587775292966568675796079"
    "696361736899696169393439845050616355636235636328285828976361636341523963598259595264346484"
)
_WIDTHS = tuple(int(_ADVANCES[i : i + 2]) / 100 for i in range(0, len(_ADVANCES), 2))
_WIDE = 1.0  # Chinese, Japanese, Korean
_OTHER = 0.68
_BOLD = 1.2

Anchor: TypeAlias = Literal["start", "middle", "end"]
Point: TypeAlias = tuple[float, float]


class Text(NamedTuple):
    """y is that of the baseline."""

    x: float
    y: float
    text: str
    size: float = 9.0
    colour: str = "ink"
    anchor: Anchor = "start"
    bold: bool = False
    italic: bool = False


class Shape(NamedTuple):
    """A polyline, or with `curved` cubic Béziers: a point, then three for each piece (two controls, the next point)."""

    points: tuple[Point, ...]
    fill: str | None = None
    stroke: str | None = None
    width: float = 1.0
    dashed: bool = False
    closed: bool = False
    curved: bool = False
    alpha: float = 1.0


@dataclass
class Drawing:
    """What is drawn, the first thing lowest."""

    width: float
    height: float = 0.0
    items: list[Text | Shape] = field(default_factory=list)

    def text(self, x: float, y: float, text: str, size: float = 9.0, colour: str = "ink", **look: object) -> None:
        self.items.append(Text(x, y, text, size, colour, **look))  # type: ignore[arg-type]

    def line(self, *points: Point, stroke: str = "ink", width: float = 1.0, dashed: bool = False) -> None:
        self.items.append(Shape(points, None, stroke, width, dashed))

    def box(self, x: float, y: float, width: float, height: float, fill: str, alpha: float = 1.0) -> None:
        corners = ((x, y), (x + width, y), (x + width, y + height), (x, y + height))
        self.items.append(Shape(corners, fill, closed=True, alpha=alpha))

    def diamond(self, x: float, y: float, radius: float, fill: str) -> None:
        corners = ((x, y - radius), (x + radius, y), (x, y + radius), (x - radius, y))
        self.items.append(Shape(corners, fill, "paper", 0.8, closed=True))

    def dot(self, x: float, y: float, radius: float, fill: str | None, stroke: str | None = None) -> None:
        self.items.append(Shape(circle(x, y, radius), fill, stroke, 1.3, closed=True, curved=True))


def circle(x: float, y: float, radius: float) -> tuple[Point, ...]:
    """Four Béziers."""
    k = 0.5523 * radius
    r = radius
    around = (
        (r, 0), (r, k), (k, r), (0, r), (-k, r), (-r, k), (-r, 0), (-r, -k), (-k, -r), (0, -r), (k, -r), (r, -k), (r, 0)
    )  # fmt: skip
    return tuple((x + dx, y + dy) for dx, dy in around)


# -- texts -----------------------------------------------------------------------------------------


def measure(text: str, size: float, bold: bool = False) -> float:
    """About how wide a text is."""
    return sum(map(_advance, text)) * size * (_BOLD if bold else 1.0)


def _advance(character: str) -> float:
    place = ord(character) - 32
    if 0 <= place < len(_WIDTHS):
        return _WIDTHS[place]
    if unicodedata.combining(character) or unicodedata.category(character) in ("Mn", "Cf"):
        return 0.0
    return _WIDE if unicodedata.east_asian_width(character) in "WF" else _OTHER


def clean(text: str) -> str:
    """The text on one line; what no font or file can hold is replaced by the sign for that."""
    if text.isprintable():  # nothing of all that, which is soon known
        return text
    return "".join(
        " " if c in "\t\n\r" else "\ufffd" if unicodedata.category(c) in ("Cc", "Cs", "Cn") else c for c in text
    )


def shorten(text: str, size: float, width: float, bold: bool = False) -> str:
    """The text, its middle left out where it is wider: both ends of a name tell it from others."""
    if measure(text, size, bold) <= width:
        return text
    keep = len(text) - 1
    while keep > 1 and measure(_leave_out(text, keep), size, bold) > width:
        keep = min(keep - 1, int(keep * 0.95))
    return _leave_out(text, keep)


def _leave_out(text: str, keep: int) -> str:
    return text[: (keep + 1) // 2] + "…" + text[len(text) - keep // 2 :]


def wrap(text: str, size: float, width: float, most: int = 3, bold: bool = False) -> list[str]:
    """Lines of at most this width, broken after spaces and the signs within names; the last of `most` is shortened."""
    lines: list[str] = []
    rest = text
    while rest and len(lines) < most - 1 and measure(rest, size, bold) > width:
        cut = _find_break(rest, size, width, bold)
        lines.append(rest[:cut].rstrip())
        rest = rest[cut:].lstrip()
    return [*lines, shorten(rest, size, width, bold)] if rest or not lines else lines


def _find_break(text: str, size: float, width: float, bold: bool) -> int:
    """How many characters to put on the line: up to the last good place, unless that is far from its end."""
    fits, used = 1, 0.0
    for i, character in enumerate(text):
        used += measure(character, size, bold)
        if used > width and i > 0:
            break
        fits = i + 1
    for signs in (" ", ",|_-./·=(["):
        places = [i + 1 for i in range(fits) if text[i] in signs]
        if places and places[-1] >= fits * 0.4:
            return places[-1]
    return fits
