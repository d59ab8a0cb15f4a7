"""Equal parts of all arms' records made one, and the exogenous states that could tell their patterns apart.

An incomplete record whose missing values tie several causes is the sum over its completions (`mix.py`), each a product
of patterns of complete parts; these parts are pooled as all others are.

Axes: s segment, p distinct pattern, v variable, u exogenous state.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from duckemcc.errors import TooLarge, given
from duckemcc.learn.counts import StudyCounts
from duckemcc.learn.parts import Part, Sample, fill_in, pool, project, split, split_samples
from duckemcc.learn.yields import pattern_yields, refuse_large
from duckemcc.model.scm import Model, tie
from duckemcc.model.states import show_names
from duckemcc.model.ticking import tick

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]
Key: TypeAlias = tuple[Part, tuple[str, ...]]
"""A part and the distributions of its causes."""

MOST_COMPLETIONS = 2_000_000
"""Completions of one arm's records that lack the same values, at most."""


@dataclass(frozen=True, eq=False)
class Pooled:
    """The patterns of a part under given distributions of its causes: codes [p, v] of its scope, count [s, p].

    sources: (arm, codes, count) of each arm that has such records. mixed: the part belongs to causes that incomplete
    records tie; then its count is zero, and `Records` say in which products it stands.
    """

    part: Part
    names: tuple[str, ...]
    codes: Ints
    count: Floats
    sources: list[tuple[int, Ints, Floats]]
    mixed: bool = False

    def enumerate_states(self, model: Model, first: dict[str, Ints]) -> NDArray[np.bool_]:
        """yields [p, u] over all states of the causes, or over the `first` of each class where there are classes."""
        part = self.part
        states = {u: first[name] for u, name in zip(part.exogenous, self.names, strict=True) if name in first}
        return pattern_yields(
            model, part.measured, part.exogenous, part.scope, self.codes, latent=part.latent, states=states
        )


@dataclass(frozen=True, eq=False)
class Records:
    """The records of one arm that lack the same values, as far as they read causes that incomplete records tie.

    names: these causes' distributions. scope, codes [q, scope], count [s, q]: the records. of [r]: the record that each
    completion is of; keys: the complete parts, and places [r, part] the pattern of each in `Pooled.codes` of that part.
    completed [r, v]: codes of the model's `variables` in each completion, -1 for those that it does not read. do: those
    set by design.
    """

    arm: int
    do: tuple[str, ...]
    variables: tuple[str, ...]
    names: tuple[str, ...]
    scope: tuple[str, ...]
    codes: Ints
    count: Floats
    of: Ints
    keys: tuple[Key, ...]
    places: Ints
    completed: Ints


def pool_parts(model: Model, arms: Sequence[StudyCounts], causes: dict[str, str]) -> tuple[list[Pooled], list[Records]]:
    """The parts of all arms and of all that their records lack, equal ones once, in an order that is the model's; and
    the records of causes that are tied by what these lack.

    Raises `TooLarge` for too many completions.
    """
    samples = [
        (
            k,
            sample,
            [(part, tuple(arm.local.get(u, u) for u in part.exogenous)) for part in split(model, arm.do, missing)],
        )
        for k, arm in enumerate(arms)
        for sample in split_samples(fill_in(model, arm))
        for missing in [sample.missing]
    ]
    groups = tie(causes, [names for _, _, parts in samples for _, names in parts])
    place = {name: i for i, group in enumerate(groups) for name in group}
    mixed = {place[names[0]] for _, _, parts in samples for part, names in parts if part.latent and len(names) > 1}
    found: dict[Key, list[tuple[int, Ints, Floats]]] = {}
    drafts: list[Records] = []
    for k, sample, parts in samples:
        for key in parts:
            if not (key[1] and place[key[1][0]] in mixed):
                found.setdefault(key, []).append((k, *project(sample.arm, key[0].scope)))
        for g in sorted(mixed):
            own = [key for key in parts if key[1] and place[key[1][0]] == g]
            if own:
                drafts.append(_complete(model, k, sample, own, groups[g]))
    order = {v: i for i, v in enumerate((*model.variables, *causes))}
    patterns, places = _pool_drafts(drafts)
    keys = sorted(
        [*found, *patterns],
        key=lambda key: [[-len(key[0].measured)], *([order[v] for v in n] for n in (*key[0], key[1]))],
    )
    none = np.zeros((len(arms[0].count), 0))
    pooled = [
        Pooled(*key, patterns[key], np.repeat(none[:, :1], 0, axis=1), [], True)
        if key in patterns
        else Pooled(*key, *pool([(c, n) for _, c, n in found[key]]), found[key])
        for key in keys
    ]
    return pooled, [replace(draft, places=own) for draft, own in zip(drafts, places, strict=True)]


