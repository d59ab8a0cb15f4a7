"""A fully specified model from distributions of pieces: each cause a short list of response vectors.

Nothing reads two pieces of one cause together, so any joint distribution of theirs will do. They are glued by the
quantiles of one uniform variable: a joint with no more response vectors than all pieces have states with a chance,
instead of the product of their numbers. Responses that nothing reads take their variable's first state.

Axes: r row (a restart, of one distribution), a response vector, k response.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from math import prod

import numpy as np
from numpy.typing import NDArray

from duckemcc.errors import TooLarge
from duckemcc.learn.pieces.split import Piece, Split
from duckemcc.learn.pieces.tree import Tree
from duckemcc.model.canonical import LARGEST_TABLE
from duckemcc.model.scm import Exogenous, Model

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]

DUST = 1e-12
"""Chance below which a state of a piece is left out; the others then sum to one."""


def glue(
    split: Split, model: Model, chances: Mapping[str, Floats], entries: Collection[str] = ()
) -> tuple[Model, dict[str, Floats]]:
    """The model with every cause that is not a list of its own as one, and PMFs [r, a] of each distribution.

    model: that is asked about, with the causes of `split` and perhaps fewer. chances [r, u]: of each piece's
    distribution; of a tree's, those named in `entries` are written in its entries [r, x]. Raises `TooLarge` for a table
    of too many entries.
    """
    chances, split = split.give_back(chances), split.origin
    exogenous, equations, found = [], dict(model.equations), dict[str, Floats]()
    restarts = max(map(len, chances.values()))
    for cause in model.exogenous:
        pieces = list(split.pieces[cause.name])
        named = {
            whole: [split.name(whole, cause.name, place) for place in range(len(pieces))]
            for whole, of in split.cause_of.items()
            if of == cause.name
        }
        named = {whole: names for whole, names in named.items() if all(name in chances for name in names)}
        own = {name: chances[name] for names in named.values() for name in names}
        for place, piece in enumerate(pieces):
            names = [names[place] for names in named.values()]
            if piece.tree is not None and not set(names).isdisjoint(entries):
                pieces[place], found_in = _list(piece, piece.tree, {n: own[n] for n in names}, entries)
                own |= found_in
        exogenous.append(cause)
        if _is_list(model, cause, pieces):
            found |= {whole: chances[names[0]] for whole, names in named.items()}
            continue
        rows = [[own[name][r] for name in names] for names in named.values() for r in range(restarts)]
        vectors, masses = _join(pieces, rows)
        equations |= {v: _tabulate(split, model, v, pieces, vectors) for v in cause.children}
        exogenous[-1] = replace(cause, card=len(vectors))
        found |= dict(zip(named, masses.reshape(len(named), restarts, -1), strict=True))
    plain = replace(model, exogenous=tuple(exogenous), equations=equations, assumptions=(), surjective=False)
    return plain, found


def _list(
    piece: Piece, tree: Tree, chances: Mapping[str, Floats], entries: Collection[str]
) -> tuple[Piece, dict[str, Floats]]:
    """A tree's piece with the states that its distributions need, and these over them."""
    glued = {
        name: [tree.glue(row, DUST) if name in entries else (piece.states, row) for row in rows]
        for name, rows in chances.items()
    }
    parts = [part for own in glued.values() for part in own]
    states, where = np.unique(np.concatenate([s for s, _ in parts]), axis=0, return_inverse=True)
    cells = iter(np.split(where.ravel(), np.cumsum([len(s) for s, _ in parts])[:-1]))
    found = {}
    for name, own in glued.items():
        found[name] = np.zeros((len(own), len(states)))
        for row, (_, mass) in zip(found[name], own, strict=True):
            np.add.at(row, next(cells), mass)
    return replace(piece, states=states), found


def _is_list(model: Model, cause: Exogenous, pieces: Sequence[Piece]) -> bool:
    """Whether a cause's only piece has the states of the cause, in their order."""
    if len(pieces) != 1:
        return False
    if cause.card is not None:
        return True
    responses = sum(prod(r.shape) for r in model.relations(cause))
    return (
        len(cause.children) == 1
        and responses == len(pieces[0].responses)
        and len(pieces[0].states) == model.card(cause.name)
    )


def _join(pieces: Sequence[Piece], rows: Sequence[Sequence[Floats]]) -> tuple[Ints, Floats]:
    """The states of all pieces in each vector [a, piece], and each row's masses [r, a]; a row has a PMF per piece."""
    vectors, masses = [], []
    for row in rows:
        states = [np.flatnonzero(pmf > DUST) for pmf in row]
        upto = [np.cumsum(pmf[s]) / pmf[s].sum() for pmf, s in zip(row, states, strict=True)]
        ends = np.unique(np.concatenate([*(own[:-1] for own in upto), [1.0]]))
        ends = ends[np.diff(ends, append=np.inf) > DUST]
        ends[-1] = 1.0
        middle = ends - np.diff(ends, prepend=0.0) / 2
        at = [s[np.minimum(np.searchsorted(own, middle), len(s) - 1)] for own, s in zip(upto, states, strict=True)]
        vectors.append(np.stack(at, axis=1) if at else np.zeros((1, 0), np.intp))
        masses.append(np.diff(ends, prepend=0.0))
    distinct, place = np.unique(np.concatenate(vectors), axis=0, return_inverse=True)
    found = np.zeros((len(rows), len(distinct)))
    cuts = np.cumsum([len(mass) for mass in masses])[:-1]
    for own, mass, cells in zip(found, masses, np.split(place.ravel(), cuts), strict=True):
        np.add.at(own, cells, mass)
    return distinct, found


def _tabulate(split: Split, model: Model, variable: str, pieces: Sequence[Piece], vectors: Ints) -> Ints:
    """The equation of a variable over response vectors."""
    shape = split.responses.shape[variable]
    contexts = prod(shape)
    if len(vectors) * contexts > LARGEST_TABLE:
        raise TooLarge(
            f"a model of {len(vectors):,} response vectors with {contexts:,} contexts of {variable} has "
            f"{len(vectors) * contexts:,} entries, more than {LARGEST_TABLE:,}",
            remedy="ask for bounds, or for fewer restarts",
            variable=variable,
        )
    table = np.zeros((len(vectors), contexts), np.intp)
    first = split.responses.first[variable]
    for piece, states in zip(pieces, vectors.T, strict=True):
        own = (piece.responses >= first) & (piece.responses < first + contexts)
        table[:, piece.responses[own] - first] = piece.states[states][:, own]
    return table.reshape(len(vectors), *shape)
