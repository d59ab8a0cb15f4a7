"""The causal graph, drawn without Graphviz: measured variables filled, shared causes dashed, set ones framed twice."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from duckemcc.errors import TooLarge
from duckemcc.model.check import check_known
from duckemcc.model.scm import Model
from duckemcc.show.plot.canvas import Picture
from duckemcc.show.plot.curves import draw_arcs
from duckemcc.show.plot.drawing import Drawing, Point, Shape, Text, clean, measure, wrap
from duckemcc.show.plot.layout import LINE, SIZE, Layout, Node, lay_out

LARGEST_GRAPH = 200
"""Variables of a graph at most."""

_MARGIN = 14.0
_CAUSE = "pink"


def graph(model: Model | str, *, do: str | Iterable[str] = (), title: str | None = None) -> Picture:
    """The graph of a model, from causes on the left to effects on the right.

    Boxes are variables, dashed ones unmeasured. A dashed curve with two heads is an unmeasured cause that two variables
    share; one of three or more is a node of its own. Causes of a single variable are not shown. do: variables that are
    set, framed twice and without the arcs into them, shared causes included.
    Raises as `Model.parse` does, `UnknownName` for a variable of `do` that the model does not have, `TooLarge` for more
    than `LARGEST_GRAPH` variables; `NotSupported`,
    once it is looked at, without matplotlib.
    """
    pscm = model if isinstance(model, Model) else Model.parse(model)
    return Picture(draw_graph(pscm, do, title))


def draw_graph(model: Model, do: str | Iterable[str] = (), title: str | None = None) -> Drawing:
    """The drawing of `graph`."""
    if len(model.variables) > LARGEST_GRAPH:
        raise TooLarge(
            f"the graph has {len(model.variables):,} variables; a picture shows {LARGEST_GRAPH} at most. "
            "Model.to_dot writes it for Graphviz"
        )
    names = set([do] if isinstance(do, str) else do)
    check_known("the intervention sets", sorted(names), model.parents)
    layout = lay_out(model, names)
    inner = Drawing(layout.width)
    draw_arcs(inner, layout, _CAUSE)
    for node in layout.nodes.values():
        _draw_node(inner, node, node.name in names, node.name in model.unmeasured)
    return _frame(inner, clean(title or ""), _list_marks(model, layout, names))


def _list_marks(model: Model, layout: Layout, do: set[str]) -> list[str]:
    """What the legend explains."""
    marks = []
    if layout.shared or any(node.cause for node in layout.nodes.values()):
        marks.append("dashed: an unmeasured cause in common")
    if model.unmeasured:
        marks.append("dashed box: unmeasured")
    if do:
        marks.append("double frame: set by design")
    return marks


def _frame(inner: Drawing, title: str, marks: Sequence[str]) -> Drawing:
    """The drawing moved so that all of it is inside, with title and legend."""
    points = [p for item in inner.items for p in _extent(item)]
    left, right = min(x for x, _ in points), max(x for x, _ in points)
    top, bottom = min(y for _, y in points), max(y for _, y in points)
    width = max(right - left, 150.0) + 2 * _MARGIN
    heading = wrap(title, 11, max(width, 320.0) - 2 * _MARGIN, bold=True) if title else []
    legend = wrap(" · ".join(marks), 8, max(width, 240.0) - 2 * _MARGIN) if marks else []
    widest = [measure(line, 11, True) for line in heading] + [measure(line, 8) for line in legend]
    width = max(width, *(w + 2 * _MARGIN for w in widest)) if widest else width
    drawing = Drawing(width)
    y = _MARGIN
    for line in heading:
        drawing.text(_MARGIN, y + 10, line, 11, bold=True)
        y += 16
    y += 6 if heading else 0
    dx, dy = (width - (right - left)) / 2 - left, y - top
    drawing.items += [_move(item, dx, dy) for item in inner.items]
    y += bottom - top + 6
    for line in legend:
        drawing.text(_MARGIN, y + 12, line, 8, "muted")
        y += 11
    drawing.height = y + _MARGIN - 4
    return drawing


def _extent(item: Text | Shape) -> tuple[Point, ...]:
    return item.points if isinstance(item, Shape) else ()


def _move(item: Text | Shape, dx: float, dy: float) -> Text | Shape:
    if isinstance(item, Shape):
        return item._replace(points=tuple((x + dx, y + dy) for x, y in item.points))
    return item._replace(x=item.x + dx, y=item.y + dy)


# -- nodes -----------------------------------------------------------------------------------------


def _draw_node(drawing: Drawing, node: Node, is_set: bool, unmeasured: bool) -> None:
    hidden = node.cause or unmeasured
    stroke = _CAUSE if node.cause else "ink"
    if is_set:
        drawing.items.append(_rounded(node, 3.0, "paper", stroke, False))
    drawing.items.append(_rounded(node, 0.0, "paper" if hidden else "fill", stroke, hidden))
    for i, line in enumerate(node.lines):
        at = node.y + 0.35 * SIZE + LINE * (i - (len(node.lines) - 1) / 2)
        drawing.text(node.x, at, line, SIZE, "ink", anchor="middle", italic=node.cause)


def _rounded(node: Node, more: float, fill: str, stroke: str, dashed: bool) -> Shape:
    """A box with round corners."""
    w, h = node.width / 2 + more, node.height / 2 + more
    r = min(8.0 + more, h)
    k = r * 0.4477
    x, y = node.x, node.y
    at = [
        (-w + r, -h),
        (-w + r, -h), (w - r, -h), (w - r, -h),
        (w - k, -h), (w, -h + k), (w, -h + r),
        (w, -h + r), (w, h - r), (w, h - r),
        (w, h - k), (w - k, h), (w - r, h),
        (w - r, h), (-w + r, h), (-w + r, h),
        (-w + k, h), (-w, h - k), (-w, h - r),
        (-w, h - r), (-w, -h + r), (-w, -h + r),
        (-w, -h + k), (-w + k, -h), (-w + r, -h),
    ]  # fmt: skip
    return Shape(tuple((x + a, y + b) for a, b in at), fill, stroke, 1.1, dashed, closed=True, curved=True)
