"""Which independences of the graph the records violate: the verdict on claims, and the worst of them in words.

Axes: k claim of a study, s segment, p distinct pattern of a claim's margin.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from duckemcc.learn.counts import StudyCounts
from duckemcc.learn.verdict.claims import Claim
from duckemcc.learn.verdict.independence import EXACT_GAP, Design, Independences, adjust, group_arms, read_margin
from duckemcc.learn.verdict.permutation import Margin
from duckemcc.model.scm import Model
from duckemcc.model.states import show_names
from duckemcc.query.syntax import print_name

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]


class Violations(NamedTuple):
    """The verdict on every claim [k, s]: whether it was tested, whether it failed, its p-value with those of all others
    of the segment in mind, and its misfit."""

    study: tuple[str, ...]
    claim: tuple[Claim, ...]
    tested: NDArray[np.bool_]
    failed: NDArray[np.bool_]
    p_value: Floats
    misfit: Floats

    def of(self, study: str) -> Violations:
        """Those of one study."""
        own = [k for k, name in enumerate(self.study) if name == study]
        claims = tuple(self.claim[k] for k in own)
        return Violations(
            (study,) * len(own), claims, self.tested[own], self.failed[own], self.p_value[own], self.misfit[own]
        )

    def worst(self, s: int) -> int | None:
        """The claim that failed by the largest misfit in a segment, a pair if one did: it names what to do."""
        failed = np.flatnonzero(self.failed[:, s]).tolist()
        pairs = [k for k in failed if self.claim[k].is_pair] or failed
        return max(pairs, key=lambda k: self.misfit[k, s], default=None)


def judge_claims(found: Independences, level: float | None, tolerance: float, others: NDArray[np.bool_]) -> Violations:
    """Which claims fail: p < level and misfit > tolerance, or a gap if data are exact (`level` None).

    others [s]: whether there is another test beside the claims, which they share the level with.
    """
    tested = found.varied if level is None else found.tested
    p_value = np.minimum(adjust(found.p_value, tested) * np.where(others, 2, 1), 1)
    if level is None:
        failed, misfit = tested & (found.gap > EXACT_GAP), found.moved
    else:
        misfit = found.misfit
        failed = tested & (p_value < level) & (misfit > tolerance)
    return Violations(found.study, found.claim, tested, failed, p_value, misfit)


class Reason(NamedTuple):
    """fault: the variables, their condition and the stratum that departs most. remedy: what to do."""

    fault: str
    remedy: str


def explain(
    model: Model, arms: Sequence[StudyCounts], design: Design, found: Violations, chosen: Collection[tuple[int, int]]
) -> dict[tuple[int, int], Reason]:
    """Claims (k, s) that failed in a segment, in words."""
    grouped = group_arms(model, arms, design) if chosen else {}

    @cache
    def read(k: int) -> tuple[Margin, Ints, Floats]:
        return read_margin(grouped[found.study[k]], found.claim[k])

    reasons = {}
    for k, s in chosen:
        margin, codes, lost = read(k)
        study, claim = found.study[k], found.claim[k]
        fault = _describe(model, grouped[study], claim, margin, codes, s)
        failed = int(found.failed[:, s].sum())
        reasons[k, s] = Reason(fault, _advise(model, study, claim, failed, bool(lost[s] > 0)))
    return reasons


def _describe(model: Model, arms: Sequence[StudyCounts], claim: Claim, margin: Margin, codes: Ints, s: int) -> str:
    """The cell that departs most, of the stratum that does."""
    count = margin.counts[:, s]
    n, rows, columns = (
        np.bincount(of, count)[of]
        for of in (margin.stratum, *(_pair(margin.stratum, x) for x in (margin.row, margin.column)))
    )
    expected = rows * columns / np.where(n > 0, n, 1)
    distance = np.where(count > 0, np.round((count - expected) ** 2 / (expected + 1), 9), 0)
    stratum = np.bincount(margin.stratum, distance).argmax()
    p = int(np.where(margin.stratum == stratum, distance, -1).argmax())
    atoms = {v: f"{v}={(model.states[v] or ())[c]}" for v, c in zip(claim.scope, codes[p, 1:], strict=True)}
    given = [atoms[v] for v in claim.given]
    event, full = atoms[claim.variable], ", ".join([*given, *(atoms[v] for v in claim.rest)])
    alone = f"{event} | {', '.join(given)}" if given else event
    return (
        f"study '{arms[codes[p, 0]].name}', {_name_claim(claim)}: P({event} | {full}) observed "
        f"{count[p] / rows[p]:.6g}, P({alone}) {columns[p] / n[p]:.6g}, of {n[p]:.6g} records"
    )


def _pair(a: Ints, b: Ints) -> Ints:
    return np.unique(a * (int(b.max(initial=0)) + 1) + b, return_inverse=True)[1]


def _name_claim(claim: Claim) -> str:
    """``Y and X given Z``."""
    return f"{claim.variable} and {_join(claim.rest)}{_name_given(claim)}"


def _name_given(claim: Claim) -> str:
    return f" given {show_names(claim.given)}" if claim.given else ""


def _join(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{show_names(names[:-1])} and {names[-1]} together"


def _advise(model: Model, study: str, claim: Claim, failed: int, lacking: bool) -> str:
    arcs = "; ".join(f"{print_name(u)} -> {print_name(claim.variable)}" for u in claim.rest)
    return (
        f"the graph makes {claim.variable} independent of {_join(claim.rest)}{_name_given(claim)}, which the records "
        f"of study '{study}' contradict"
        + (" (those that have these values)" if lacking else "")
        + f"; draw an arc ({arcs}), or a shared cause ({_share(model, claim)}), or leave the study out"
        + (f". It is the worst of {failed} independences that are violated: mend it and ask again" * (failed > 1))
    )


def _share(model: Model, claim: Claim) -> str:
    """The statement that gives the variables one cause, with all that they share one with already."""
    names = {*claim.rest, claim.variable}
    shared = [u for u in model.exogenous if len(u.children) > 1 and not names.isdisjoint(u.children)]
    together = names.union(*(u.children for u in shared))
    taken = {name.casefold() for name in (*model.variables, *(u.name for u in model.exogenous))}
    name = "U" if "u" not in taken else "U_" + "_".join(v for v in model.variables if v in names)
    text = f"{print_name(name)}: {', '.join(print_name(v) for v in model.variables if v in together)}"
    return text + (f" in place of {show_names([u.name for u in shared])}" if shared else "")
