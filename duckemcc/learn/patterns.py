"""The likelihood of a model whose causes are split into pieces: one group per piece, and nothing listed but these.

A pattern of a part reads one response per variable of it, all in one piece, so a piece is learned as a cause of its
own is (`likelihood.py`). A variable without a value is summed over: its completions are rows of the same pattern.

Axes: s segment, p pattern of a part, r row (a completion of one), u state of a piece.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from duckemcc.errors import TooLarge, given
from duckemcc.learn.parts import Part
from duckemcc.learn.pieces.split import Read, Split
from duckemcc.learn.pooling import Pooled
from duckemcc.model.responses import Conjunctions, Responses
from duckemcc.model.states import show_names
from duckemcc.query.named import Combination
from duckemcc.query.spell import spell_event
from duckemcc.query.worlds import Worlds

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]
Bools = NDArray[np.bool_]

MOST_ROWS = 5_000_000
"""Completions of the patterns of one part at most."""


class Patterns(NamedTuple):
    """Patterns of one piece. place [p]: which they are of their part; rows [p, x]: their probabilities, as functions of
    what the piece's distributions are written in."""

    piece: int
    place: Ints
    rows: Floats


def read_all(responses: Responses, pooled: Sequence[Pooled], asked: Sequence[Combination]) -> list[Read]:
    """What patterns and queries read of a model's responses. Raises `TooLarge`."""
    read = [spell_part(responses, p.part, p.part.measured, p.part.scope, p.codes) for p in pooled]
    worlds = Worlds(responses.model)
    for combination in asked:
        events = [combination.given, *((*event, *combination.given) for _, event in combination.terms)]
        read += [Read(spell_event(responses, worlds, event)) for event in events]
    return read


def spell_part(responses: Responses, part: Part, measured: Sequence[str], columns: Sequence[str], codes: Ints) -> Read:
    """Some of a part's measured variables with their values [p], the others' being given, as conjunctions.

    codes [p, v] of `columns`, which hold the measured variables and the parents outside. Raises `TooLarge` for too many
    completions.
    """
    model, of = responses.model, np.arange(len(codes))
    value = {v: codes[:, i].astype(np.intp) for i, v in enumerate(columns)}
    read: dict[str, Ints] = {}
    inside = [v for v in model.order if v in measured or v in part.latent]
    for v in inside:
        number = responses.number(v, [value[p] for p in model.parents[v]], len(of))
        if not model.causes[v]:
            fixed = model.table(v).reshape(-1)[number - responses.first[v]]
            kept = np.arange(len(of)) if v in part.latent else np.flatnonzero(fixed == value[v])
            value |= {v: fixed}
        elif v in part.latent:
            card = model.card(v)
            if len(of) * card > MOST_ROWS:
                raise TooLarge(
                    f"{len(codes):,} patterns without a value of {show_names(part.latent)} have more than "
                    f"{MOST_ROWS:,} completions",
                    remedy="measure one of them, or leave these records out (" + given("nulls", "drop") + ")",
                    variable=v,
                )
            kept = np.repeat(np.arange(len(of)), card)
            value |= {v: np.tile(np.arange(card), len(of))}
            value = {w: x if w == v else x[kept] for w, x in value.items()}
            read, of = {w: x[kept] for w, x in read.items()}, of[kept]
            read[v] = number[kept]
            continue
        else:
            kept = np.arange(len(of))
            read[v] = number
        if len(kept) < len(of):
            value, read = ({w: x[kept] for w, x in own.items()} for own in (value, read))
            of = of[kept]
    shape = len(of), len(read)
    rows = Conjunctions(
        tuple(read),
        np.stack(list(read.values()), axis=1) if read else np.zeros(shape, np.intp),
        np.stack([value[v] for v in read], axis=1) if read else np.zeros(shape, np.intp),
    )
    return Read(rows, of)


def find_patterns(split: Split, pooled: Pooled) -> tuple[list[Patterns], Bools]:
    """The patterns of a part, piece by piece, and which of all [p] are possible."""
    part = pooled.part
    read = spell_part(split.responses, part, part.measured, part.scope, pooled.codes)
    possible = np.zeros(len(pooled.codes), bool)
    if not part.exogenous:
        possible[read.of] = True
        return [], possible
    cause, found = part.exogenous[0], []
    for piece, rows in split.locate(cause, read.rows):
        each = split.pieces[cause][piece].read(read.rows.responses[rows], read.rows.values[rows])
        assert read.of is not None
        of = read.of[rows]  # ascending, as rows of one piece are
        place, first = np.unique(of, return_index=True)
        together = np.add.reduceat(each, first, axis=0)  # completions exclude each other
        fits = together.any(axis=1)
        possible[place] = fits
        if fits.any():
            found.append(Patterns(piece, place[fits], together[fits]))
    return found, possible


def probability(
    split: Split,
    part: Part,
    names: Sequence[str],
    measured: Sequence[str],
    columns: Sequence[str],
    codes: Ints,
    chances: dict[str, Floats],
    segments: int,
) -> Floats:
    """P(measured = their values | parents outside) [s, p] at one PMF [s, u] per distribution.

    names: the distributions of the part's causes. codes [p, v] of `columns`.
    """
    read = spell_part(split.responses, part, measured, columns, codes)
    assert read.of is not None
    each = np.ones((segments, len(read.of)))
    for cause, name in zip(part.exogenous, names, strict=True):
        own = read.rows.of(next(u.children for u in split.model.exogenous if u.name == cause))
        for piece, rows in split.locate(cause, own):
            held = split.pieces[cause][piece].holds(own.responses[rows], own.values[rows])
            each[:, rows] *= np.matmul(chances[split.name(name, cause, piece)], held.T.astype(np.float64))
    total = np.zeros((segments, len(codes)))
    np.add.at(total.T, read.of, each.T)
    return total
