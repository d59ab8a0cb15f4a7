"""Selectors: causes that incomplete records tie, merged into one without loss.

A cause whose only child decides which context of another cause is read is a *selector* of it: a covariate G with a
cause of its own beside treatment and outcome, confounded given G. A record without G is a sum over contexts,
Σ_g P(g) μ_g(event), a product of two causes. With φ_g(x) = P(g) μ_g(x), any measure on the contexts' states, it is
linear, and P(g) = Σ_x φ_g(x), μ_g = φ_g / P(g) come back (THEORY §9). The merged cause has Σ_g |Ω_g| states and never
the product. So it is for a chain of selectors of which each has the earlier ones as its parents: any P(g) is possible.

It is without loss as long as nothing sets a selector, none of the causes has a distribution of its own in a study, and
no pattern or world reads two contexts together. Where that fails, causes stay as they are.

Axes: r row (of chances, or a conjunction), a state of a merged cause, u state of a piece, k response.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import product
from math import prod
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from duckemcc.learn.pieces.split import Piece, Read, Split
from duckemcc.model.responses import Responses
from duckemcc.model.scm import Exogenous, Model, tie

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]

LARGEST_MERGED = 2**24
"""Entries of the equations of one merged cause at most: 128 MB."""


class Selection(NamedTuple):
    """Causes that can be merged. selectors: variables, each with the earlier ones as its parents; causes: all of them;
    children: theirs."""

    selectors: tuple[str, ...]
    causes: tuple[Exogenous, ...]
    children: tuple[str, ...]


class Merge(NamedTuple):
    """A model in which some causes are merged. split: of the causes as they were. selections: which of them each merged
    cause consists of. places: of each, for each distribution of a piece of theirs, which states [a] read the piece, and
    the piece's state in each."""

    model: Model
    split: Split
    selections: Mapping[str, Selection]
    places: Mapping[str, Mapping[str, tuple[Ints, Ints]]]


class MergedSplit(Split):
    """The pieces of a model with merged causes. read: in that model. Raises as `Split` does."""

    def __init__(self, merged: Merge, read: Sequence[Read], causes: Mapping[str, str]) -> None:
        super().__init__(Responses(merged.model), read, causes)
        self._merge = merged
        self._whole_of |= {name: tuple(u.name for u in own.causes) for name, own in merged.selections.items()}

    @property
    def origin(self) -> Split:
        return self._merge.split

    def give_back(self, chances: Mapping[str, Floats]) -> dict[str, Floats]:
        """As `Split` has it. A context without a chance has the same for each of its states: nothing can tell."""
        places = self._merge.places
        found = {name: pmf for name, pmf in chances.items() if name not in places}
        cards = {name: len(piece.states) for name, piece in self.origin.distributions.items()}
        for merged in (name for name in places if name in chances):
            for name, (states, place) in places[merged].items():
                mass = np.zeros((cards[name], len(chances[merged])))
                np.add.at(mass, place, chances[merged][:, states].T)
                total = mass.sum(axis=0)
                found[name] = np.where(total > 0, mass / np.where(total > 0, total, 1.0), 1 / len(mass)).T
        return found


def merge(split: Split, tied: Iterable[Sequence[str]]) -> Merge | None:
    """The model with each set of causes merged that incomplete records tie; None if one cannot be.

    split: of the causes as they are, with all that is read. tied: distributions, the model's own.
    """
    model, places, selections = split.model, {}, {}
    exogenous, equations = list(model.exogenous), dict(model.equations)
    widened = [_with_selectors(model, names) for names in tied]
    for names in tie(dict.fromkeys(n for own in widened for n in own), widened):
        chosen = find_selection(model, names)
        made = None if chosen is None else _unite(split, chosen)
        if chosen is None or made is None:
            return None
        tables, states, own = made
        name = ", ".join(u.name for u in chosen.causes)
        first = min(exogenous.index(u) for u in chosen.causes)
        exogenous = [u for u in exogenous if u not in chosen.causes]
        exogenous.insert(first, Exogenous(name, chosen.children, states))
        equations |= tables
        places[name], selections[name] = own, chosen
    merged = replace(model, exogenous=tuple(exogenous), equations=equations, surjective=False)
    return Merge(merged, split, selections, places)


def _with_selectors(model: Model, names: Iterable[str]) -> tuple[str, ...]:
    """Causes, and those of the variables that their selectors depend on, if these may be selectors as well."""
    alone = {u.children[0]: u.name for u in model.exogenous if len(u.children) == 1}
    found = list(names)
    for name in found:  # which grows
        found += [
            alone[p]
            for v, own in alone.items()
            if own == name
            for p in model.parents[v]
            if p in alone and alone[p] not in found
        ]
    return tuple(found)


def find_selection(model: Model, names: Sequence[str]) -> Selection | None:
    """The selectors among causes, and what they select; None if there are none, or one is not the model's own."""
    causes = tuple(u for u in model.exogenous if u.name in names)
    if len(causes) != len(names):
        return None
    children = tuple(v for v in model.order if any(v in u.children for u in causes))
    alone = {u.children[0] for u in causes if len(u.children) == 1}
    selectors: list[str] = []
    for v in children:
        if v in alone and set(model.parents[v]) == set(selectors):
            selectors.append(v)
        else:
            break
    inner = children[len(selectors) :]
    if not selectors or any(not set(selectors) <= set(model.parents[v]) for v in inner):
        return None
    return Selection(tuple(selectors), causes, children)


