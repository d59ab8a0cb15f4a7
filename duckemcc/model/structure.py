"""The shape of a graph: a topological order, and components (c-components; Tian 2002)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING, NamedTuple

from duckemcc.errors import GraphError

if TYPE_CHECKING:
    from duckemcc.model.scm import Exogenous


class Component(NamedTuple):
    """Endogenous variables tied by shared exogenous parents, both in model order."""

    endogenous: tuple[str, ...]
    exogenous: tuple[str, ...]


def sort_variables(parents: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """Of the variables whose parents have gone before, always the first as listed; raises `GraphError` for a cycle."""
    names = tuple(parents)
    place = {v: i for i, v in enumerate(names)}
    waits = [len(above) for above in parents.values()]
    children: list[list[int]] = [[] for _ in names]
    for i, above in enumerate(parents.values()):
        for parent in above:
            children[place[parent]].append(i)
    free = [i for i, n in enumerate(waits) if n == 0]
    heapify(free)
    order = []
    while free:
        order.append(names[(first := heappop(free))])
        for child in children[first]:
            waits[child] -= 1
            if waits[child] == 0:
                heappush(free, child)
    if len(order) < len(waits):
        raise GraphError(f"the graph has a cycle: {_show_cycle(parents, set(order))}", remedy="remove one of its arcs")
    return tuple(order)


def find_components(
    variables: Sequence[str], exogenous: Sequence[Exogenous], out: Iterable[str]
) -> tuple[Component, ...]:
    """The components that are left when the variables `out` are taken away."""
    out = set(out)
    kept = [v for v in variables if v not in out]
    tied = {u.name: [c for c in u.children if c not in out] for u in exogenous}
    groups = tie(kept, tied.values())
    group_of = {v: i for i, group in enumerate(groups) for v in group}
    causes: list[list[str]] = [[] for _ in groups]
    for u, children in tied.items():
        if children:
            causes[group_of[children[0]]].append(u)
    return tuple(Component(group, tuple(names)) for group, names in zip(groups, causes, strict=True))


def tie(names: Iterable[str], ties: Iterable[Sequence[str]]) -> list[tuple[str, ...]]:
    """The names in sets, such that names of one tie share a set; sets and members in the order of the names."""
    above = {name: name for name in names}  # union-find

    def top(name: str) -> str:
        while above[name] != name:
            above[name] = name = above[above[name]]
        return name

    for tied in ties:
        for other in tied[1:]:
            above[top(other)] = top(tied[0])
    sets: dict[str, list[str]] = {}
    for name in above:
        sets.setdefault(top(name), []).append(name)
    return [tuple(members) for members in sets.values()]


def _show_cycle(parents: Mapping[str, Sequence[str]], placed: set[str]) -> str:
    path: dict[str, int] = {}
    name = next(v for v in parents if v not in placed)
    while name not in path:
        path[name] = len(path)
        name = next(p for p in parents[name] if p not in placed)
    cycle = [name, *reversed(list(path)[path[name] :])]
    return " -> ".join(cycle if len(cycle) <= 12 else [*cycle[:6], "…", *cycle[-5:]])