def _complete(model: Model, k: int, sample: Sample, own: Sequence[Key], names: tuple[str, ...]) -> Records:
    """The records of a sample and their completions, as far as they read the causes `names`; own: the parts that do.

    Which pattern of each part a completion has is not known yet.
    """
    wide = [part for part, _ in own if part.latent]
    latent = tuple(v for v in model.variables if any(v in part.latent for part in wide))
    read = {v for part, _ in own for v in part.scope}
    scope = tuple(v for v in model.variables if v in read)
    codes, count = project(sample.arm, scope)
    ways = prod(map(model.card, latent))
    if len(codes) * ways > MOST_COMPLETIONS:
        raise TooLarge(
            f"study {sample.arm.name!r} has {len(codes):,} patterns without a value of {show_names(latent)}, which can "
            f"be completed in {ways:,} ways each, more than {MOST_COMPLETIONS:,} together",
            remedy="measure one of them, leave these records out ("
            + given("nulls", "drop")
            + "), or coarsen the variable with the most states",
            study=sample.arm.name,
        )
    columns = {v: i for i, v in enumerate(model.variables)}
    completed = np.full((len(codes) * ways, len(columns)), -1, np.intp)
    completed[:, [columns[v] for v in scope]] = np.repeat(codes, ways, axis=0)
    if latent:
        values = np.indices([model.card(v) for v in latent]).reshape(len(latent), -1).T
        completed[:, [columns[v] for v in latent]] = np.tile(values, (len(codes), 1))
    members = {v for part in wide for v in (*part.measured, *part.latent)}
    missing = set(sample.missing) - set(latent)
    keys = [key for key in own if key[0] not in wide]
    keys += [
        (part, tuple(sample.arm.local.get(u, u) for u in part.exogenous))
        for part in split(model, sample.arm.do, missing)
        if members.issuperset((*part.measured, *part.latent))
    ]
    keys.sort(key=lambda key: columns[key[0].measured[0]])
    of = np.repeat(np.arange(len(codes)), ways)
    places = np.zeros((len(of), len(keys)), np.intp)
    return Records(k, sample.arm.do, model.variables, names, scope, codes, count, of, tuple(keys), places, completed)


def _pool_drafts(drafts: Sequence[Records]) -> tuple[dict[Key, Ints], list[Ints]]:
    """The distinct patterns [p, v] of each part that completions read, and which each of these reads [r, part]."""
    read: dict[Key, list[tuple[int, int]]] = {}
    for d, draft in enumerate(drafts):
        for k, key in enumerate(draft.keys):
            read.setdefault(key, []).append((d, k))
    patterns: dict[Key, Ints] = {}
    places = [np.zeros((len(d.of), len(d.keys)), np.intp) for d in drafts]
    for key, where in read.items():
        codes = [_read(drafts[d], key) for d, _ in where]
        patterns[key], place = np.unique(np.concatenate(codes), axis=0, return_inverse=True)
        cuts = np.cumsum([len(c) for c in codes])[:-1]
        for (d, k), own in zip(where, np.split(place.ravel(), cuts), strict=True):
            places[d][:, k] = own
    return patterns, places


def _read(records: Records, key: Key) -> Ints:
    """The codes [r, scope] of a part in each completion."""
    return records.completed[:, [records.variables.index(v) for v in key[0].scope]]


def merge_states(model: Model, causes: dict[str, str], pooled: Sequence[Pooled]) -> dict[str, Ints]:
    """The class of each state [u], for the distributions some of whose states may act alike on all that is there."""
    seen: dict[str, set[str]] = {}
    for each in pooled:
        for name in each.names:
            seen.setdefault(name, set()).update(each.part.measured, each.part.latent)
    found = {name: find_classes(model, causes[name], members) for name, members in seen.items()}
    return {name: classes for name, classes in found.items() if classes is not None}


def find_classes(model: Model, cause: str, members: Collection[str], states: Ints | None = None) -> Ints | None:
    """The class of each state [u] of a cause, or of some: equal for those that act alike on its children among the
    members.

    None where no two states do: those of a canonical cause differ in some child.
    """
    exogenous = next(u for u in model.exogenous if u.name == cause)
    children = [c for c in exogenous.children if c in members]
    if exogenous.card is None and len(children) == len(exogenous.children):
        return None
    tables = [np.moveaxis(model.table(c), model.causes[c].index(cause), 0) for c in children]
    tables = tables if states is None else [t[states] for t in tables]
    return classify(np.hstack([t.reshape(len(t), -1) for t in tables]))


def refuse_blocks(model: Model, pooled: Sequence[Pooled], first: dict[str, Ints]) -> None:
    """Raise `TooLarge` where the parts with the same distributions have too many entries together."""
    entries: dict[tuple[str, ...], int] = {}
    for each in pooled:
        part, names = each.part, each.names
        cards = [len(first[n]) if n in first else model.card(u) for u, n in zip(part.exogenous, names, strict=True)]
        entries[names] = entries.get(names, 0) + prod(cards) * len(each.codes)
        refuse_large(entries[names], part.measured, part.latent, names, prod(cards))


def sum_by_class(chances: Floats, classes: Ints) -> Floats:
    """The mass of each class [r, class] of chances [r, u]."""
    mass = np.zeros((int(classes.max()) + 1, len(chances)))
    np.add.at(mass, classes, chances.T)
    return np.ascontiguousarray(mass.T)


def classify(rows: NDArray[np.generic]) -> Ints:
    """The class of each row: equal for equal rows, numbered by first appearance."""
    tick()
    rows = np.ascontiguousarray(rows)
    wide = rows.view(np.uint8).reshape(len(rows), -1)
    if wide.shape[1] <= 8:  # one number, which is sorted in a tenth of the time
        numbers = np.zeros((len(rows), 8), np.uint8)
        numbers[:, : wide.shape[1]] = wide
        keys = numbers.view(np.uint64).ravel()
    else:
        keys = rows.view([("", rows.dtype)] * rows.shape[1]).ravel()
    _, first, place = np.unique(keys, return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=np.intp)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[place.ravel()]
