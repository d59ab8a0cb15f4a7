"""Where the nodes of a graph stand: layers by longest paths, ordered by barycentres (Sugiyama, Tagawa & Toda 1981).

A long arc passes its layers through waypoints, which take part in the ordering, so that nodes make room for it. Shared
causes of two variables are arcs of their own, drawn as curves; a cause of three or more is a node before its children.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple, TypeAlias

from duckemcc.model.scm import Model
from duckemcc.show.plot.drawing import Point, clean, measure, wrap

SIZE = 9.5  # of a name
LINE = 12.0
WIDEST_NAME = 120.0
MOST_LINES = 4

_PAD_X, _PAD_Y = 9.0, 6.0
_GAP_X, _GAP_Y = 44.0, 20.0
_ROUNDS = 12

Key: TypeAlias = "str | tuple[str, str, int]"
"""A node by its name, or a waypoint by its arc and its layer."""


class Node(NamedTuple):
    """x, y: its middle. cause: it is an unmeasured cause of three variables or more."""

    name: str
    lines: tuple[str, ...]
    x: float
    y: float
    width: float
    height: float
    cause: bool


class Arc(NamedTuple):
    """points: the middle of the parent, waypoints, the middle of the child."""

    tail: str
    head: str
    points: tuple[Point, ...]


class Layout(NamedTuple):
    """shared: pairs of variables with a cause in common, with the number of such causes."""

    nodes: dict[str, Node]
    arcs: list[Arc]
    shared: dict[tuple[str, str], int]
    width: float
    height: float


@dataclass
class _Graph:
    """What is laid out: names with their parents, model order first."""

    parents: dict[str, list[str]]
    causes: set[str]
    shared: dict[tuple[str, str], int]


def lay_out(model: Model, do: Iterable[str] = ()) -> Layout:
    """The layout of a model's graph, the arcs into the variables of `do` left out."""
    graph = _read(model, set(do))
    layer = _find_layers(graph)
    rows, chains = _add_waypoints(graph, layer)
    _order(rows, chains)
    return _place(graph, rows, chains)


def _read(model: Model, do: set[str]) -> _Graph:
    parents = {v: [] if v in do else list(model.parents[v]) for v in model.order}
    causes: set[str] = set()
    shared: dict[tuple[str, str], int] = {}
    for u in model.exogenous:
        children = [c for c in model.order if c in u.children and c not in do]
        if len(children) == 2:
            pair = children[0], children[1]
            shared[pair] = shared.get(pair, 0) + 1
        elif len(children) > 2:
            causes.add(u.name)
            for child in children:
                parents[child].append(u.name)
    return _Graph({u: [] for u in sorted(causes)} | parents, causes, shared)


def _find_layers(graph: _Graph) -> dict[str, int]:
    """Longest paths from the roots; then each root as close to its first child as it can be, and what has no arc at all
    beside what it shares a cause with."""
    layer: dict[str, int] = {}
    for name in graph.parents:
        layer[name] = 1 + max((layer[p] for p in graph.parents[name]), default=-1)
    children = _invert(graph.parents)
    for name in graph.parents:
        if not graph.parents[name] and children[name]:
            layer[name] = min(layer[c] for c in children[name]) - 1
    for one, other in graph.shared:
        for lone, tied in ((one, other), (other, one)):
            if not graph.parents[lone] and not children[lone]:
                layer[lone] = layer[tied]
    first = min(layer.values())
    return {name: k - first for name, k in layer.items()}


