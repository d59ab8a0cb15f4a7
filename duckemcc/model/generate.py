"""Random models as in the paper's Section 6.2: an Erdős–Rényi graph, equations of sampled relations, true chances.

The graph: of `nodes` nodes in topological order, each arc from an earlier to a later one is drawn with one probability.
A node without parents is exogenous, the others are Boolean and endogenous. As in the authors' files (those of
``benchmarks/hybrid`` are named after the number of nodes before this step), an endogenous variable without an exogenous
parent gets one of its own, and no node has more than three parents before that.

The equations: a state of U indexes one relation of each child to its endogenous parents, and U has the states of all
such tuples, or `LARGEST` of them sampled without replacement. Where a child has several exogenous parents, the paper
does not say how they act together. In the authors' files a Boolean gate, another in each context of the endogenous
parents, joins what their relations yield (in ``n5_42``, XNOR); so here, gates that ignore an argument left out.

The chances: a stick broken at uniform points and shuffled, to which the PMFs of the authors' files correspond (about
three states carry the mass, at any cardinality; a uniform point of the simplex would spread it over all).

Graphs are drawn anew until every exogenous variable has a child, the last variable descends from the first (otherwise
its PNS is 0, and the paper drops what is identified), and components are within the sizes of the authors' files.

Only `Generator.random` and exact arithmetic are used, so a seed gives the same model on every platform and numpy.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from duckemcc.errors import OptionError
from duckemcc.model.canonical import Table
from duckemcc.model.scm import Endogenous, Exogenous, Model, tie
from duckemcc.model.states import show_value

Floats = NDArray[np.float64]
Graph = list[tuple[int, ...]]
"""Parents of each node, which all have smaller numbers."""

LARGEST = 64
"""States of an exogenous variable at most (|Ω_U|, Section 6.2)."""
MOST_NODES = 40
MOST_PARENTS = 3  # before an exogenous one is added
MOST_CAUSES = 3  # exogenous variables of one component
LARGEST_COMPONENT = 4096  # joint states of the exogenous variables of one component
_DEGREE = 2.5  # expected arcs at a node, in and out
_GATES = [((a, b), (c, d)) for a in (0, 1) for b in (0, 1) for c in (0, 1) for d in (0, 1)]
GATES = np.array([g for g in _GATES if g[0] != g[1] and (g[0][0], g[1][0]) != (g[0][1], g[1][1])], np.intp)
"""The ten Boolean functions of two arguments that depend on both [gate, first, second]."""


class Random(NamedTuple):
    """A random PSCM, and the true PMF [u] of each exogenous variable."""

    model: Model
    chances: dict[str, Floats]


def random_model(nodes: int, rng: np.random.Generator) -> Random:
    """A random model over a graph of so many nodes (the paper has 5 to 15), variable i named ``Vi`` or ``Ui``.

    Raises `OptionError` for fewer than 3 nodes or more than `MOST_NODES`.
    """
    if isinstance(nodes, bool) or not isinstance(nodes, (int, np.integer)) or not 3 <= nodes <= MOST_NODES:
        raise OptionError(
            f"nodes is {show_value(nodes)}", remedy=f"it takes a whole number from 3 to {MOST_NODES}", option="nodes"
        )
    while True:
        graph = _sample_graph(int(nodes), rng)
        if _is_useful(graph):
            model = _sample_equations(graph, rng)
            if model is not None:
                return Random(model, {u.name: sample_chances(model.card(u.name), rng) for u in model.exogenous})


def sample_chances(card: int, rng: np.random.Generator) -> Floats:
    """A PMF [u]: a stick of length 1, broken at a uniform point of what is left until there are `card` pieces."""
    pieces, left = [], 1.0
    for cut in rng.random(card - 1).tolist():
        pieces.append(left * cut)
        left -= pieces[-1]
    return np.array([*pieces, left])[np.argsort(rng.random(card))]


# -- the graph -------------------------------------------------------------------------------------


def _sample_graph(nodes: int, rng: np.random.Generator) -> Graph:
    arc = min(1.0, _DEGREE / (nodes - 1))
    graph: Graph = []
    for node in range(nodes):
        while True:  # in-degrees are independent, so this is the graph given that none is too large
            parents = tuple(np.flatnonzero(rng.random(node) < arc).tolist())
            if len(parents) <= MOST_PARENTS:
                break
        graph.append(parents)
    return _add_private(graph)


def _add_private(graph: Graph) -> Graph:
    """The graph with an exogenous parent more, numbered behind all nodes, for each variable that has none."""
    added = list(graph)
    for node, parents in enumerate(graph):
        if parents and all(graph[p] for p in parents):
            added[node] = (*parents, len(added))
            added.append(())
    return added


def _is_useful(graph: Graph) -> bool:
    """Whether no cause is childless, the last variable descends from the first, and no component is too large."""
    inner = [i for i, parents in enumerate(graph) if parents]
    children = _children(graph)
    if len(inner) < 2 or not all(own for own, parents in zip(children, graph, strict=True) if not parents):
        return False
    reached = {inner[0]}
    for node in inner:
        if not reached.isdisjoint(graph[node]):
            reached.add(node)
    if inner[-1] not in reached:
        return False
    causes = {str(u): [str(c) for c in children[u]] for u, parents in enumerate(graph) if not parents}
    for component in tie([str(i) for i in inner], causes.values()):
        own = [int(u) for u, touched in causes.items() if touched[0] in component]
        if len(own) > MOST_CAUSES or prod(_card(graph, children[u]) for u in own) > LARGEST_COMPONENT:
            return False
    return True


def _children(graph: Graph) -> list[list[int]]:
    return [[i for i, parents in enumerate(graph) if node in parents] for node in range(len(graph))]


def _contexts(graph: Graph, node: int) -> int:
    """Joint states of a variable's endogenous parents."""
    return int(2 ** sum(1 for p in graph[node] if graph[p]))


