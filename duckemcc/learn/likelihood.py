"""log P(D | θ) = Σ_p n_p log P_p(θ): the likelihood of all studies, compiled once into blocks of patterns.

The likelihood factorises over parts (`parts.py`): for complete records the components c of each study's mutilated
model, P_k(v) = Π_c Q_c(v_c | pa_c) (Tian 2002; THEORY §2), and larger ones around values that were not recorded. Only
the distinct (part, v_c, pa_c) patterns matter, pooled over the studies that share them. A pattern is a 0/1 set over the
joint states of the exogenous variables of its part: P_p(θ) = Σ_u yields[p, u] Π_j θ_j(u_j) (`yields.py`). An exogenous
variable may have a distribution of its own in a study; each distribution is a θ_j, and has a name.

    Block   patterns over the same distributions
    Group   blocks connected through shared distributions: groups are learned independently of each other
    Mix     in a group that incomplete records tie: its records as sums of products of patterns (`mix.py`)

States of an exogenous variable that no pattern of its group tells apart keep their initial proportions under EM; they
are collapsed into one class here and the class's mass is split again afterwards (exact).

Axes: s segment, p distinct pattern, u exogenous state (joint over a block's variables where it has several).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import prod

import numpy as np
from numpy.typing import NDArray

from duckemcc.errors import RepeatedName, TooLarge, UnknownName, given, hint
from duckemcc.learn.counts import StudyCounts
from duckemcc.learn.mix import Mix, Products, mix_records
from duckemcc.learn.patterns import find_patterns, read_all
from duckemcc.learn.pieces.merge import MergedSplit, merge, reads_one_context
from duckemcc.learn.pieces.peaks import Peaks, find_peaks
from duckemcc.learn.pieces.split import Split, is_wide
from duckemcc.learn.pooling import Key, Pooled, Records, classify, merge_states, pool_parts, refuse_blocks
from duckemcc.learn.relaxed import relax
from duckemcc.learn.yields import LARGEST_BLOCK, refuse_large
from duckemcc.model.responses import Responses
from duckemcc.model.scm import Model, tie
from duckemcc.model.states import show_names
from duckemcc.query.named import Combination

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Block:
    """Patterns over the same distributions.

    causes: positions of these in the group, ascending. yields [p, u]: 0/1, u joint over `causes`, the first slowest.
    count [s, p].
    """

    causes: tuple[int, ...]
    yields: Floats
    count: Floats


@dataclass(frozen=True, eq=False)
class Group:
    """Distributions that share patterns, with their blocks.

    names: of the distributions, keys of `Likelihood.causes`. classes: for each, the class of every state [u] of its
    exogenous variable; `cards` counts classes. mix: the records of a group that incomplete ones tie; its blocks then
    have no counts of their own. Elsewhere each pattern of a block is a record of its own. peaks: the maximum, of a
    piece that is a tree.
    """

    names: tuple[str, ...]
    classes: tuple[Ints, ...]
    blocks: tuple[Block, ...]
    mix: Mix | None = None
    peaks: Peaks | None = None

    @cached_property
    def cards(self) -> tuple[int, ...]:
        return tuple(int(c.max()) + 1 for c in self.classes)

    @property
    def concave(self) -> bool:
        """Whether the log-likelihood is concave in the chances: one exogenous variable."""
        return len(self.names) == 1

    @cached_property
    def stacked(self) -> Floats:
        """The patterns of all blocks of a group with one variable, [p, class]."""
        return self.blocks[0].yields if len(self.blocks) == 1 else np.vstack([b.yields for b in self.blocks])

    @cached_property
    def count(self) -> Floats:
        """How often each record of the group was seen [s, q]."""
        if self.mix is not None:
            return self.mix.count
        return self.blocks[0].count if len(self.blocks) == 1 else np.concatenate([b.count for b in self.blocks], axis=1)

    @cached_property
    def records(self) -> Floats:
        """N_j [s, j]: the records in whose patterns variable j takes part."""
        if self.mix is None:
            own = [sum((b.count.sum(1) for b in self.blocks if j in b.causes), 0.0) for j in range(len(self.names))]
            return np.stack(own, axis=1)
        products = self.mix.products
        uses = np.zeros((products.patterns + 1, len(self.names)))
        uses[:-1] = [[j in b.causes for j in range(len(self.names))] for b in self.blocks for _ in b.yields]
        of = np.maximum.reduceat(uses[products.members].max(axis=1), products.first, axis=0)
        chosen = (np.ascontiguousarray(self.mix.count[:, own > 0]) for own in of.T)  # sums depend on the memory's order
        return np.stack([count.sum(axis=1) for count in chosen], axis=1)

    @cached_property
    def total(self) -> Floats:
        """Σ n [s] over all records of the group."""
        return self.mix.count.sum(1) if self.mix is not None else np.sum([b.count.sum(1) for b in self.blocks], axis=0)

    def part(self, segments: slice | Bools | Ints) -> Group:
        """The same patterns in some of the segments."""
        mix = None if self.mix is None else self.mix.part(segments)
        peaks = None if self.peaks is None else self.peaks.part(segments)
        blocks = tuple(replace(b, count=b.count[segments]) for b in self.blocks)
        return replace(self, blocks=blocks, mix=mix, peaks=peaks)


@dataclass(frozen=True, eq=False)
class Impossible:
    """Records that no state of the exogenous variables can yield: (study, variables, codes) and their count [s]."""

    study: str
    variables: tuple[str, ...]
    codes: tuple[int, ...]
    count: Floats


@dataclass(frozen=True, eq=False)
class Likelihood:
    """The compiled likelihood.

    causes: name of every distribution -> the exogenous variable that it is of: the model's own in model order, then
    those of single studies (`StudyCounts.local`) by name. free: distributions on which no pattern depends; n [s]:
    records. read: the sets of an exogenous variable's children whose responses some pattern reads together. split: the
    pieces of the causes, if some are too large for a list; each distribution is then one of a piece.
    """

    model: Model
    causes: dict[str, str]
    groups: tuple[Group, ...]
    free: tuple[str, ...]
    impossible: tuple[Impossible, ...]
    n: Floats
    read: dict[str, frozenset[frozenset[str]]]
    split: Split | None = None

    @cached_property
    def cards(self) -> dict[str, int]:
        """The states of each distribution's variable, or piece of one."""
        if self.split is None:
            return {name: self.model.card(cause) for name, cause in self.causes.items()}
        return {name: len(piece.states) for name, piece in self.split.distributions.items()}

    def part(self, segments: slice) -> Likelihood:
        """The same likelihood for some of the segments: what is compiled does not depend on the counts."""
        return replace(
            self,
            groups=tuple(group.part(segments) for group in self.groups),
            impossible=tuple(replace(i, count=i.count[segments]) for i in self.impossible),
            n=self.n[segments],
        )


