"""The causal graph, drawn without Graphviz: measured variables filled, shared causes dashed, set ones framed twice."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from math import hypot

from duckemcc.model.check import check_known
from duckemcc.model.scm import Model
from duckemcc.serve.plot.canvas import Picture
from duckemcc.serve.plot.drawing import Drawing, Point, Shape, Text, clean, measure, wrap
from duckemcc.serve.plot.layout import LINE, SIZE, Layout, Node, lay_out

_MARGIN = 14.0
_CAUSE = "pink"
_SHORTEST = 26.0  # points of an arc between two boxes
_BOWS = (0.22, -0.22, 0.35, -0.35, 0.5, -0.5, 0.8, -0.8, 1.2, -1.2, 1.7, -1.7)


def graph(model: Model | str, *, do: str | Iterable[str] = (), title: str | None = None) -> Picture:
    """The graph of a model, from causes on the left to effects on the right.

    Boxes are variables, dashed ones unmeasured. A dashed curve with two heads is an unmeasured cause that two variables
    share; one of three or more is a node of its own. Causes of a single variable are not shown. do: variables that are
    set, framed twice and without the arcs into them, shared causes included.
    Raises as `Model.parse` does, `UnknownName` for a variable of `do` that the model does not have; `NotSupported`,
    once it is looked at, without matplotlib.
    """
    pscm = model if isinstance(model, Model) else Model.parse(model)
    return Picture(draw_graph(pscm, do, title))


def draw_graph(model: Model, do: str | Iterable[str] = (), title: str | None = None) -> Drawing:
    """The drawing of `graph`."""
    names = set([do] if isinstance(do, str) else do)
    check_known("the intervention sets", sorted(names), model.parents)
    layout = lay_out(model, names)
    inner = Drawing(layout.width)
    _draw_arcs(inner, layout)
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


# -- arcs ------------------------------------------------------------------------------------------


def _draw_arcs(drawing: Drawing, layout: Layout) -> None:
    """Arcs first; then dashed ones with two heads for shared causes, bowed to where they cross the least."""
    curves = []
    for arc in layout.arcs:
        tail, head = layout.nodes[arc.tail], layout.nodes[arc.head]
        curve = _smooth(arc.points)
        others = [n for n in layout.nodes.values() if n not in (tail, head)]
        if len(arc.points) == 2 and _count_hits(_sample(curve), others):
            bowed = [_bow(arc.points[0], arc.points[1], b) for b in (0.0, *_BOWS)]
            curve = min(bowed, key=lambda c: _cost(c, tail, head, others, ()))
        curves.append(_sample(curve, 12))
        _finish(drawing, curve, tail, head, _CAUSE if tail.cause else "ink", dashed=tail.cause, both=False)
    for (one, other), count in layout.shared.items():
        tail, head = layout.nodes[one], layout.nodes[other]
        others = [n for n in layout.nodes.values() if n not in (tail, head)]
        for _ in range(count):
            bowed = [_bow((tail.x, tail.y), (head.x, head.y), b) for b in _BOWS]
            curve = min(bowed, key=lambda c: _cost(c, tail, head, others, curves))
            curves.append(_sample(curve, 12))
            _finish(drawing, curve, tail, head, _CAUSE, dashed=True, both=True)


def _cost(
    curve: Sequence[Point], tail: Node, head: Node, others: Sequence[Node], curves: Sequence[Sequence[Point]]
) -> float:
    """How long a curve is, and more for each box and each curve in its way, or where there is too little of it."""
    samples, coarse = _sample(curve), _sample(curve, 12)
    crossings = sum(_crosses(coarse, other) for other in curves)
    hidden = _length(_clip(samples, tail, head)) < _SHORTEST
    return _length(samples) + 250 * _count_hits(samples, others) + 60 * crossings + 400 * hidden


def _length(points: Sequence[Point]) -> float:
    return sum(hypot(b[0] - a[0], b[1] - a[1]) for a, b in pairwise(points))


def _crosses(one: Sequence[Point], other: Sequence[Point]) -> bool:
    return any(_meet(a, b, c, d) for a, b in pairwise(one) for c, d in pairwise(other))


def _meet(a: Point, b: Point, c: Point, d: Point) -> bool:
    """Whether two segments cross."""

    def side(p: Point, q: Point, r: Point) -> float:
        return (q[0] - p[0]) * (r[1] - p[1]) - (q[1] - p[1]) * (r[0] - p[0])

    return side(a, b, c) * side(a, b, d) < 0 and side(c, d, a) * side(c, d, b) < 0


def _count_hits(samples: Sequence[Point], nodes: Sequence[Node]) -> int:
    return sum(any(_inside(p, n, 4.0) for p in samples) for n in nodes)


def _inside(point: Point, node: Node, more: float) -> bool:
    return abs(point[0] - node.x) < node.width / 2 + more and abs(point[1] - node.y) < node.height / 2 + more


def _smooth(points: Sequence[Point]) -> tuple[Point, ...]:
    """Béziers through all points (Catmull & Rom 1974)."""
    curve = [points[0]]
    for k, (a, b) in enumerate(pairwise(points)):
        before = points[k - 1] if k else a
        after = points[k + 2] if k + 2 < len(points) else b
        curve += [
            (a[0] + (b[0] - before[0]) / 6, a[1] + (b[1] - before[1]) / 6),
            (b[0] - (after[0] - a[0]) / 6, b[1] - (after[1] - a[1]) / 6),
            b,
        ]
    return tuple(curve)


def _bow(a: Point, b: Point, bow: float) -> tuple[Point, ...]:
    """One Bézier that swings out by a share of the distance, above for a positive one."""
    dx, dy = b[0] - a[0], b[1] - a[1]
    length = hypot(dx, dy) or 1.0
    reach = bow * max(length, 60.0)
    nx, ny = dy / length * reach, -dx / length * reach
    return a, (a[0] + dx / 4 + nx, a[1] + dy / 4 + ny), (a[0] + 3 * dx / 4 + nx, a[1] + 3 * dy / 4 + ny), b


def _sample(curve: Sequence[Point], pieces: int = 0) -> list[Point]:
    """Points on the curve, a few to the inch or so many for each piece."""
    found = [curve[0]]
    for k in range(0, len(curve) - 1, 3):
        a, b, c, d = curve[k : k + 4]
        count = pieces or max(12, int(_length((a, b, c, d)) / 2.5))
        for i in range(1, count + 1):
            t = i / count
            s = 1 - t
            weights = s * s * s, 3 * s * s * t, 3 * s * t * t, t * t * t
            found.append((_mean(weights, a[0], b[0], c[0], d[0]), _mean(weights, a[1], b[1], c[1], d[1])))
    return found


def _mean(weights: Sequence[float], *values: float) -> float:
    return sum(w * v for w, v in zip(weights, values, strict=True))


def _clip(samples: Sequence[Point], tail: Node, head: Node) -> Sequence[Point]:
    """What of a curve is between two boxes: after it has left the one, until it enters the other."""
    first = max((i for i, p in enumerate(samples) if _inside(p, tail, 2.5)), default=-1) + 1
    last = min((i for i, p in enumerate(samples) if i >= first and _inside(p, head, 2.5)), default=len(samples))
    return samples[first:last]


def _finish(
    drawing: Drawing, curve: Sequence[Point], tail: Node, head: Node, colour: str, *, dashed: bool, both: bool
) -> None:
    """The part of a curve between two boxes, with heads."""
    shown = _clip(_sample(curve), tail, head)
    if len(shown) < 2:
        shown = [(tail.x, tail.y), (head.x, head.y)]
    drawing.line(*shown, stroke=colour, width=1.2, dashed=dashed)
    _draw_head(drawing, shown[::-1], colour)
    if both:
        _draw_head(drawing, shown, colour)


def _draw_head(drawing: Drawing, path: Sequence[Point], colour: str) -> None:
    """A head at the first point of the path, over the line's end."""
    tip = path[0]
    back = next((p for p in path if hypot(p[0] - tip[0], p[1] - tip[1]) > 6.0), path[-1])
    length = hypot(tip[0] - back[0], tip[1] - back[1]) or 1.0
    ux, uy = (tip[0] - back[0]) / length, (tip[1] - back[1]) / length
    tip = tip[0] + 1.5 * ux, tip[1] + 1.5 * uy
    base = tip[0] - 7 * ux, tip[1] - 7 * uy
    corners = (tip, (base[0] - 3 * uy, base[1] + 3 * ux), (base[0] + 3 * uy, base[1] - 3 * ux))
    drawing.items.append(Shape(corners, colour, closed=True))
