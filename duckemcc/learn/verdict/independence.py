"""V ⊥ U | Z in each study and segment: the graph's own independences, one by one, with Holm's correction.

Every claim (`claims.py`) is tested on the margin that it is about (`permutation.py`), on the records that have all of
its values; strata are the arms of a trial and the values of Z, as arms may differ in what they set. Studies are not
pooled: a small one would drown in a big one.

What records without one of the values could explain is taken from the misfit: if the share m of them is left out, and
what is missing depends on anything that was recorded (`nulls="mar"`), leaving them out can move no more than 2 m.

Axes: k claim of a study, s segment, p distinct pattern.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from duckemcc.learn.counts import StudyCounts
from duckemcc.learn.parts import fill_in
from duckemcc.learn.verdict.claims import Claim, find_claims
from duckemcc.learn.verdict.permutation import Found, Margin, examine
from duckemcc.model.scm import Model

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]

EXACT_GAP = 1e-9
"""Nats a record up to which data taken as exact (`level=None`) have an independence, or fit."""


class Design(NamedTuple):
    """Which arms are of one study, and what says which of its records were kept.

    studies: the study of each arm. selectors: study -> the variable that is `kept` (a code) where a rule kept a record.
    """

    studies: tuple[str, ...]
    selectors: Mapping[str, tuple[str, int]]


class Independences(NamedTuple):
    """Every claim of every study. study, claim: [k]; all else [k, s].

    tested: whether the records of a segment could contradict it, varied: whether exact data could. p_value: of the
    claim by itself. misfit: the share of the study's records out of place, less what noise and missing values explain.
    moved: with the noise; gap: nats a record that the claim costs, for data that are taken as exact.
    """

    study: tuple[str, ...]
    claim: tuple[Claim, ...]
    tested: NDArray[np.bool_]
    varied: NDArray[np.bool_]
    p_value: Floats
    misfit: Floats
    moved: Floats
    gap: Floats

    def part(self, segments: slice) -> Independences:
        """Those of some segments."""
        return Independences(
            self.study,
            self.claim,
            self.tested[:, segments],
            self.varied[:, segments],
            self.p_value[:, segments],
            self.misfit[:, segments],
            self.moved[:, segments],
            self.gap[:, segments],
        )


def examine_claims(
    model: Model, arms: Sequence[StudyCounts], design: Design | None = None, nulls: str = "mar"
) -> Independences:
    """All claims of the arms' studies; without a design, each arm is a study by itself."""
    design = design or Design(tuple(arm.name for arm in arms), {})
    segments = len(arms[0].count)
    found: list[tuple[str, Claim, Found]] = []
    for study, own in group_arms(model, arms, design).items():
        selector, _ = design.selectors.get(study, (None, 0))
        for claim in dict.fromkeys(c for arm in own for c in find_claims(model, arm, selector)):
            margin, _, lost = read_margin(own, claim)
            if len(margin.stratum):
                result = examine(margin, pair=claim.is_pair)
                found.append((study, claim, _allow(result, lost if nulls == "mar" else 0 * lost)))
    none = np.zeros((0, segments))
    tested, varied, *numbers = [np.stack(column) for column in zip(*(f for *_, f in found), strict=True)] or [
        none
    ] * len(Found._fields)
    return Independences(
        tuple(study for study, *_ in found),
        tuple(claim for _, claim, _ in found),
        np.asarray(tested, np.bool_),
        np.asarray(varied, np.bool_),
        *numbers,
    )


def _allow(found: Found, lost: Floats) -> Found:
    """The same, of which the share `lost` of records might explain twice as much; of exact data, all."""
    return found._replace(
        varied=found.varied & (lost <= 0),
        misfit=np.maximum(found.misfit - 2 * lost, 0),
        moved=np.maximum(found.moved - 2 * lost, 0),
        gap=np.where(lost > 0, 0, found.gap),
    )


def adjust(p_value: Floats, tested: NDArray[np.bool_]) -> Floats:
    """Holm (1979): p of each claim [k, s] such that any is small with no more than that probability, if all are true.
    Claims that could not be tested do not count."""
    ranked = np.where(tested, p_value, 1.0)
    order = ranked.argsort(axis=0, kind="stable")
    left = tested.sum(axis=0) - np.arange(len(ranked))[:, None]
    sorted_p = np.maximum.accumulate(np.take_along_axis(ranked, order, 0) * np.maximum(left, 1), axis=0)
    adjusted = np.empty_like(ranked)
    np.put_along_axis(adjusted, order, np.minimum(sorted_p, 1), 0)
    return adjusted


def group_arms(model: Model, arms: Sequence[StudyCounts], design: Design) -> dict[str, list[StudyCounts]]:
    """The arms of each study, of those that a rule selected only the records that it kept."""
    grouped: dict[str, list[StudyCounts]] = {}
    for study, arm in zip(design.studies, arms, strict=True):
        arm = fill_in(model, arm)
        if study in design.selectors:
            selector, kept = design.selectors[study]
            rows = arm.codes[:, arm.variables.index(selector)] == kept
            arm = StudyCounts(arm.name, arm.variables, arm.do, arm.codes[rows], arm.count[:, rows], arm.local)
        grouped.setdefault(study, []).append(arm)
    return grouped


def read_margin(arms: Sequence[StudyCounts], claim: Claim) -> tuple[Margin, Ints, Floats]:
    """The patterns of the records that have all values of a claim; which arm and codes each is of [p, 1 + v]; and the
    share of the other records [s]. Arms without any such record are not looked at."""
    codes, counts = [], []
    n, kept = np.zeros((2, len(arms[0].count)))
    for k, arm in enumerate(arms):
        own = arm.codes[:, [arm.variables.index(v) for v in claim.scope]]
        whole = (own >= 0).all(axis=1)
        count = np.ascontiguousarray(arm.count.T[whole])  # sums depend on the order in memory
        there = count.sum(axis=0)
        n += np.where(there > 0, arm.count.sum(axis=1), 0)
        kept += there
        codes.append(np.column_stack([np.full(len(count), k), own[whole]]))
        counts.append(count)
    margin, first = _number(np.concatenate(codes).astype(np.intp), len(claim.given) + 1, np.concatenate(counts))
    return margin, np.concatenate(codes)[first], np.maximum(1 - kept / np.where(n > 0, n, np.inf), 0) * (n > 0)


def _number(rows: Ints, width: int, count: Floats) -> tuple[Margin, Ints]:
    """Codes [p, v] of arm, condition (`width` columns with the arm), rest, variable, made numbers; equal ones pooled.
    And a place where each pattern stands."""
    from scipy.sparse import csr_array

    stratum, row, column = (_key(part) for part in (rows[:, :width], rows[:, width:-1], rows[:, -1:]))
    key = _key(np.column_stack([stratum, row, column]))
    first = np.unique(key, return_index=True)[1]
    if len(first) < len(key):
        count = csr_array((np.ones(len(key)), (key, np.arange(len(key)))), shape=(len(first), len(key))) @ count
    else:
        count = count[first]
    return Margin(stratum[first], row[first], column[first], count), first


def _key(rows: Ints) -> Ints:
    """Which of the distinct rows each is, in the order of their codes."""
    key = np.zeros(len(rows), np.int64)
    for column in rows.T:
        if not len(column):
            return key.astype(np.intp)
        size = int(column.max()) + 1
        if int(key.max()) > 2**62 // size:
            key = np.unique(key, return_inverse=True)[1].astype(np.int64)
        key = key * size + column
    return np.unique(key, return_inverse=True)[1].astype(np.intp)