def find_rarest(groups: Sequence[Group], s: int) -> float:
    """The smallest share that a record of segment s has in its group."""
    return min([1.0, *(float(g.count[s][g.count[s] > 0].min() / g.total[s]) for g in groups if g.total[s] > 0)])


def compile_likelihood(
    model: Model, arms: Sequence[StudyCounts], asked: Sequence[Combination] = (), pieces: bool | None = None
) -> Likelihood:
    """The likelihood of the studies, one per arm, their segments aligned. asked: the queries whose worlds decide, with
    the patterns, into which pieces causes are split. pieces: whether they are; by default if one is too large to be
    listed.

    Raises `TooLarge` before a block of more than `LARGEST_BLOCK` entries is allocated, `UnknownName` and
    `RepeatedName` for `local` distributions.
    """
    causes = name_distributions(model, arms)
    pooled, mixed = pool_parts(model, arms, causes)
    if is_wide(model) if pieces is None else pieces:
        return _compile_pieces(model, arms, causes, pooled, mixed, asked)
    classes = merge_states(model, causes, pooled)
    first = {name: np.unique(c, return_index=True)[1] for name, c in classes.items()}
    refuse_blocks(model, pooled, first)
    impossible: list[tuple[int, Impossible]] = []
    blocks: dict[tuple[str, ...], list[tuple[Bools, Floats]]] = {}
    stands: dict[
        Key, tuple[int, Bools]
    ] = {}  # where in its block a part begins, and which of its patterns are possible
    for part in pooled:
        yields = part.enumerate_states(model, first)
        possible = np.asarray(yields.any(axis=1))
        if not (part.mixed or possible.all()):
            impossible.extend(_set_apart(arms, part, ~possible))
        stands[part.part, part.names] = sum(len(y) for y, _ in blocks.get(part.names, ())), possible
        if part.names and possible.any():
            count = np.zeros((len(part.count), len(yields))) if part.mixed else part.count
            blocks.setdefault(part.names, []).append((yields[possible], count[:, possible]))
    merged = {
        names: (np.vstack([y for y, _ in parts]), np.ascontiguousarray(np.hstack([n for _, n in parts])))
        for names, parts in blocks.items()
    }
    used = {name for names in merged for name in names}
    classes |= {name: np.arange(model.card(causes[name])) for name in used if name not in classes}
    groups = []
    for names in tie((n for n in causes if n in used), [*merged, *([n for n in r.names if n in used] for r in mixed)]):
        group = _make_group(names, classes, merged)
        if own := [r for r in mixed if not set(names).isdisjoint(r.names)]:
            mix, refused = mix_records(
                own, stands, [n for n in merged if n[0] in names], [len(b.yields) for b in group.blocks]
            )
            group = replace(group, mix=mix)
            _refuse_wide(model, group, mix.products)
            impossible += [(r.arm, Impossible(arms[r.arm].name, r.scope, row, n)) for r, row, n in refused]
        groups.append(group)
    return Likelihood(
        model,
        causes,
        tuple(groups),
        tuple(name for name in causes if name not in used),
        tuple(records for _, records in sorted(impossible, key=lambda found: found[0])),
        np.sum([arm.count.sum(axis=1) for arm in arms], axis=0),
        _find_read(model, pooled),
    )


