"""HTML as values: what is no `Html` is escaped, wherever it came from; and a drawing as inline SVG."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from itertools import groupby
from typing import TypeAlias

from duckemcc.errors import masked
from duckemcc.show.plot.drawing import Drawing, Shape, Text, clean


class Html(str):
    """Text that is markup already."""

    __slots__ = ()


Child: TypeAlias = "Html | str | int | Iterable[Child] | None"

_EMPTY = frozenset({"meta", "br", "rect", "line", "circle", "path", "col"})
_READ = frozenset({"aria_label", "title", "alt", "content", "id", "href"})


def tag(name: str, /, *children: Child, **attributes: str | float | None) -> Html:
    """An element. Attributes that are None are left out; ``class_`` is ``class``, and ``data_label`` ``data-label``."""
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{_escape(_told(key, show(value)))}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in _EMPTY:
        return Html(f"<{name}{written}/>" if name not in ("meta", "br", "col") else f"<{name}{written}>")
    return Html(f"<{name}{written}>{join(*children)}</{name}>")


def join(*children: Child) -> Html:
    """Children one after the other."""
    return Html("".join(map(_render, children)))


def _render(child: Child) -> str:
    if child is None:
        return ""
    if isinstance(child, Html):
        return child
    if isinstance(child, (str, int)):
        return _escape(masked(str(child)))
    return "".join(map(_render, child))


def _escape(text: str) -> str:
    return escape(clean(text), quote=True)


def _told(key: str, value: str) -> str:
    """An attribute's text; one that is read is masked, one that is drawn with is not."""
    return masked(value) if key in _READ or key.startswith("data_") else value


def show(value: str | float) -> str:
    """An attribute's value; numbers to a hundredth."""
    return value if isinstance(value, str) else f"{value:.2f}".rstrip("0").rstrip(".")


# -- drawings --------------------------------------------------------------------------------------

_SCALE = 1.3  # pixels of a point
_SMALLEST = 0.9  # what they may shrink to; below, the drawing is scrolled instead


def draw_inline(drawing: Drawing, label: str) -> Html:
    """The drawing as SVG that takes the page's colours; wide ones scroll in a frame of their own. label: for those who
    do not see it."""
    width = drawing.width * _SCALE
    items = [mark for look, same in groupby(drawing.items, _look) for mark in _draw_same(look, list(same))]
    svg = tag(
        "svg",
        items,
        viewBox=f"0 0 {show(drawing.width)} {show(drawing.height)}",
        role="img",
        aria_label=label,
        style=f"width:{show(width)}px;min-width:{show(drawing.width * _SMALLEST)}px",
    )
    return tag("div", svg, class_="picture", tabindex=0)


def _draw_text(text: Text) -> Html:
    look = f"f-{text.colour}{' bold' if text.bold else ''}{' italic' if text.italic else ''}"
    anchor = None if text.anchor == "start" else text.anchor
    return tag("text", text.text, x=text.x, y=text.y, font_size=text.size, text_anchor=anchor, class_=look)


def _look(item: Text | Shape) -> Shape | None:
    """A shape without its points, which those after it may share."""
    return item._replace(points=()) if isinstance(item, Shape) else None


def _draw_same(look: Shape | None, items: Sequence[Text | Shape]) -> list[Html]:
    """Texts one by one, shapes of the same look as one path."""
    if look is None:
        return [_draw_text(item) for item in items if isinstance(item, Text)]
    return [
        tag(
            "path",
            d="".join(_trace(item) for item in items if isinstance(item, Shape)),
            class_=f"f-{look.fill or 'none'} s-{look.stroke or 'none'}",
            stroke_width=look.width if look.stroke else None,
            stroke_dasharray="4 3" if look.dashed else None,
            opacity=look.alpha if look.alpha < 1 else None,
        )
    ]


def _trace(shape: Shape) -> str:
    first, *rest = (f"{show(x)} {show(y)}" for x, y in shape.points)
    return f"M{first}{'C' if shape.curved else 'L'}{' '.join(rest)}{'Z' if shape.closed else ''}"
