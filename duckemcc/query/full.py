"""A fully specified structural causal model: a PSCM plus chances, of which any query has one exact value.

    P(v | do(x)) = Σ_u Π_j θ_j(u_j) [v is what the equations yield at u, x being set]        (paper §2, FSCM)

Axes: n record, u exogenous state; a distribution has one axis per variable. Records are codes (positions of states).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from duckemcc.errors import (
    GraphError,
    InvalidEquation,
    OptionError,
    QueryError,
    TooLarge,
    UnknownName,
    UnknownState,
    hint,
)
from duckemcc.model.check import check_known
from duckemcc.model.generate import random_model
from duckemcc.model.scm import Model
from duckemcc.model.states import State, label, show_names, show_value
from duckemcc.model.threads import one_thread
from duckemcc.model.uai import SUM_TOLERANCE, read_uai, write_uai
from duckemcc.query.assume import read_assumption
from duckemcc.query.event import ZERO_EVIDENCE, Compiled
from duckemcc.query.language import query as read_query
from duckemcc.query.network import LARGEST_TENSOR
from duckemcc.query.syntax import Contrast, Named, Query, Term

Floats = NDArray[np.float64]
Codes = NDArray[np.int32]
Records: TypeAlias = dict[str, Codes]
"""Codes [n] by variable, in model order; ``np.column_stack(list(records.values()))`` is [n, v]."""
Intervention: TypeAlias = "str | Sequence[str] | Mapping[str, State | NDArray[Any] | Sequence[int] | None]"


@dataclass(frozen=True, eq=False)
class FullModel:
    """A PSCM, all of whose states are known, with the PMF [u] of every exogenous variable.

    Raises `GraphError` for unknown states, `UnknownName` for a PMF of a variable that the model does not have,
    `InvalidEquation` for one that is missing, of another length, negative, or does not sum to 1 (within 1e-9), and for
    PMFs under which an assumption of the model is false (by more than 1e-9). The PMFs are copied and made read-only.
    """

    model: Model
    chances: Mapping[str, Floats]

    def __post_init__(self) -> None:
        unknown = [v for v, labels in self.model.states.items() if labels is None]
        if unknown:
            raise GraphError(
                f"the states of {show_names(unknown)} are not known", remedy="declare them, or use with_states"
            )
        names = [u.name for u in self.model.exogenous]
        for name in self.chances:
            if name not in names:
                raise UnknownName(
                    f"there are chances of {name}, which is no exogenous variable",
                    remedy=hint(name, names),
                    variable=name,
                )
        object.__setattr__(self, "chances", {u: _read_pmf(self.model, u, self.chances) for u in names})
        for event in self.model.assumptions:
            asked = read_assumption(event)
            if (found := self.evaluate(asked)) > SUM_TOLERANCE:
                said = f"the model assumes {asked} = 0, and by these chances it is {found:.6g}"
                raise InvalidEquation(f"{said}", remedy="give no chance to the states at which the event holds")

    def __eq__(self, other: object) -> bool:
        """Equal models and, number by number, equal chances."""
        return isinstance(other, FullModel) and self._identity == other._identity

    def __hash__(self) -> int:
        return hash(self._identity)

    @property
    def _identity(self) -> tuple[object, ...]:
        return self.model, tuple((u, tuple(pmf.tolist())) for u, pmf in self.chances.items())

    # -- ways in and out ---------------------------------------------------------------------------

    @staticmethod
    def from_uai(source: str | Path, *, normalise: bool = False) -> FullModel:
        """The model of a UAI file (its path, or its text) in the authors' ``CAUSAL`` dialect, chances included.

        normalise: divide a PMF that does not sum to 1 by its sum, which is an error otherwise. 13 of the authors' own
        files need it: states were taken out of these models, it seems after their data had been sampled. In most of
        `exact-pns` among them the data contradict the chances that come out; in `hybrid` (sums from .991) they do not.
        Raises `GraphError`, `InvalidEquation` and `TooLarge` with the line.
        """
        return FullModel(*read_uai(source, normalise=normalise))

    def to_uai(self) -> str:
        """The text of a UAI file with these chances to the last digit, so that `from_uai` gives the model back.

        Names, states and errors are as for `Model.to_uai`.
        """
        return write_uai(self.model, self.chances)

    @staticmethod
    def random(nodes: int, rng: np.random.Generator) -> FullModel:
        """A random model of the paper's Section 6.2 over so many nodes; see `duckemcc.model.generate`."""
        return FullModel(*random_model(nodes, rng))

    # -- exact answers -----------------------------------------------------------------------------

    @one_thread
    def evaluate(self, query: Query | str) -> float:
        """The exact value of a query.

        Raises `QueryError` where its condition has probability zero (at most 1e-10), and as `query` and `Compiled` do.
        """
        asked = read_query(query)
        found = Compiled(asked, self.model)({u: pmf[None] for u, pmf in self.chances.items()})
        if found.evidence[0] <= ZERO_EVIDENCE:
            raise QueryError(
                f"{asked} is undefined: its condition has probability {found.evidence[0]:g} in this model",
                remedy="condition on something that can happen",
                query=str(asked),
            )
        return float(found.value[0])

    @one_thread
    def distribution(self, *variables: str, do: Mapping[str, State] | None = None) -> Floats:
        """P(variables | do), exactly: an array with an axis of states for each of the variables.

        Raises `UnknownName`, `UnknownState`, `QueryError` for no variable or one named twice, `TooLarge`.
        """
        import opt_einsum

        check_known("the distribution is of", variables, self.model.parents)
        if not variables or len(set(variables)) < len(variables):
            raise QueryError(f"a distribution is of one variable or more, each named once; found {list(variables)}")
        operands = self._factors(variables, self._read_constants(do or {}))
        size = prod(self.model.card(v) for v in variables)
        if size <= LARGEST_TENSOR:
            size = int(opt_einsum.contract_path(*operands, optimize="auto")[1].largest_intermediate)
        if size > LARGEST_TENSOR:
            raise TooLarge(
                f"the distribution of {show_names(variables)} takes a table of {size:,} entries, more than "
                f"{LARGEST_TENSOR:,}",
                remedy="ask for fewer variables at once",
            )
        found: Floats = np.asarray(opt_einsum.contract(*operands, optimize="auto"))
        return found.clip(0.0, None)

    def _factors(self, variables: Sequence[str], fixed: Mapping[str, int]) -> list[Any]:
        """The operands of a contraction: tables and their axes, in turn, of all that the variables depend on."""
        operands: list[Any] = []
        causes: dict[str, None] = {}
        found, stack = set(variables), list(variables)
        while stack:
            v = stack.pop()
            states = np.arange(self.model.card(v))
            if v in fixed:
                operands += [(states == fixed[v]).astype(np.float64), [v]]
                continue
            axes = [*self.model.causes[v], *self.model.parents[v], v]
            operands += [(self.model.table(v)[..., None] == states).astype(np.float64), axes]
            causes |= dict.fromkeys(self.model.causes[v])
            stack += [p for p in self.model.parents[v] if p not in found]
            found.update(self.model.parents[v])
        for u in causes:
            operands += [self.chances[u], [u]]
        return [*operands, list(variables)]

    # -- records -----------------------------------------------------------------------------------

    def sample(self, n: int, *, do: Intervention | None = None, rng: np.random.Generator) -> Records:
        """n records as codes [n] of every variable, observational or with the variables of `do` set.

        do: names of variables that are set at random, each state as likely (as in a trial); or, for each such variable,
        a state, an array [n] of codes, or None for at random. The exogenous states are drawn first, the same ones
        whatever `do` is: two calls with equal seeds show the same units in two worlds.
        Raises `OptionError`, `UnknownName`, `UnknownState`.
        """
        if isinstance(n, bool) or not isinstance(n, (int, np.integer)) or n < 0:
            raise OptionError(f"n is {show_value(n)}", remedy="it takes a number of records", option="n")
        drawn = {u: _draw(pmf, int(n), rng) for u, pmf in self.chances.items()}
        value = self._read_do(do, int(n), rng)
        for v in self.model.order:
            if v not in value:
                at = (*(drawn[u] for u in self.model.causes[v]), *(value[p] for p in self.model.parents[v]))
                value[v] = np.broadcast_to(self.model.table(v)[at], n)
        return {v: value[v].astype(np.int32) for v in self.model.variables}

    def labels(self, records: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """The records with the labels of the states instead of their codes: arrays [n] of text."""
        check_known("the records hold", records, self.model.parents)
        return {v: np.array(self.model.states[v], dtype=object)[codes] for v, codes in records.items()}

    def _read_do(self, do: Intervention | None, n: int, rng: np.random.Generator) -> dict[str, NDArray[np.intp]]:
        """Codes [n] of the variables that are set."""
        names = [do] if isinstance(do, str) else do or ()
        settings = dict(names) if isinstance(names, Mapping) else dict.fromkeys(names)
        check_known("the intervention sets", settings, self.model.parents)
        value = {}
        for v in self.model.variables:  # in model order, so that the draws do not depend on how `do` is written
            if v not in settings:
                continue
            setting, card = settings[v], self.model.card(v)
            if setting is None:
                value[v] = (rng.random(n) * card).astype(np.intp)
            elif isinstance(setting, (np.ndarray, list, tuple)):
                value[v] = _read_codes(v, setting, card, n)
            else:
                value[v] = np.full(n, self._code(v, setting), np.intp)
        return value

    def _read_constants(self, do: Mapping[str, State]) -> dict[str, int]:
        check_known("the intervention sets", do, self.model.parents)
        return {v: self._code(v, state) for v, state in do.items()}

    def _code(self, variable: str, state: Any) -> int:
        known = self.model.states[variable] or ()
        try:
            return known.index(label(state))
        except (TypeError, ValueError):
            said = f"the intervention sets {variable} to {show_value(state)}; its states are {show_names(known)}"
            raise UnknownState(said) from None


class Trial(NamedTuple):
    """Section 6.2's two studies of one model: records, and the variable that is set in the second."""

    observed: Records
    randomised: Records
    do: str


def sample_studies(full: FullModel, n: int, rng: np.random.Generator) -> Trial:
    """n observational records, and n for each state that the topologically first variable is set to (2n if Boolean)."""
    first = full.model.order[0]
    observed = full.sample(n, rng=rng)
    arms = np.repeat(np.arange(full.model.card(first)), n)
    return Trial(observed, full.sample(len(arms), do={first: arms}, rng=rng), first)


def first_on_last(model: Model) -> Query:
    """Section 6.2's query: the PNS of the topologically first variable on the last, ``PNS(V1=1 vs 0, Vn=1)``."""
    first, last = model.order[0], model.order[-1]
    x, y = model.states[first] or (), model.states[last] or ()
    if first == last or len(x) < 2 or len(y) < 2:
        raise QueryError(f"the PNS of {first} on {last} needs two variables with two states each", variable=last)
    return Query((Term(1.0, Named("PNS", (Contrast(first, x[1], x[0]), Contrast(last, y[1])))),))


def _read_pmf(model: Model, name: str, chances: Mapping[str, Any]) -> Floats:
    if name not in chances:
        raise InvalidEquation(
            f"there are no chances of {name}", remedy="give its PMF, one number for each state", variable=name
        )
    try:
        pmf = np.array(chances[name], dtype=np.float64)
    except (TypeError, ValueError):
        raise InvalidEquation(
            f"the chances of {name} are {show_value(chances[name])}", remedy="they are numbers", variable=name
        ) from None
    if pmf.shape != (card := model.card(name),):
        raise InvalidEquation(
            f"the chances of {name} have the shape {pmf.shape}; it has {card:,} states, so ({card},)", variable=name
        )
    if not (pmf >= 0.0).all():  # NaN included
        raise InvalidEquation(
            f"the chances of {name} have the entry {pmf[~(pmf >= 0.0)][0]}", remedy="chances are 0 to 1", variable=name
        )
    if not abs(pmf.sum() - 1.0) <= SUM_TOLERANCE:
        raise InvalidEquation(
            f"the chances of {name} sum to {pmf.sum():.12g}", remedy="divide them by their sum", variable=name
        )
    pmf.setflags(write=False)
    return pmf


def _read_codes(variable: str, setting: Any, card: int, n: int) -> NDArray[np.intp]:
    codes = np.asarray(setting)
    if codes.shape != (n,) or (n and codes.dtype.kind not in "iu"):
        found = f"shape {codes.shape}, type {codes.dtype}"
        raise OptionError(
            f"the intervention sets {variable} to an array of {found}",
            remedy=f"it takes {n:,} whole numbers",
            variable=variable,
        )
    if n and not 0 <= codes.min() <= codes.max() < card:
        wrong = codes.min() if codes.min() < 0 else codes.max()
        raise UnknownState(
            f"the intervention sets {variable} to the code {wrong}; codes are 0 to {card - 1}", variable=variable
        )
    return codes.astype(np.intp)


def _draw(pmf: Floats, n: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """n states [n] by inversion; one with chance 0 is never drawn."""
    steps = np.cumsum(pmf)
    return np.searchsorted(steps / steps[-1], rng.random(n), side="right")
