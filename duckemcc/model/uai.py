"""Models in the UAI files of the method's authors: the ``CAUSAL`` dialect.

    CAUSAL
    n                           number of variables
    c0 … cn-1                   their cardinalities
    n                           number of families
    k p1 … pk-1 i               family of variable i: its parents, then itself; k = 1 makes it exogenous
    size entry …                table of variable i: of an exogenous one its PMF; of an endogenous one the state that
                                its equation yields at each joint state of the parents as listed, the first slowest

Variable number i becomes ``Ui`` if it is exogenous and ``Vi`` if it is endogenous, its states 0, 1, …. As in other UAI
files, any white space separates: a table may go on over several lines. Several of the authors' files hold PMFs that do
not sum to 1, down to 9e-05: states were taken out of them and the others left as they were. They are read on request.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from itertools import islice
from math import fsum, prod
from pathlib import Path
from typing import Any, NamedTuple, NoReturn, Unpack

import numpy as np
from numpy.typing import NDArray

from duckemcc.errors import DuckEmccError, Fields, GraphError, InvalidEquation, NotSupported
from duckemcc.model.canonical import Table, check_table_size
from duckemcc.model.scm import Endogenous, Exogenous, Model
from duckemcc.model.states import show_names, show_value

Floats = NDArray[np.float64]

LONGEST_FILE = 20_000_000
"""Characters of a file at most."""
SUM_TOLERANCE = 1e-9
"""How far from 1 the sum of a PMF may lie."""
_WHOLE = re.compile(r"[0-9]{1,18}", re.ASCII)
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,4})?", re.ASCII)
_WORD = re.compile(r"\S+")
_LONGEST_NUMBER = 100
_SHORTEST_VARIABLE = 10
"""Characters at least that a file has for each variable: a cardinality, a family and a table of one entry."""


class Uai(NamedTuple):
    """What a file holds: the PSCM, and the PMF [u] of each exogenous variable."""

    model: Model
    chances: dict[str, Floats]


def read_uai(source: str | Path, *, normalise: bool = False) -> Uai:
    """The model and the chances of a file, given by its path or as its text (a string with a line break is text).

    normalise: divide a PMF that does not sum to 1 by its sum, which is an error otherwise.
    Raises `GraphError`, `InvalidEquation` and `TooLarge` with the line.
    """
    return _Reader(_read_text(source), normalise).read()


def write_uai(model: Model, chances: Mapping[str, Sequence[float] | Floats] | None = None) -> str:
    """The file of a model with these chances, by default uniform ones; all states are known.

    The names ``Vi`` and ``Ui`` keep their numbers if these are 0, 1, … in the model's order; otherwise the endogenous
    variables are numbered first, then the exogenous ones. A family lists exogenous parents first.
    """
    number = _number(model)
    order = sorted(number, key=number.__getitem__)
    families = {v: (*model.causes.get(v, ()), *model.parents.get(v, ())) for v in order}
    for v in model.variables:
        if not families[v]:
            raise NotSupported(
                f"{v} has no parents, by which a UAI file would call it exogenous",
                remedy="give it a parent",
                variable=v,
            )
    tables: dict[str, list[Any]] = {v: model.table(v).ravel().tolist() for v in model.variables}
    tables |= {u.name: _write_pmf(model, u.name, chances) for u in model.exogenous}
    lines = ["CAUSAL", str(len(order)), " ".join(str(model.card(v)) for v in order), str(len(order))]
    lines += [f"{len(families[v]) + 1}\t" + " ".join(str(number[p]) for p in (*families[v], v)) for v in order]
    lines.append("")
    lines += [f"{len(tables[v])}\t" + " ".join(map(repr, tables[v])) for v in order]
    return "\n".join(lines) + "\n"


def _write_pmf(model: Model, name: str, chances: Mapping[str, Sequence[float] | Floats] | None) -> list[float]:
    if chances is not None:
        return np.asarray(chances[name], np.float64).tolist()
    return [1 / (card := model.card(name))] * card  # after the tables, which refuse a card that is too large


def _number(model: Model) -> dict[str, int]:
    exogenous = [u.name for u in model.exogenous]
    found = [re.fullmatch(r"V(0|[1-9][0-9]{0,8})", v, re.ASCII) for v in model.variables]
    found += [re.fullmatch(r"U(0|[1-9][0-9]{0,8})", u, re.ASCII) for u in exogenous]
    given = [int(m[1]) if m else -1 for m in found]
    inner, outer = given[: len(model.variables)], given[len(model.variables) :]
    kept = sorted(given) == list(range(len(given))) and inner == sorted(inner) and outer == sorted(outer)
    return dict(zip([*model.variables, *exogenous], given if kept else range(len(given)), strict=True))


# -- reading ---------------------------------------------------------------------------------------


def _read_text(source: str | Path) -> str:
    if not isinstance(source, (str, Path)):
        raise GraphError(f"a UAI model is a path or the text itself; found {type(source).__name__}")
    is_text = isinstance(source, str) and ("\n" in source or source.split(maxsplit=1)[:1] == ["CAUSAL"])
    text = str(source) if is_text else _read_file(Path(source))
    if len(text) > LONGEST_FILE:
        raise GraphError(f"a UAI file has at most {LONGEST_FILE:,} characters; this one has more")
    return text


def _read_file(path: Path) -> str:
    shown = show_value(str(path))
    try:
        if path.exists() and not path.is_file():
            raise OSError("it is no regular file")
        with open(path, encoding="utf-8-sig") as file:
            return file.read(LONGEST_FILE + 1)
    except UnicodeDecodeError:
        raise GraphError(f"{shown} is no text", remedy="give the path of a UAI file, or its text") from None
    except (OSError, ValueError) as wrong:
        raise GraphError(f"{shown} cannot be read as a UAI file: {getattr(wrong, 'strerror', None) or wrong}") from None


class _Reader:
    """Reads item by item; `line` is that of the item read last."""

    def __init__(self, text: str, normalise: bool) -> None:
        self.normalise = normalise
        self.line = 1
        self.table = ""  # what is being read, for messages
        self.began = 0  # its line, while its entries are read
        self.size = len(text)
        self.items = self._split(text)

    def _split(self, text: str) -> Iterator[str]:
        """Item by item, as a single line may hold all of a long file."""
        for number, line in enumerate(text.split("\n"), 1):
            for word in _WORD.finditer(line):
                self.line = number
                yield word.group()

    def read(self) -> Uai:
        self._header()
        n = self._whole("the number of variables", 1)
        if n * _SHORTEST_VARIABLE > self.size:
            self._fail(f"{n:,} variables are announced, and the file ends long before; it has {self.size:,} characters")
        self.cards = [self._whole(f"the cardinality of variable {i}", 1) for i in range(n)]
        if (families := self._whole("the number of families", 0)) != n:
            self._fail(f"there are {families:,} families", remedy=f"it takes one for each of the {n:,} variables")
        self.families: list[tuple[int, ...]] = []
        self.lines: list[int] = []  # of the families
        for i in range(n):
            self.families.append(self._family(i))
            self.lines.append(self.line)
        self.names = [f"V{i}" if family else f"U{i}" for i, family in enumerate(self.families)]
        self._check_graph()
        chances, equations = {}, {}
        for i, name in enumerate(self.names):
            if self.families[i]:
                equations[name] = self._equation(i)
            else:
                chances[name] = self._pmf(i)
        if (extra := next(self.items, None)) is not None:
            self._fail(
                f"{show_value(extra)} comes after the last table",
                remedy="remove it, or correct the number of variables",
            )
        return Uai(self._model(equations), chances)

    # -- parts of the file -------------------------------------------------------------------------

    def _header(self) -> None:
        if (found := self._next("the header CAUSAL")) != "CAUSAL":
            also = " (which describes no structural causal model)" if found in ("BAYES", "MARKOV") else ""
            self._fail(f"a UAI file of a causal model begins with CAUSAL; found {show_value(found)}{also}")

    def _family(self, i: int) -> tuple[int, ...]:
        """The parents of variable i."""
        size = self._whole(f"the size of the family of variable {i}", 1)
        members = []
        for _ in range(size):
            members.append(self._whole(f"a member of the family of variable {i}", 0))
            if members[-1] >= len(self.cards):
                self._fail(f"the family of variable {i} names {members[-1]}; variables are 0 to {len(self.cards) - 1}")
        *parents, last = members
        if last != i:
            self._fail(f"the family of variable {i} ends with {last}; it lists the parents, then {i} itself")
        if len(set(members)) < size:
            twice, _ = Counter(members).most_common(1)[0]
            self._fail(f"the family of variable {i} names {twice} twice", remedy="name it once")
        return tuple(parents)

    def _check_graph(self) -> None:
        """Refuses cycles and childless causes here, where the line of a family is still known."""
        try:
            TopologicalSorter(dict(enumerate(self.families))).prepare()
        except CycleError as wrong:
            cycle = wrong.args[1]
            self.line = self.lines[cycle[0]]
            arcs = " -> ".join(self.names[v] for v in cycle[:12]) + (" …" if len(cycle) > 12 else "")
            self._fail(f"the graph has a cycle: {arcs}", remedy="remove one of its arcs")
        parents = {p for family in self.families for p in family}
        for i, family in enumerate(self.families):
            if not family and i not in parents:
                self.line = self.lines[i]
                self._fail(f"variable {i} is alone in its family and so exogenous, but no family names it as a parent")

    def _equation(self, i: int) -> Table:
        """f_V with axes exogenous parents by number, then endogenous parents as listed."""
        name, card, family = self.names[i], self.cards[i], self.families[i]
        shape = [self.cards[p] for p in family]
        try:
            check_table_size(name, [self.names[p] for p in family], shape)
        except DuckEmccError as wrong:
            raise wrong.placed(line=self.lines[i]) from None
        over = f"one for each joint state of {show_names([self.names[p] for p in family])}"
        entries: list[int] = []
        known = {str(state): state for state in range(min(card, 100))}
        for item in self._table(f"the table of {name}", prod(shape), over):
            state = known.get(item)
            entries.append(self._state(item, card) if state is None else state)
        if len(used := set(entries)) < card:
            missing = next(s for s in range(card) if s not in used)
            self._fail(
                f"the equation of {name} is not surjective: it never yields {missing}", InvalidEquation, variable=name
            )
        place = {p: axis for axis, p in enumerate(family)}
        outer = sorted(p for p in family if not self.families[p])
        inner = [p for p in family if self.families[p]]
        return np.array(entries, np.intp).reshape(shape).transpose([place[p] for p in (*outer, *inner)])

    def _state(self, item: str, card: int) -> int:
        if not _WHOLE.fullmatch(item):
            also = ""
            if _NUMBER.fullmatch(item):
                also = "; the variable has parents, so its table is an equation (one with a PMF is alone in its family)"
            self._fail(f"{self.table} holds states; found {show_value(item)}{also}", InvalidEquation)
        if (state := int(item)) >= card:
            self._fail(f"{self.table} has the entry {state}; states are 0 to {card - 1}", InvalidEquation)
        return state

    def _pmf(self, i: int) -> Floats:
        name, card = self.names[i], self.cards[i]
        items = self._table(f"the PMF of {name}", card, "one for each of its states")
        chances = [self._chance(item) for item in items]
        if (total := fsum(chances)) <= 0.0:
            self._fail(f"the PMF of {name} is zero throughout", InvalidEquation, variable=name)
        if abs(total - 1.0) <= SUM_TOLERANCE:
            return np.array(chances)
        if not self.normalise:
            remedy = "correct it, or read it with normalise=True, which divides it by its sum"
            self._fail(f"the PMF of {name} sums to {total:.12g}", InvalidEquation, remedy=remedy, variable=name)
        return np.array(chances) / total

    def _chance(self, item: str) -> float:
        if len(item) > _LONGEST_NUMBER or not _NUMBER.fullmatch(item):
            self._fail(f"{self.table} holds numbers; found {show_value(item)}", InvalidEquation)
        if not 0.0 <= (chance := float(item)) <= 1.0:
            self._fail(f"{self.table} has the entry {item}; probabilities are 0 to 1", InvalidEquation)
        return chance

    def _table(self, table: str, size: int, over: str) -> Iterator[str]:
        """The entries of a table, which have to be `size`."""
        before = self.line
        self.table, self.began = table, 0
        found = self._whole(f"the number of entries of {table}", 0)
        if found != size:
            also = "; or the table before it, which ends in this line, has too many" if self.line == before else ""
            self._fail(f"{table} has {found:,} entries", InvalidEquation, remedy=f"it takes {size:,}, {over}{also}")
        self.began = self.line
        yield from islice(self.items, size - 1)
        yield self._next(f"the last entry of {table}")
        self.began = 0

    def _model(self, equations: Mapping[str, Table]) -> Model:
        children: list[list[str]] = [[] for _ in self.cards]
        for i, family in enumerate(self.families):
            for parent in family:
                children[parent].append(self.names[i])
        endogenous = tuple(
            Endogenous(self.names[i], tuple(self.names[p] for p in f if self.families[p]), tuple(range(self.cards[i])))
            for i, f in enumerate(self.families)
            if f
        )
        exogenous = tuple(
            Exogenous(self.names[i], tuple(children[i]), self.cards[i]) for i, f in enumerate(self.families) if not f
        )
        return Model(endogenous, exogenous, equations)

    # -- items -------------------------------------------------------------------------------------

    def _next(self, wanted: str) -> str:
        if (item := next(self.items, None)) is None:
            self._fail(f"the file ends where {wanted} should stand")
        return item

    def _whole(self, wanted: str, least: int) -> int:
        item = self._next(wanted)
        if not _WHOLE.fullmatch(item) or int(item) < least:
            self._fail(f"{wanted} is a whole number of at least {least}; found {show_value(item)}")
        return int(item)

    def _fail(self, said: str, kind: type[DuckEmccError] = GraphError, **fields: Unpack[Fields]) -> NoReturn:
        also = (
            f" (the table begins in line {self.began}; it may have too few entries)"
            if 0 < self.began < self.line
            else ""
        )
        fields["line"] = self.line
        raise kind(f"{said}{also}", **fields)