def _card(graph: Graph, children: Sequence[int]) -> int:
    """States of an exogenous variable: one for each tuple of relations, a bit for each context of each child."""
    return int(min(2 ** sum(_contexts(graph, c) for c in children), LARGEST))


# -- the equations ---------------------------------------------------------------------------------


def _sample_equations(graph: Graph, rng: np.random.Generator) -> Model | None:
    """The model, or None where an equation came out constant."""
    children = _children(graph)
    names = [f"V{i}" if parents else f"U{i}" for i, parents in enumerate(graph)]
    relations: dict[int, list[Table]] = {i: [] for i, parents in enumerate(graph) if parents}
    for u, parents in enumerate(graph):
        if not parents:
            widths = [_contexts(graph, c) for c in children[u]]
            bits = _sample_tuples(sum(widths), rng)
            for child, relation in zip(children[u], np.split(bits, np.cumsum(widths)[:-1], axis=1), strict=True):
                relations[child].append(relation)
    equations = {}
    for node, own in relations.items():
        cards = [len(r) for r in own]
        joined = _join(own, rng)
        if joined.min() == joined.max():
            return None
        inner = [p for p in graph[node] if graph[p]]
        equations[names[node]] = joined.reshape(*cards, *(2 for _ in inner))
    endogenous = tuple(Endogenous(names[i], tuple(names[p] for p in graph[i] if graph[p]), (0, 1)) for i in relations)
    exogenous = tuple(
        Exogenous(names[u], tuple(names[c] for c in children[u]), _card(graph, children[u]))
        for u, parents in enumerate(graph)
        if not parents
    )
    return Model(endogenous, exogenous, equations)


def _sample_tuples(width: int, rng: np.random.Generator) -> Table:
    """Tuples of relations as rows of bits [u, bit]: all of them, or `LARGEST` without replacement."""
    if 2**width <= LARGEST:
        return np.arange(2**width, dtype=np.intp)[:, None] >> np.arange(width - 1, -1, -1, dtype=np.intp) & 1
    rows: dict[bytes, Table] = {}
    while len(rows) < LARGEST:
        row = (rng.random(width) < 0.5).astype(np.intp)
        rows.setdefault(row.tobytes(), row)
    return np.stack(list(rows.values()))


def _join(relations: Sequence[Table], rng: np.random.Generator) -> Table:
    """What the relations [u, context] of several causes yield together [u, u', …, context]: gates, one per context."""
    joined = relations[0]
    for relation in relations[1:]:
        context = np.arange(relation.shape[1])
        gate = GATES[np.floor(rng.random(len(context)) * len(GATES)).astype(np.intp)]
        joined = gate[context, joined[..., None, :], relation]
    return joined