def _compile_pieces(
    model: Model,
    arms: Sequence[StudyCounts],
    causes: dict[str, str],
    pooled: Sequence[Pooled],
    mixed: Sequence[Records],
    asked: Sequence[Combination],
) -> Likelihood:
    """The same with causes split into pieces: a group is the patterns of one piece."""
    responses, read = Responses(model), _find_read(model, pooled)
    split = Split(responses, read_all(responses, pooled, asked), causes)
    if mixed:
        split, pooled = _merge_pieces(split, arms, mixed, asked)
    impossible: list[tuple[int, Impossible]] = []
    drafts: dict[str, list[tuple[Floats, Floats]]] = {}
    for part in pooled:
        found, possible = find_patterns(split, part)
        if not possible.all():
            impossible.extend(_set_apart(arms, part, ~possible))
        for own in found:
            name = split.name(part.names[0], part.part.exogenous[0], own.piece)
            drafts.setdefault(name, []).append((own.rows, part.count[:, own.place]))
    blocks = {
        name: (np.concatenate([rows for rows, _ in parts]), np.hstack([count for _, count in parts]))
        for name, parts in drafts.items()
    }
    peaks = find_peaks(split, blocks)
    pieces = split.distributions
    groups = []
    for name, piece in pieces.items():
        if name in blocks:
            rows, count = blocks[name]
            yields = rows if piece.tree is None else np.round(piece.tree.entries_of(piece.states) @ rows.T).T
            group = _make_group((name,), {name: np.arange(len(piece.states))}, {(name,): (yields > 0, count)})
            groups.append(replace(group, peaks=peaks.get(name)))
    return Likelihood(
        model,
        {name: piece.cause for name, piece in pieces.items()},
        tuple(groups),
        tuple(name for name in pieces if name not in blocks),
        tuple(records for _, records in sorted(impossible, key=lambda found: found[0])),
        np.sum([arm.count.sum(axis=1) for arm in arms], axis=0),
        read,
        split,
    )


def _merge_pieces(
    split: Split, arms: Sequence[StudyCounts], mixed: Sequence[Records], asked: Sequence[Combination]
) -> tuple[Split, list[Pooled]]:
    """The pieces with those causes merged that incomplete records tie, and the parts of the model that has these.

    Raises `TooLarge` if they cannot be merged without loss.
    """
    merged = merge(split, list(dict.fromkeys(records.names for records in mixed)))
    if merged is not None:
        gone = {u.name for own in merged.selections.values() for u in own.causes}
        if not any(gone & set(arm.local) for arm in arms):
            causes = name_distributions(merged.model, arms)
            pooled, left = pool_parts(merged.model, arms, causes)
            read = [] if left else read_all(Responses(merged.model), pooled, asked)
            if not left and reads_one_context(merged, read):
                return MergedSplit(merged, read, causes), pooled
    raise _tied(split.model, mixed)


def _tied(model: Model, mixed: Sequence[Records]) -> TooLarge:
    lacking = {
        v
        for records in mixed
        for v, column in zip(model.variables, records.completed.T, strict=True)
        if v not in records.scope and (column >= 0).any()
    }
    names = show_names([v for v in model.variables if v in lacking])
    return TooLarge(
        f"records without a value of {names} tie causes together of which one is too large to be listed",
        remedy=f"measure {names}, leave these records out ("
        + given("nulls", "drop")
        + "), or coarsen the variable with the most states",
        variable=next(iter(lacking)) if len(lacking) == 1 else None,
    )


