"""The problem that a query's limits are sought in: pieces of causes where that is possible, merged causes elsewhere.

A cause falls into pieces: responses that nothing reads together are independent factors (`learn.pieces.split`). That is
done here for small causes as well: a covariate of four levels beside a confounded pair is four blocks of eight states,
not one of 4 096. Causes that share patterns are merged over their joint states, or along the paths that are read, which
forgets their independence: the limits are then those of a larger model.

Axes: s segment, p pattern, u number of a block.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod

import numpy as np
from numpy.typing import NDArray

from duckemcc.bound.limits.problem import Block, Problem, make_block, of_states
from duckemcc.bound.regions import join_states
from duckemcc.bound.sharp import Sharp
from duckemcc.bound.terms import Terms
from duckemcc.errors import TooLarge
from duckemcc.learn.counts import StudyCounts
from duckemcc.learn.likelihood import Group, name_distributions
from duckemcc.learn.maximum import joint_yields
from duckemcc.learn.patterns import find_patterns, read_all
from duckemcc.learn.pieces.split import Piece, Split
from duckemcc.learn.pooling import Pooled, pool_parts
from duckemcc.model.responses import Responses
from duckemcc.model.scm import Model
from duckemcc.query.named import expand
from duckemcc.query.network import Factor
from duckemcc.query.syntax import Query

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]

LARGEST = 2**22
"""Entries of the rows of one merged cause: its problems take seconds beyond."""


def collect_pieces(
    query: Query, asked: Model, model: Model, arms: Sequence[StudyCounts], own: Mapping[str, str]
) -> Problem | None:
    """The problem over pieces; None where causes share patterns, or a table says what a cause can be.

    asked: the model that the query is about; model: the one that is learned, which may have selectors beside. own: for
    each exogenous variable the name of its distribution in the population that is asked about.
    """
    if not model.splits:
        return None
    causes = name_distributions(model, arms)
    pooled, mixed = pool_parts(model, arms, causes)
    if mixed or any(len(part.names) > 1 for part in pooled):
        return None
    known = {v: labels for v, labels in model.states.items() if labels is not None}
    try:
        responses = Responses(model)
        split = Split(responses, read_all(responses, pooled, [expand(query, known, model.parents)]), causes)
    except TooLarge:
        return None
    if any(u.card is not None and len(split.pieces[u.name]) > 1 for u in model.exogenous):
        return None
    drafts: dict[str, list[tuple[Floats, Floats, Ints]]] = {}
    number = 0
    for part in pooled:
        context = number + _number_contexts(part)
        number = int(context.max(initial=number)) + 1
        for found in find_patterns(split, part)[0]:
            name = split.name(part.names[0], part.part.exogenous[0], found.piece)
            drafts.setdefault(name, []).append((found.rows, part.count[:, found.place], context[found.place]))
    terms = Terms(query, asked, split)
    names, pieces = split.choose(own), split.distributions
    segments = len(arms[0].count)
    blocks = {f: _make(pieces[names[f[0]]], drafts.get(names[f[0]], []), segments) for f in terms.factors}
    return Problem(terms, blocks)


def _number_contexts(part: Pooled) -> Ints:
    """The context of each pattern of a part: the values of the parents outside."""
    outside = [i for i, v in enumerate(part.part.scope) if v not in part.part.measured]
    return np.unique(part.codes[:, outside], axis=0, return_inverse=True)[1].ravel()


def _make(piece: Piece, parts: Sequence[tuple[Floats, Floats, Ints]], segments: int) -> Block:
    rows = np.concatenate([np.zeros((0, piece.size)), *(r for r, _, _ in parts)])
    count = np.hstack([np.zeros((segments, 0)), *(n for _, n, _ in parts)])
    context = np.concatenate([np.zeros(0, np.intp), *(c for _, _, c in parts)])
    context = np.unique(context, return_inverse=True)[1].ravel().astype(np.intp)
    if piece.tree is None:
        return of_states(rows, count, context)
    return make_block(rows, count, context, *piece.tree.ties(), piece.tree.even())


def collect_merged(sharp: Sharp, groups: Sequence[Group]) -> Problem | None:
    """The problem over causes, those that share patterns merged; None where these have too many joint states."""
    query = sharp.relaxed.query
    segments = len(groups[0].total) if groups else 1
    if isinstance(query, Terms):
        return Problem(query, {f: _take(query, f, sharp, groups, segments) for f in query.factors})
    blocks: dict[Factor, Block] = {}
    for factor in query.factors:
        place, card = sharp.group_of(factor), query.card(factor)
        if place is None:
            blocks[factor] = of_states(np.zeros((0, card)), np.zeros((segments, 0)), None)
            continue
        group = groups[place]
        if (path := sharp.path_of(factor)) is not None:
            rows, of = path.yields, None
        elif sharp.is_tied(factor):
            joint = joint_yields(group)
            if joint is None or prod(len(c) for c in group.classes) * len(joint) > LARGEST:
                return None
            classes, of = join_states(group, [sharp.chosen[u] for u in factor])
            rows = joint[:, classes]
        else:
            rows, of = group.stacked[:, group.classes[0]], None
        if rows.size > LARGEST:
            return None
        blocks[factor] = of_states(np.asarray(rows, np.float64), group.count, None, of)
    return Problem(query, blocks)


def _take(query: Terms, factor: Factor, sharp: Sharp, groups: Sequence[Group], segments: int) -> Block:
    """The block of a piece as it was learned: of causes that incomplete records tied and that were merged."""
    place, tree, size = sharp.group_of(factor), query.tree(factor), query.card(factor)
    none = np.zeros((0, size)), np.zeros((segments, 0))
    if tree is not None:
        peaks = None if place is None else groups[place].peaks
        rows, count = none if place is None or peaks is None else (peaks.rows, groups[place].count)
        return make_block(rows, count, None, *tree.ties(), tree.even())
    if place is None:
        return of_states(*none, None)
    return of_states(groups[place].stacked[:, groups[place].classes[0]], groups[place].count, None)
