"""The graph text: a small language for causal graphs with unmeasured causes.

    model  = {[stmt] (NEWLINE | ";")}         stmt = chain | states | exo | assume | unmeasured        # comment
    chain  = name {("->" | "<->") name}+       states = name "{" value {"," value} "}"
    exo    = name ":" name {"," name}          unmeasured = "unmeasured" name {"," name}
    assume = "assume" "P(" event ")" "=" "0"

``A <-> B`` is a shared exogenous variable ``U_A_B``; ``<->`` arcs that meet are merged into one (which assumes least).
"""

from __future__ import annotations

import re
from typing import NamedTuple, NoReturn

from duckemcc.errors import GraphError, NotSupported, RepeatedName
from duckemcc.model.scm import Endogenous, Exogenous, Model
from duckemcc.model.states import State
from duckemcc.model.storage import add_private

LONGEST_TEXT = 1_000_000
_TOKEN = re.compile(
    r"""(?P<space>[ \t\r\f]+|\#[^\n]*)|(?P<end>[\n;])|(?P<sign><->|->|[{}:,()=\[\]|&!])
      |"(?P<quoted>(?:[^"\n]|"")*)"|'(?P<text>(?:[^'\n]|'')*)'|(?P<number>-?\d+(?![\w.]))|(?P<word>[^\W\d]\w*)""",
    re.VERBOSE,
)
_RESERVED = ("assume", "unmeasured")


class _Token(NamedTuple):
    kind: str  # end | sign | quoted | text | number | word
    text: str
    at: int


def parse(text: str) -> Model:
    """The model that a graph text describes. Raises `GraphError` with line and column, and as `Model` does."""
    if not isinstance(text, str):
        raise GraphError(f"a graph is text such as 'X -> Y; X <-> Y'; found {type(text).__name__}")
    if len(text) > LONGEST_TEXT:
        raise GraphError(f"the graph text has {len(text):,} characters; at most {LONGEST_TEXT:,} are read")
    return _Reader(text).read()


