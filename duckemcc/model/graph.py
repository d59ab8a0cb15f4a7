"""The graph text: a small language for causal graphs with unmeasured causes.

    model  = {[stmt] (NEWLINE | ";")}         stmt = chain | states | exo | assume | unmeasured        # comment
    chain  = name {("->" | "<->") name}+       states = name "{" value {"," value} "}"
    exo    = name ":" name {"," name}          unmeasured = "unmeasured" name {"," name}
    assume = "assume" "P(" event ")" "=" "0"

A name is a bare word or "…", a value a bare word, a whole number or '…'; a doubled quote stands for one. A list of
states and an event may span lines. An event is in the query language; here only its brackets and quotes count, and
`duckemcc.query.assume` reads it once all states are known. ``A <-> B`` is a shared exogenous variable ``U_A_B``;
``<->`` arcs that meet are merged into one (which assumes least).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn, TypeVar, Unpack

from duckemcc.errors import DuckEmccError, Fields, GraphError, RepeatedName
from duckemcc.model.check import LONGEST_NAME
from duckemcc.model.scm import Endogenous, Exogenous, Model
from duckemcc.model.states import State
from duckemcc.model.storage import add_private
from duckemcc.model.structure import tie
from duckemcc.model.tokens import Token, cut, fail, split

LONGEST_TEXT = 1_000_000
_ARROWS = ("->", "<->")
_RESERVED = ("assume", "unmeasured")
_Item = TypeVar("_Item")


def parse(text: str) -> Model:
    """The model that a graph text describes. Raises `GraphError` with line and column, and as `Model` does."""
    if not isinstance(text, str):
        raise GraphError(f"a graph is text such as 'X -> Y; X <-> Y'; found {type(text).__name__}", option="graph")
    if len(text) > LONGEST_TEXT:
        raise GraphError(f"the graph text has {len(text):,} characters; at most {LONGEST_TEXT:,} are read")
    return _Reader(text).read()


class _Reader:
    """One method per production; `here` is the token to be read next."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = list(split(text))
        self.next = 0
        self.written: dict[str, str] = {}  # names as first written, by their casefold
        self.parents: dict[str, dict[str, None]] = {}
        self.states: dict[str, tuple[State, ...]] = {}
        self.declared: dict[str, tuple[str, ...]] = {}
        self.shared: list[tuple[str, str]] = []
        self.assumptions: list[str] = []
        self.unmeasured: dict[str, None] = {}

    # -- statements ----------------------------------------------------------------------------

    def read(self) -> Model:
        while self.here.kind != "stop":
            if not self._accept("end"):
                self._statement()
                if self.here.kind != "stop" and not self._accept("end"):
                    self._expected("the end of the line, or ';'")
        endogenous = tuple(Endogenous(v, tuple(parents), self.states.get(v)) for v, parents in self.parents.items())
        causes = [*(Exogenous(u, children) for u, children in self.declared.items()), *merge_shared(self.shared)]
        exogenous = add_private(endogenous, causes, {})
        return Model(endogenous, exogenous, {}, tuple(self.assumptions), tuple(self.unmeasured))

    def _statement(self) -> None:
        start = self.here
        if start.kind == "assume":
            self.assumptions.append(self._take().text)
            return
        if start.kind == "word" and start.text.lower() in _RESERVED and not self._is_name():
            self._take()
            if start.text.lower() == "assume":
                self._expected("P(event) = 0 after 'assume', as in assume P(Y[X=0]=1, Y[X=1]=0) = 0")
            self.unmeasured |= dict.fromkeys(self._list(self._latent))
            return
        name = self._name("a variable")
        if self._accept("sign", "{"):
            self._states(name, start)
        elif self._accept("sign", ":"):
            self._exogenous(name, start)
        elif self._is_arrow():
            self._chain(name, start)
        else:
            self._expected(f"'->', '<->', '{{' or ':' after {name}")

    def _chain(self, left: str, start: Token) -> None:
        self._mention(left, start)
        while self._is_arrow():
            arrow = self._take().text
            at = self.here
            right = self._name(f"a variable after '{arrow}'")
            self._mention(right, at)
            if left == right:
                self._fail(
                    GraphError,
                    f"{left} {arrow} {right} is a cycle",
                    at,
                    remedy="an arc joins two variables",
                    variable=left,
                )
            if arrow == "<->":
                self.shared.append((left, right))
            else:
                self.parents[right][left] = None
            left = right

    def _states(self, name: str, start: Token) -> None:
        values = self._list(self._value)
        if not self._accept("sign", "}"):
            self._expected("',' or '}'")
        if name in self.states:
            self._fail(
                RepeatedName,
                f"the states of {name} are declared twice",
                start,
                remedy="declare them once",
                variable=name,
            )
        self._mention(name, start)
        self.states[name] = tuple(values)

    def _exogenous(self, name: str, start: Token) -> None:
        if name in self.declared:
            advice = "name all its children in one statement"
            self._fail(
                RepeatedName, f"the exogenous variable {name} is declared twice", start, remedy=advice, variable=name
            )
        if name in self.parents:
            self._refuse_exogenous(name, start)
        self.declared[name] = tuple(self._list(lambda: self._name("a child")))

    def _latent(self) -> str:
        at = self.here
        name = self._name("a variable after 'unmeasured'")
        if name in self.unmeasured:
            self._fail(RepeatedName, f"{name} is called unmeasured twice", at, remedy="name it once", variable=name)
        return name

    def _list(self, item: Callable[[], _Item]) -> list[_Item]:
        items = [item()]
        while self._accept("sign", ","):
            items.append(item())
        return items

    def _mention(self, name: str, at: Token) -> None:
        known = self.written.setdefault(name.casefold(), name)
        if known != name:
            advice = "case does not count in names, so write them alike"
            self._fail(RepeatedName, f"the graph names {known} and {name}", at, remedy=advice, variable=name)
        if name in self.declared:
            self._refuse_exogenous(name, at)
        self.parents.setdefault(name, {})

    def _refuse_exogenous(self, name: str, at: Token) -> NoReturn:
        message = f"{name} stands before ':' and so is exogenous"
        remedy = "it may not stand in an arc or declare states as well"
        self._fail(GraphError, message, at, remedy=remedy, variable=name)

    # -- names and values ----------------------------------------------------------------------

    def _name(self, expected: str) -> str:
        if self.here.kind not in ("word", "quoted"):
            quoted = ' (names take double quotes: "…")' if self.here.kind == "text" else ""
            self._expected(expected + quoted)
        if not self.here.text:
            self._expected("a name between the quotes")
        if len(self.here.text) > LONGEST_NAME:  # messages repeat names
            found = f"{cut(self.here.text)!r}, {len(self.here.text):,} characters"
            self._fail(GraphError, f"a name has 1 to {LONGEST_NAME:,} characters; found {found}")
        return self._take().text

    def _value(self) -> State:
        kind, text, _ = self.here
        if kind not in ("word", "number", "text"):
            quoted = " (states take single quotes: '…')" if kind == "quoted" else ""
            self._expected(f"a state (a bare word, a whole number or quoted text){quoted}")
        if kind == "word" and text.lower() == "null":
            self._expected("a state (NULL is none; the text takes quotes: 'NULL')")
        self._take()
        return _read_state(kind, text)

    # -- tokens --------------------------------------------------------------------------------

    @property
    def here(self) -> Token:
        return self.tokens[self.next]

    def _take(self) -> Token:
        self.next += 1
        return self.tokens[self.next - 1]

    def _accept(self, kind: str, text: str | None = None) -> bool:
        found = self.here.kind == kind and text in (None, self.here.text)
        self.next += found
        return found

    def _is_arrow(self) -> bool:
        return self.here.kind == "sign" and self.here.text in _ARROWS

    def _is_name(self) -> bool:
        """Whether a reserved word opens a statement as a variable does."""
        after = self.tokens[self.next + 1]
        return after.kind == "sign" and after.text in (*_ARROWS, "{", ":")

    def _expected(self, expected: str) -> NoReturn:
        named = {"stop": "the end of the text", "end": "the end of the line" if self.here.text == "\n" else "';'"}
        found = named.get(self.here.kind) or repr(cut(self.here.text))
        self._fail(GraphError, f"expected {expected}, found {found}")

    def _fail(
        self, kind: type[DuckEmccError], message: str, at: Token | None = None, **fields: Unpack[Fields]
    ) -> NoReturn:
        fail(self.text, (at or self.here).at, message, kind, **fields)


def merge_shared(arcs: list[tuple[str, str]]) -> list[Exogenous]:
    """One exogenous variable for each set of ``<->`` arcs that meet, its children in the order of the arcs."""
    drawn = list({frozenset(arc): arc for arc in reversed(arcs)}.values())[::-1]  # each once, as it was drawn first
    sets = tie((v for arc in arcs for v in arc), arcs)
    place = {v: i for i, children in enumerate(sets) for v in children}
    own: list[list[tuple[str, str]]] = [[] for _ in sets]
    for arc in drawn:
        own[place[arc[0]]].append(arc)
    return [
        Exogenous("U_" + "_".join(children), children, arcs=tuple(met) if len(met) > 1 else ())
        for children, met in zip(sets, own, strict=True)
    ]


def _read_state(kind: str, text: str) -> State:
    whole = text.partition(".")[0]
    if kind == "number" and len(whole) <= 40 and str(int(whole)) == whole:
        return int(whole)
    if kind == "word" and text.lower() in ("true", "false"):
        return text.lower() == "true"
    return whole if kind == "number" else text  # 007 is not 7, and int() refuses very long numbers