def _unite(split: Split, chosen: Selection) -> tuple[dict[str, Ints], int, dict[str, tuple[Ints, Ints]]] | None:
    """The equations of the children, how many states the merged cause has, and its `Merge.places`; None if a piece
    reads two contexts, is a tree, or the states are too many."""
    model, responses = split.model, split.responses
    own: dict[tuple[int, ...], list[tuple[str, Piece]]] = {}
    for cause in chosen.causes:
        for place, piece in enumerate(split.pieces[cause.name]):
            contexts = {_context(responses, chosen, int(number)) for number in piece.responses}
            if piece.tree is not None or len(contexts) > 1:
                return None
            own.setdefault(contexts.pop(), []).append((split.name(cause.name, cause.name, place), piece))
    drafts = [
        (path, parts)
        for path in product(*(range(model.card(v)) for v in chosen.selectors))
        if (parts := _walk(own, path)) is not None
    ]
    sizes = [prod(len(states) for _, _, states in parts) for _, parts in drafts]
    contexts_of = {v: prod(responses.shape[v]) for v in chosen.children}
    if not sum(sizes) or sum(sizes) * sum(contexts_of.values()) > LARGEST_MERGED:
        return None
    tables = {v: np.zeros((sum(sizes), contexts), np.intp) for v, contexts in contexts_of.items()}
    found: dict[str, list[tuple[Ints, Ints]]] = {}
    begin = 0
    for (path, parts), size in zip(drafts, sizes, strict=True):
        rows = np.arange(begin, begin + size)
        for k, v in enumerate(chosen.selectors):  # also where nothing reads it
            tables[v][rows, _place(responses, v, path[:k], chosen)] = path[k]
        grid = np.indices([len(states) for _, _, states in parts]).reshape(len(parts), -1)
        for (name, piece, states), at in zip(parts, grid, strict=True):
            found.setdefault(name, []).append((rows, states[at]))
            for column, number in enumerate(piece.responses):
                v, context = responses.read(int(number))
                tables[v][rows, context] = piece.states[states[at], column]
        begin += size
    shaped = {v: table.reshape(len(table), *responses.shape[v]) for v, table in tables.items()}
    joined = {n: (np.concatenate([r for r, _ in p]), np.concatenate([s for _, s in p])) for n, p in found.items()}
    return shaped, begin, joined


def _walk(
    own: Mapping[tuple[int, ...], Sequence[tuple[str, Piece]]], path: tuple[int, ...]
) -> list[tuple[str, Piece, Ints]] | None:
    """The pieces that are read where the selectors take these values, each with its states that are possible there;
    None if a selector cannot take its own."""
    parts = []
    for depth in range(len(path) + 1):
        for name, piece in own.get(path[:depth], ()):
            states = np.arange(len(piece.states))
            if depth < len(path):
                states = np.flatnonzero(piece.states[:, 0] == path[depth])
            if not len(states):
                return None
            parts.append((name, piece, states))
    return parts


def _context(responses: Responses, chosen: Selection, number: int) -> tuple[int, ...]:
    """The selectors' values among the parents' that a response is for."""
    v, context = responses.read(number)
    values = dict(zip(responses.model.parents[v], np.unravel_index(context, responses.shape[v]), strict=True))
    return tuple(int(values[s]) for s in chosen.selectors if s in values)


def _place(responses: Responses, variable: str, path: Sequence[int], chosen: Selection) -> int:
    """The context of a selector whose parents, the earlier ones, have these values."""
    value = dict(zip(chosen.selectors, path, strict=False))
    number = responses.number(variable, [value[p] for p in responses.model.parents[variable]], 1)
    return int(number[0]) - responses.first[variable]


def reads_one_context(merged: Merge, read: Iterable[Read]) -> bool:
    """Whether every row that reads a merged cause reads the selectors' own values, and one context of the others."""
    return all(_is_one(merged.split.responses, own, each) for own in merged.selections.values() for each in read)


def _is_one(responses: Responses, chosen: Selection, read: Read) -> bool:
    rows = read.rows.of(chosen.children)
    count = len(rows.responses)
    values: dict[str, Ints] = {}
    for v in chosen.selectors:
        mine = [k for k, name in enumerate(rows.variables) if name == v]
        if not mine or any(p not in values for p in responses.model.parents[v]):
            if mine:
                return False
            continue
        expected = responses.number(v, [values[p] for p in responses.model.parents[v]], count)
        if any((rows.responses[:, k] != expected).any() for k in mine):
            return False
        values[v] = rows.values[:, mine[0]]
    for k, v in enumerate(rows.variables):
        if v in chosen.selectors:
            continue
        if any(s not in values for s in chosen.selectors):
            return False
        places = np.unravel_index(rows.responses[:, k] - responses.first[v], responses.shape[v])
        at = dict(zip(responses.model.parents[v], places, strict=True))
        if any((at[s] != values[s]).any() for s in chosen.selectors):
            return False
    return True