class _Reader:
    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = _split(text)
        self.next = 0
        self.parents: dict[str, list[str]] = {}
        self.states: dict[str, tuple[State, ...]] = {}
        self.declared: dict[str, tuple[str, ...]] = {}
        self.shared: list[tuple[str, str]] = []

    # -- statements ----------------------------------------------------------------------------

    def read(self) -> Model:
        while self.next < len(self.tokens):
            if not self._accept("end"):
                self._statement()
                if self.next < len(self.tokens) and not self._accept("end"):
                    self._fail("the end of the line, or ';'")
        endogenous = tuple(Endogenous(name, tuple(parents), self.states.get(name)) for name, parents in self.parents.items())
        for name in self.declared:
            if name in self.parents:
                raise GraphError(f"{name} stands before ':' and so is exogenous; it may not stand in an arc or declare states as well")
        causes = [*(Exogenous(n, c) for n, c in self.declared.items()), *merge_shared(self.shared)]
        return Model(endogenous, add_private(endogenous, causes, {}), {})

    def _statement(self) -> None:
        if self._peek("word") and self._word() in _RESERVED and self._follows() not in ("->", "<->", "{", ":"):
            raise NotSupported(
                f"{self._where(self.tokens[self.next].at)}: '{self._word()}' is not yet supported; "
                f"leave the statement out (to name a variable so, quote it: \"{self._word()}\")"
            )
        name = self._name("a variable")
        if self._accept("sign", "{"):
            self._states(name)
        elif self._accept("sign", ":"):
            self._exogenous(name)
        elif self._peek("sign", "->") or self._peek("sign", "<->"):
            self._chain(name)
        else:
            self._fail(f"'->', '<->', '{{' or ':' after {name}")

    def _chain(self, left: str) -> None:
        self._mention(left)
        while self._peek("sign", "->") or self._peek("sign", "<->"):
            sign = self.tokens[self.next].text
            self.next += 1
            at = self.next
            right = self._name(f"a variable after '{sign}'")
            self._mention(right)
            if left == right:
                self.next = at
                raise GraphError(f"{self._where(self.tokens[at].at)}: {left} {sign} {right} is a cycle; an arc joins two variables")
            if sign == "<->":
                self.shared.append((left, right))
            elif left not in self.parents[right]:
                self.parents[right].append(left)
            left = right

    def _states(self, name: str) -> None:
        values = self._list(self._value)
        if not self._accept("sign", "}"):
            self._fail("',' or '}'")
        if name in self.states:
            raise RepeatedName(f"the states of {name} are declared twice; declare them once")
        self._mention(name)
        self.states[name] = tuple(values)

    def _exogenous(self, name: str) -> None:
        if name in self.declared:
            raise RepeatedName(f"the exogenous variable {name} is declared twice; name all its children in one statement")
        self.declared[name] = tuple(self._list(lambda: self._name("a child")))

    def _list(self, item):  # type: ignore[no-untyped-def]
        items = [item()]
        while self._accept("sign", ","):
            items.append(item())
        return items

    def _mention(self, name: str) -> None:
        for known in self.parents:
            if known != name and known.casefold() == name.casefold():
                raise RepeatedName(f"the graph names {known} and {name}; case does not count in names, so write them alike")
        self.parents.setdefault(name, [])

    # -- tokens --------------------------------------------------------------------------------

    def _peek(self, kind: str, text: str | None = None) -> bool:
        here = self.tokens[self.next] if self.next < len(self.tokens) else None
        return here is not None and here.kind == kind and text in (None, here.text)

    def _accept(self, kind: str, text: str | None = None) -> bool:
        found = self._peek(kind, text)
        self.next += found
        return found

    def _word(self) -> str:
        return self.tokens[self.next].text.lower()

    def _follows(self) -> str:
        return self.tokens[self.next + 1].text if self.next + 1 < len(self.tokens) else ""

    def _name(self, expected: str) -> str:
        for kind in ("word", "quoted"):
            if self._accept(kind):
                name = self.tokens[self.next - 1].text
                return name if name else self._fail("a name between the quotes", back=1)
        return self._fail(expected)

    def _value(self) -> State:
        for kind in ("text", "number", "word"):
            if self._accept(kind):
                return _read_state(kind, self.tokens[self.next - 1].text)
        return self._fail("a state (a bare word, a number or quoted text)")

    def _where(self, at: int) -> str:
        return f"line {self.text.count(chr(10), 0, at) + 1}, column {at - self.text.rfind(chr(10), 0, at)}"

    def _fail(self, expected: str, back: int = 0) -> NoReturn:
        self.next -= back
        if self.next < len(self.tokens):
            here = self.tokens[self.next]
            found = "the end of the line" if here.text == "\n" else repr(here.text)
            raise GraphError(f"{self._where(here.at)}: expected {expected}, found {found}")
        raise GraphError(f"{self._where(len(self.text))}: expected {expected}, found the end of the text")


def merge_shared(arcs: list[tuple[str, str]]) -> list[Exogenous]:
    """One exogenous variable for each set of ``<->`` arcs that meet, its children in the order in which the arcs name them."""
    first = list(dict.fromkeys(name for arc in arcs for name in arc))
    group = {name: {name} for name in first}
    for left, right in arcs:
        merged = group[left] | group[right]
        group.update(dict.fromkeys(merged, merged))
    roots = [name for name in first if name == min(group[name], key=first.index)]
    members = [tuple(name for name in first if name in group[root]) for root in roots]
    return [Exogenous("U_" + "_".join(children), children) for children in members]


def _split(text: str) -> list[_Token]:
    tokens, at, braces = [], 0, 0
    while at < len(text):
        found = _TOKEN.match(text, at)
        if not found:
            line = text.count("\n", 0, at) + 1
            raise GraphError(f"line {line}, column {at - text.rfind(chr(10), 0, at)}: {text[at : at + 12].split(chr(10))[0]!r} is not understood; quote odd names (\"…\") and states ('…')")
        kind = str(found.lastgroup)
        body = found[kind].replace('""', '"') if kind == "quoted" else found[kind].replace("''", "'") if kind == "text" else found[kind]
        braces += {"{": 1, "}": -1}.get(body, 0) if kind == "sign" else 0
        if kind != "space" and not (kind == "end" and body == "\n" and braces > 0):  # a list of states may span lines
            tokens.append(_Token(kind, body, at))
        at = found.end()
    return tokens


def _read_state(kind: str, text: str) -> State:
    if kind == "number" and str(int(text)) == text:
        return int(text)
    if kind == "word" and text.lower() in ("true", "false"):
        return text.lower() == "true"
    return text