def _find_read(model: Model, pooled: Sequence[Pooled]) -> dict[str, frozenset[frozenset[str]]]:
    """For each exogenous variable, the sets of its children whose responses some pattern reads together."""
    found: dict[str, set[frozenset[str]]] = {}
    for own in pooled:
        members = (*own.part.measured, *own.part.latent)
        for cause in own.part.exogenous:
            read = frozenset(v for v in members if cause in model.causes[v])
            found.setdefault(cause, set()).add(read)
    return {cause: frozenset(sets) for cause, sets in found.items()}


def name_distributions(model: Model, arms: Sequence[StudyCounts]) -> dict[str, str]:
    """`Likelihood.causes` of these arms. Raises `UnknownName`, `RepeatedName` for a name of two variables."""
    own = {u.name: u.name for u in model.exogenous}
    local: dict[str, str] = {}
    for arm in arms:
        for cause, name in arm.local.items():
            if cause not in own:
                raise UnknownName(
                    f"study {arm.name!r} has its own distribution of {cause}, which is no exogenous variable of the "
                    f"model; these are {', '.join(own)}",
                    remedy=hint(cause, own),
                    study=arm.name,
                )
            if name in own or name in model.variables or local.setdefault(name, cause) != cause:
                raise RepeatedName(
                    f"study {arm.name!r} calls its own distribution of {cause} {name}, which is the name of another "
                    "variable or distribution",
                    remedy="give it a name of its own",
                    study=arm.name,
                )
    return own | dict(sorted(local.items()))


def _set_apart(arms: Sequence[StudyCounts], part: Pooled, impossible: Bools) -> list[tuple[int, Impossible]]:
    """The records of each arm with impossible patterns [p], with the position of the arm."""
    refused = set(map(tuple, part.codes[impossible].tolist()))
    return [
        (k, Impossible(arms[k].name, part.part.scope, tuple(row), count[:, p]))
        for k, codes, count in part.sources
        for p, row in enumerate(codes.tolist())
        if tuple(row) in refused
    ]


def _refuse_wide(model: Model, group: Group, products: Products) -> None:
    """Raise `TooLarge` where incomplete records tie causes with too many joint states, which no path makes fewer."""
    joint = prod(group.cards)
    if joint * products.records <= LARGEST_BLOCK or relax(model, group.names, products) is not None:
        return
    latent = {v for q in np.flatnonzero(~products.whole) for v in _find_latent(model, products, int(q))}
    refuse_large(
        joint * products.records,
        [v for v in model.variables if not set(model.causes[v]).isdisjoint(group.names) and v not in latent],
        [v for v in model.variables if v in latent],
        group.names,
        joint,
    )


def _find_latent(model: Model, products: Products, record: int) -> list[str]:
    """The variables whose values differ between a record's completions."""
    codes = products.codes[products.of == record]
    return [v for v, column in zip(model.variables, codes.T, strict=True) if (column != column[0]).any()]


# -- groups --------------------------------------------------------------------------------------


def _make_group(
    names: tuple[str, ...], classes: dict[str, Ints], merged: dict[tuple[str, ...], tuple[Bools, Floats]]
) -> Group:
    own = [(tuple(names.index(n) for n in causes), *parts) for causes, parts in merged.items() if causes[0] in names]
    cards = [int(classes[n].max()) + 1 for n in names]
    told = [_tell_apart(j, cards, own) for j in range(len(names))]
    first = [np.unique(c, return_index=True)[1] for c in told]
    blocks = []
    for causes, yields, count in own:
        cube = yields.reshape(len(yields), *(cards[j] for j in causes))
        for axis, j in enumerate(causes, start=1):
            cube = cube.take(first[j], axis=axis)
        order = np.argsort(causes)  # a study's own distribution comes later in the group than it does in the part
        cube = cube.transpose(0, *(1 + order))
        flat = np.ascontiguousarray(cube.reshape(len(yields), -1), np.float64)
        count = np.ascontiguousarray(count)  # sums along a row are rounded by its layout
        blocks.append(Block(tuple(sorted(causes)), flat, count))
    return Group(names, tuple(t[classes[n]] for t, n in zip(told, names, strict=True)), tuple(blocks))


def _tell_apart(j: int, cards: list[int], own: list[tuple[tuple[int, ...], Bools, Floats]]) -> Ints:
    """The class of each state of variable j: equal for states with identical slices of every block."""
    slices = []
    for causes, yields, _ in own:
        if j in causes:
            cube = yields.reshape(len(yields), *(cards[i] for i in causes))
            slices.append(np.packbits(np.moveaxis(cube, 1 + causes.index(j), 0).reshape(cards[j], -1), axis=1))
    return classify(np.hstack(slices))