def _invert(parents: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    children: dict[str, list[str]] = {name: [] for name in parents}
    for name, above in parents.items():
        for parent in above:
            children[parent].append(name)
    return children


def _add_waypoints(graph: _Graph, layer: Mapping[str, int]) -> tuple[list[list[Key]], dict[tuple[str, str], list[Key]]]:
    """The members of each layer, and for each arc what it passes from tail to head."""
    rows: list[list[Key]] = [[] for _ in range(max(layer.values()) + 1)]
    for name in graph.parents:
        rows[layer[name]].append(name)
    chains: dict[tuple[str, str], list[Key]] = {}
    for head, above in graph.parents.items():
        for tail in above:
            between: list[Key] = [(tail, head, k) for k in range(layer[tail] + 1, layer[head])]
            for k, waypoint in enumerate(between, layer[tail] + 1):
                rows[k].append(waypoint)
            chains[tail, head] = [tail, *between, head]
    return rows, chains


def _order(rows: list[list[Key]], chains: Mapping[tuple[str, str], Sequence[Key]]) -> None:
    """Sweeps down and up the layers; of all orders met, the one with the fewest crossings."""
    before, after = _neighbours(rows, chains)
    best, fewest = [list(row) for row in rows], _count_crossings(rows, after)
    for sweep in range(_ROUNDS):
        sides = (range(1, len(rows)), before) if sweep % 2 == 0 else (range(len(rows) - 2, -1, -1), after)
        for k in sides[0]:
            place = {key: i for row in rows for i, key in enumerate(row)}
            _sort_row(rows[k], sides[1], place)
        if (crossings := _count_crossings(rows, after)) < fewest:
            best, fewest = [list(row) for row in rows], crossings
    for k, row in enumerate(best):
        rows[k] = row


def _neighbours(
    rows: Sequence[Sequence[Key]], chains: Mapping[tuple[str, str], Sequence[Key]]
) -> tuple[dict[Key, list[Key]], dict[Key, list[Key]]]:
    """What each is tied to in the layer before it, and in the one after it."""
    before: dict[Key, list[Key]] = {key: [] for row in rows for key in row}
    after: dict[Key, list[Key]] = {key: [] for row in rows for key in row}
    for chain in chains.values():
        for tail, head in pairwise(chain):
            after[tail].append(head)
            before[head].append(tail)
    return before, after


def _sort_row(row: list[Key], sides: Mapping[Key, Sequence[Key]], place: Mapping[Key, int]) -> None:
    def barycentre(key: Key) -> float:
        ties = sides[key]
        return sum(place[t] for t in ties) / len(ties) if ties else place[key]

    row.sort(key=lambda key: (barycentre(key), place[key]))


def _count_crossings(rows: Sequence[Sequence[Key]], after: Mapping[Key, Sequence[Key]]) -> int:
    crossings = 0
    for row, following in pairwise(rows):
        place = {key: i for i, key in enumerate(following)}
        ends = [sorted(place[h] for h in after[key]) for key in row]
        seen: list[int] = []
        for own in ends:
            crossings += sum(1 for end in own for other in seen if other > end)
            seen += own
    return crossings


# -- places ----------------------------------------------------------------------------------------


def _place(graph: _Graph, rows: Sequence[Sequence[Key]], chains: Mapping[tuple[str, str], Sequence[Key]]) -> Layout:
    """Layers from left to right, wide enough for their names; members moved towards what they are tied to."""
    lines = {name: tuple(wrap(clean(name), SIZE, WIDEST_NAME, MOST_LINES)) for name in graph.parents}
    width = {name: max(measure(line, SIZE) for line in own) + 2 * _PAD_X for name, own in lines.items()}
    height: dict[Key, float] = {key: 2.0 for row in rows for key in row}
    height |= {name: LINE * len(own) + 2 * _PAD_Y for name, own in lines.items()}
    x: dict[Key, float] = {}
    left = 0.0
    for row in rows:
        widest = max((width[key] for key in row if isinstance(key, str)), default=0.0)
        x |= dict.fromkeys(row, left + widest / 2)
        left += widest + _GAP_X
    y = _settle(rows, height, *_neighbours(rows, chains))
    top = min(y[key] - height[key] / 2 for key in y)
    nodes = {
        name: Node(name, lines[name], x[name], y[name] - top, width[name], height[name], name in graph.causes)
        for name in graph.parents
    }
    arcs = [Arc(t, h, tuple((x[key], y[key] - top) for key in chain)) for (t, h), chain in chains.items()]
    bottom = max(y[key] + height[key] / 2 for key in y) - top
    return Layout(nodes, arcs, graph.shared, left - _GAP_X, bottom)


def _settle(
    rows: Sequence[Sequence[Key]],
    height: Mapping[Key, float],
    before: Mapping[Key, Sequence[Key]],
    after: Mapping[Key, Sequence[Key]],
) -> dict[Key, float]:
    """Each layer is moved to the mean of its ties, down and up, without changing its order or coming too close."""
    y: dict[Key, float] = {}
    for row in rows:
        total = sum(height[key] + _GAP_Y for key in row) - _GAP_Y
        at = -total / 2
        for key in row:
            y[key] = at + height[key] / 2
            at += height[key] + _GAP_Y
    for sweep in range(2 * _ROUNDS + 1):
        ties, order = (before, rows) if sweep % 2 == 0 else (after, rows[::-1])
        for row in order:
            wanted = [sum(y[t] for t in ties[key]) / len(ties[key]) if ties[key] else y[key] for key in row]
            y |= zip(row, _spread(row, wanted, height), strict=True)
    return y


def _spread(row: Sequence[Key], wanted: Sequence[float], height: Mapping[Key, float]) -> list[float]:
    """The places closest to those wanted (least squares) that keep order and distance: pooled adjacent violators."""
    offset = [0.0]
    for above, below in pairwise(row):
        offset.append(offset[-1] + (height[above] + height[below]) / 2 + _GAP_Y)
    pools: list[tuple[float, int]] = []  # mean of what is wanted less offset, and how many share it
    for want, off in zip(wanted, offset, strict=True):
        pools.append((want - off, 1))
        while len(pools) > 1 and pools[-2][0] > pools[-1][0]:
            (a, m), (b, n) = pools[-2:]
            pools[-2:] = [((a * m + b * n) / (m + n), m + n)]
    level = [mean for mean, count in pools for _ in range(count)]
    return [at + off for at, off in zip(level, offset, strict=True)]
