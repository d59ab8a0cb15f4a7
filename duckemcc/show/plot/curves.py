"""Arcs between the boxes of a graph: smooth, around what is in their way, with heads where they end."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from math import hypot

import numpy as np
from numpy.typing import NDArray

from duckemcc.show.plot.drawing import Drawing, Point, Shape
from duckemcc.show.plot.layout import Layout, Node

Floats = NDArray[np.float64]

_SHORTEST = 26.0  # points of an arc between two boxes
_BOWS = (0.22, -0.22, 0.35, -0.35, 0.5, -0.5, 0.8, -0.8, 1.2, -1.2, 1.7, -1.7)


def draw_arcs(drawing: Drawing, layout: Layout, hidden: str) -> None:
    """Arcs first; then dashed ones with two heads for shared causes, bowed to where they cross the least.

    hidden: the colour of what comes from an unmeasured cause.
    """
    taken: list[Floats] = []
    for arc in layout.arcs:
        tail, head = layout.nodes[arc.tail], layout.nodes[arc.head]
        curve = _smooth(arc.points)
        if len(arc.points) == 2 and _count_hits(_sample(curve), _box_others(layout, tail, head)):
            curve = _choose(layout, tail, head, (0.0, *_BOWS), ())
        taken.append(_segments(_sample(curve, 12)))
        _finish(drawing, curve, tail, head, hidden if tail.cause else "ink", dashed=tail.cause, both=False)
    for (one, other), count in layout.shared.items():
        tail, head = layout.nodes[one], layout.nodes[other]
        for _ in range(count):
            curve = _choose(layout, tail, head, _BOWS, taken)
            taken.append(_segments(_sample(curve, 12)))
            _finish(drawing, curve, tail, head, hidden, dashed=True, both=True)


def _choose(
    layout: Layout, tail: Node, head: Node, bows: Iterable[float], taken: Sequence[Floats]
) -> tuple[Point, ...]:
    """Of the curves that swing out by these shares, the shortest; each box and each curve in its way is a detour, and
    more so if there is too little of it between its own boxes."""
    others = _box_others(layout, tail, head)
    lines = np.concatenate(taken) if taken else np.zeros((0, 4))

    def cost(curve: Sequence[Point]) -> float:
        samples = _sample(curve, 60)
        crossings = _count_crossings(_segments(_sample(curve, 12)), lines)
        too_short = _length(_clip(samples, tail, head)) < _SHORTEST
        return _length(samples) + 250 * _count_hits(samples, others) + 60 * crossings + 400 * too_short

    return min((_bow((tail.x, tail.y), (head.x, head.y), b) for b in bows), key=cost)


def _box_others(layout: Layout, tail: Node, head: Node) -> Floats:
    """x, y, half the width and half the height of all other nodes [n, 4]."""
    others = [n for n in layout.nodes.values() if n not in (tail, head)]
    return np.array([(n.x, n.y, n.width / 2, n.height / 2) for n in others]).reshape(-1, 4)


def _segments(points: Sequence[Point]) -> Floats:
    """From where to where [k, 4]."""
    return np.array([(*a, *b) for a, b in pairwise(points)])


def _length(points: Sequence[Point]) -> float:
    return sum(hypot(b[0] - a[0], b[1] - a[1]) for a, b in pairwise(points))


def _count_crossings(own: Floats, others: Floats) -> int:
    """How many pairs of segments cross: the ends of each lie on different sides of the other."""
    a, b = own[:, None, :2], own[:, None, 2:]
    c, d = others[None, :, :2], others[None, :, 2:]

    def side(p: Floats, q: Floats, r: Floats) -> Floats:
        return (q[..., 0] - p[..., 0]) * (r[..., 1] - p[..., 1]) - (q[..., 1] - p[..., 1]) * (r[..., 0] - p[..., 0])

    return int(((side(a, b, c) * side(a, b, d) < 0) & (side(c, d, a) * side(c, d, b) < 0)).sum())


def _count_hits(samples: Sequence[Point], boxes: Floats) -> int:
    """How many boxes a curve passes, or comes too close to."""
    distance = np.abs(np.array(samples)[:, None, :] - boxes[None, :, :2])
    return int((distance < boxes[None, :, 2:] + 4.0).all(axis=2).any(axis=0).sum())


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
        piece = curve[k : k + 4]
        t = np.linspace(0, 1, (pieces or max(12, int(_length(piece) / 2.5))) + 1)[1:]
        s = 1 - t
        weights = np.stack([s * s * s, 3 * s * s * t, 3 * s * t * t, t * t * t], axis=1)
        found += [(x, y) for x, y in (weights @ np.array(piece)).tolist()]
    return found


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
