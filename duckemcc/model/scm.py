"""A partially specified structural causal model (PSCM): variables, structural equations, components.

Notation (paper §2): endogenous variables V, exogenous variables U, equations f_V. A *canonical* exogenous variable
enumerates every combination of deterministic relations between its children and their endogenous parents (§6.1).
A *component* (c-component; Tian 2002) is a set of endogenous variables tied by shared exogenous parents.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from duckemcc.errors import GraphError, InvalidEquation, NotSupported, UnknownName, hint
from duckemcc.model.canonical import Relations, Table, canonical_card, canonical_tables
from duckemcc.model.check import check_assumptions, check_equations, check_known, check_names, check_states
from duckemcc.model.states import State, label
from duckemcc.model.structure import Component as Component
from duckemcc.model.structure import find_components, sort_variables
from duckemcc.model.structure import tie as tie


@dataclass(frozen=True)
class Endogenous:
    """A variable of the tables. ``states`` is None where they are learned from the data."""

    name: str
    parents: tuple[str, ...] = ()
    states: tuple[State, ...] | None = None

    @cached_property
    def labels(self) -> tuple[str, ...] | None:
        return None if self.states is None else tuple(map(label, self.states))


@dataclass(frozen=True)
class Exogenous:
    """An unmeasured cause. ``card`` is None where it is canonical.

    arcs: the ``<->`` arcs that meet and that this cause was merged from; none if it was drawn as one cause. That they
    are independent of each other is then not assumed.
    """

    name: str
    children: tuple[str, ...]
    card: int | None = None
    arcs: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, eq=False)
class Model:
    """A PSCM. Make one with `Model.parse` (graph text) or `Model.from_dict` (storage form).

    equations: explicit f_V by variable, as arrays of state positions with axes exogenous parents in model order, then
    endogenous parents in their order; variables without one are canonical.
    assumptions: events of probability zero, in the query language (``Y[X=0]=1, Y[X=1]=0``); they are read once all
    states are known, by `duckemcc.query.assume.restrict`, and in whatever order mean the same.
    unmeasured: variables that no study needs a column of; their states are declared.
    surjective: whether every equation must yield every state of its variable; false where assumptions took states of
    the causes away, as `restrict` does.

    Raises `GraphError` (a cycle, no variables), `UnknownName`, `RepeatedName` (also for names that differ only in case,
    as they are matched to columns without regard to it), `AmbiguousEquation` and `InvalidEquation`.
    """

    endogenous: tuple[Endogenous, ...]
    exogenous: tuple[Exogenous, ...]
    equations: Mapping[str, Table]
    assumptions: tuple[str, ...] = ()
    unmeasured: tuple[str, ...] = ()
    surjective: bool = True

    # -- ways in and out -----------------------------------------------------------------------

    @staticmethod
    def parse(text: str) -> Model:
        """The model of a graph text, e.g. ``X -> Y; X <-> Y``.

        Raises as `Model` does, and `GraphError` with line and column.
        """
        from duckemcc.model.graph import parse

        return parse(text)

    @staticmethod
    def from_dict(spec: Mapping[str, Any]) -> Model:
        """The model of its storage form: keys ``endogenous``, ``exogenous``, ``equations``, ``assumptions``,
        ``unmeasured``.

        Raises as `Model` does.
        """
        from duckemcc.model.storage import from_dict

        return from_dict(spec)

    def to_dict(self) -> dict[str, Any]:
        """The storage form, fit for JSON; ``Model.from_dict(model.to_dict()) == model``."""
        from duckemcc.model.storage import to_dict

        return to_dict(self)

    @staticmethod
    def from_uai(source: str | Path) -> Model:
        """The PSCM of a file in the authors' ``CAUSAL`` dialect of UAI, given by its path or as its text.

        Variable number i is named ``Vi``, or ``Ui`` if it is exogenous. The PMFs are read and left out; whether they
        sum to 1 does not matter here (`FullModel.from_uai` keeps and checks them).
        Raises `GraphError`, `InvalidEquation` and `TooLarge` with the line.
        """
        from duckemcc.model.uai import read_uai

        return read_uai(source, normalise=True).model

    def to_uai(self) -> str:
        """The text of a UAI file in the authors' dialect, with uniform PMFs: a PSCM has none, and the file needs them.

        ``Model.from_uai(text)`` has the variables ``V0, V1, …, U…`` and the states 0, 1, …, with every equation
        explicit; a model that is of this form already comes back equal, its names included.
        Raises `NotSupported` for an endogenous variable without parents and for assumptions, and as `table` does.
        """
        from duckemcc.model.uai import write_uai

        if self.assumptions:
            remedy = "write a FullModel, whose chances satisfy them"
            raise NotSupported("the model has assumptions, which a UAI file cannot hold", remedy=f"{remedy}")
        return write_uai(self)

    def to_dot(self, do: str | Iterable[str] = ()) -> str:
        """The network as Graphviz text: measured variables filled, with their states; causes dashed.

        do: names of variables that are set, framed twice; the arcs into them are taken away.
        Raises `UnknownName` for one that the model does not have.
        """
        from duckemcc.model.dot import write_dot

        return write_dot(self, do)

    def __eq__(self, other: object) -> bool:
        """Equal models have the same variables, labels and equations in the same order, which is that of the axes, and
        assume the same; the order of assumptions does not count."""
        return isinstance(other, Model) and self._identity == other._identity

    def __hash__(self) -> int:
        return hash(self._identity)

    def __post_init__(self) -> None:
        if not self.endogenous:
            raise GraphError(
                "the model has no variables", remedy="write an arc such as X -> Y, or declare one: X {0, 1}"
            )
        object.__setattr__(self, "equations", {name: _freeze(name, table) for name, table in self.equations.items()})
        check_names(self)
        check_states(self)
        check_assumptions(self)
        latent = set(self.unmeasured)
        object.__setattr__(self, "unmeasured", tuple(v for v in self.variables if v in latent))
        _ = self.order
        check_equations(self)

    @cached_property
    def _identity(self) -> tuple[object, ...]:
        variables = tuple((v.name, v.parents, v.labels) for v in self.endogenous)
        tables = frozenset((name, t.shape, t.tobytes()) for name, t in self.equations.items())
        return variables, self.exogenous, tables, frozenset(self.assumptions), self.unmeasured

    # -- the graph -----------------------------------------------------------------------------

    @cached_property
    def variables(self) -> tuple[str, ...]:
        """Names of the endogenous variables, in model order."""
        return tuple(v.name for v in self.endogenous)

    @cached_property
    def parents(self) -> dict[str, tuple[str, ...]]:
        """Endogenous parents of each endogenous variable."""
        return {v.name: v.parents for v in self.endogenous}

    @cached_property
    def causes(self) -> dict[str, tuple[str, ...]]:
        """Exogenous parents of each endogenous variable, in model order."""
        causes: dict[str, list[str]] = {v: [] for v in self.variables}
        for u in self.exogenous:
            for child in u.children:
                causes[child].append(u.name)
        return {v: tuple(names) for v, names in causes.items()}

    @cached_property
    def states(self) -> dict[str, tuple[str, ...] | None]:
        """Labels of each endogenous variable's states; None where they are learned from the data."""
        return {v.name: v.labels for v in self.endogenous}

    @cached_property
    def order(self) -> tuple[str, ...]:
        """Topological: of the variables whose parents have gone before, always the first in model order.

        Raises `GraphError` where there is a cycle.
        """
        return sort_variables(self.parents)

    def components(self, do: Iterable[str] = ()) -> tuple[Component, ...]:
        """The components of the model mutilated by `do`, intervened variables left out (Tian 2002).

        A variable that an equation makes deterministic is a component of its own, without exogenous variables.
        """
        out = set(do)
        check_known("the intervention sets", out, self.parents)
        return find_components(self.variables, self.exogenous, out)

    @cached_property
    def splits(self) -> bool:
        """Whether canonical causes can be split into pieces: each variable has one cause at most."""
        return all(len(causes) <= 1 for causes in self.causes.values())

    # -- sizes and tables, once the states are known -------------------------------------------

    def with_states(self, states: Mapping[str, Sequence[State]]) -> Model:
        """This model with the states that the data show, for the variables that declare none."""
        unknown = [v.name for v in self.endogenous if v.states is None and v.name not in states]
        if unknown:
            raise GraphError(f"the states of {unknown[0]} are neither declared nor given", variable=unknown[0])
        learned = (v if v.states is not None else replace(v, states=tuple(states[v.name])) for v in self.endogenous)
        return replace(self, endogenous=tuple(learned))

    def card(self, name: str) -> int:
        """Number of states of an endogenous or exogenous variable; a canonical one is counted, not enumerated.

        Raises `TooLarge` where even the count is astronomic (beyond 2^100 000).
        """
        variable = self._by_name.get(name)
        if variable is None:
            raise UnknownName(f"the model has no variable {name}", remedy=hint(name, self._by_name), variable=name)
        if isinstance(variable, Exogenous):
            return canonical_card(name, self.relations(variable)) if variable.card is None else variable.card
        if variable.states is None:
            raise GraphError(
                f"the states of {name} are not known yet", remedy=f"declare them: {name} {{…}}", variable=name
            )
        return len(variable.states)

    def table(self, name: str) -> Table:
        """f_V as a read-only array of state positions: axes exogenous parents in model order, then endogenous parents.

        Raises `TooLarge` for a canonical exogenous parent with more than `LARGEST_EXOGENOUS` states.
        """
        if name in self.equations:
            return self.equations[name]
        if name not in self._canonical:
            check_known("there is no equation of", [name], self.parents)
            cause = self._by_name[self.causes[name][0]]
            assert isinstance(cause, Exogenous)
            self._canonical.update(canonical_tables(cause.name, self.relations(cause)))
        return self._canonical[name]

    @cached_property
    def _canonical(self) -> dict[str, Table]:
        """The canonical tables that have been needed so far."""
        return {}

    @cached_property
    def _by_name(self) -> dict[str, Endogenous | Exogenous]:
        return {v.name: v for v in self.endogenous} | {u.name: u for u in self.exogenous}

    def relations(self, cause: Exogenous) -> list[Relations]:
        """What a canonical cause enumerates: the relations of each child to its endogenous parents."""
        return [
            Relations(c, self.card(c), self.parents[c], tuple(map(self.card, self.parents[c]))) for c in cause.children
        ]


def _freeze(name: str, table: Table) -> Table:
    if np.asarray(table).dtype.kind not in "iu":
        raise InvalidEquation(
            f"the equation of {name} is no array of whole numbers, positions in the states of {name}", variable=name
        )
    frozen = np.array(table, dtype=np.intp)
    frozen.setflags(write=False)
    return frozen
