"""The graph text: a small language for causal graphs with unmeasured causes.

    model  = {[stmt] (NEWLINE | ";")}         stmt = chain | states | exo | assume | unmeasured        # comment
    chain  = name {("->" | "<->") name}+       states = name "{" value {"," value} "}"
    exo    = name ":" name {"," name}          unmeasured = "unmeasured" name {"," name}
    assume = "assume" "P(" event ")" "=" "0"

A name is a bare word or "…", a value a bare word, a whole number or '…'; a doubled quote stands for one. A list of
states may span lines. ``A <-> B`` is a shared exogenous variable ``U_A_B``; ``<->`` arcs that meet are merged into one
(which assumes least).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple, NoReturn, TypeVar

from duckemcc.errors import DuckEmccError, GraphError, NotSupported, RepeatedName
from duckemcc.model.scm import Endogenous, Exogenous, Model, tie
from duckemcc.model.states import State
from duckemcc.model.storage import add_private

LONGEST_TEXT = 1_000_000
_TOKEN = re.compile(
    r"""(?P<space>[^\S\n]+|\#[^\n]*)|(?P<end>[\n;])|(?P<sign><->|->|[{}:,()=\[\]|&!])
      |"(?P<quoted>(?:[^"\n]|"")*)"|'(?P<text>(?:[^'\n]|'')*)'
      |(?P<number>-?[0-9]+(?:\.0+)?(?![\w.]))|(?P<word>[^\W\d]\w*)""",
    re.VERBOSE,
)
_ODD = re.compile(r"[^\s,;:{}]+")  # what a user may have meant as one name or state
_ARROWS = ("->", "<->")
_RESERVED = ("assume", "unmeasured")
_Item = TypeVar("_Item")


class _Token(NamedTuple):
    kind: str  # end | sign | quoted | text | number | word; "stop" after the last
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
    """One method per production; `here` is the token to be read next."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = list(_split(text))
        self.next = 0
        self.written: dict[str, str] = {}  # names as first written, by their casefold
        self.parents: dict[str, dict[str, None]] = {}
        self.states: dict[str, tuple[State, ...]] = {}
        self.declared: dict[str, tuple[str, ...]] = {}
        self.shared: list[tuple[str, str]] = []

    # -- statements ----------------------------------------------------------------------------

    def read(self) -> Model:
        while self.here.kind != "stop":
            if not self._accept("end"):
                self._statement()
                if self.here.kind != "stop" and not self._accept("end"):
                    self._expected("the end of the line, or ';'")
        endogenous = tuple(Endogenous(v, tuple(parents), self.states.get(v)) for v, parents in self.parents.items())
        causes = [*(Exogenous(u, children) for u, children in self.declared.items()), *merge_shared(self.shared)]
        return Model(endogenous, add_private(endogenous, causes, {}), {})

    def _statement(self) -> None:
        start = self.here
        if start.kind == "word" and start.text.lower() in _RESERVED and not self._is_name():
            advice = f'leave the statement out (to name a variable so, quote it: "{start.text}")'
            self._fail(NotSupported, f"'{start.text.lower()}' is not yet supported; {advice}")
        name = self._name("a variable")
        if self._accept("sign", "{"):
            self._states(name, start)
        elif self._accept("sign", ":"):
            self._exogenous(name, start)
        elif self._is_arrow():
            self._chain(name, start)
        else:
            self._expected(f"'->', '<->', '{{' or ':' after {name}")

    def _chain(self, left: str, start: _Token) -> None:
        self._mention(left, start)
        while self._is_arrow():
            arrow = self._take().text
            at = self.here
            right = self._name(f"a variable after '{arrow}'")
            self._mention(right, at)
            if left == right:
                self._fail(GraphError, f"{left} {arrow} {right} is a cycle; an arc joins two variables", at)
            if arrow == "<->":
                self.shared.append((left, right))
            else:
                self.parents[right][left] = None
            left = right

    def _states(self, name: str, start: _Token) -> None:
        values = self._list(self._value)
        if not self._accept("sign", "}"):
            self._expected("',' or '}'")
        if name in self.states:
            self._fail(RepeatedName, f"the states of {name} are declared twice; declare them once", start)
        self._mention(name, start)
        self.states[name] = tuple(values)

    def _exogenous(self, name: str, start: _Token) -> None:
        if name in self.declared:
            advice = "name all its children in one statement"
            self._fail(RepeatedName, f"the exogenous variable {name} is declared twice; {advice}", start)
        if name in self.parents:
            self._refuse_exogenous(name, start)
        self.declared[name] = tuple(self._list(lambda: self._name("a child")))

    def _list(self, item: Callable[[], _Item]) -> list[_Item]:
        items = [item()]
        while self._accept("sign", ","):
            items.append(item())
        return items

    def _mention(self, name: str, at: _Token) -> None:
        known = self.written.setdefault(name.casefold(), name)
        if known != name:
            advice = "case does not count in names, so write them alike"
            self._fail(RepeatedName, f"the graph names {known} and {name}; {advice}", at)
        if name in self.declared:
            self._refuse_exogenous(name, at)
        self.parents.setdefault(name, {})

    def _refuse_exogenous(self, name: str, at: _Token) -> NoReturn:
        message = f"{name} stands before ':' and so is exogenous; it may not stand in an arc or declare states as well"
        self._fail(GraphError, message, at)

    # -- names and values ----------------------------------------------------------------------

    def _name(self, expected: str) -> str:
        if self.here.kind not in ("word", "quoted"):
            quoted = ' (names take double quotes: "…")' if self.here.kind == "text" else ""
            self._expected(expected + quoted)
        if not self.here.text:
            self._expected("a name between the quotes")
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
    def here(self) -> _Token:
        return self.tokens[self.next]

    def _take(self) -> _Token:
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
        found = named.get(self.here.kind) or repr(_cut(self.here.text))
        self._fail(GraphError, f"expected {expected}, found {found}")

    def _fail(self, kind: type[DuckEmccError], message: str, at: _Token | None = None) -> NoReturn:
        raise kind(f"{_place(self.text, (at or self.here).at)}: {message}")


def merge_shared(arcs: list[tuple[str, str]]) -> list[Exogenous]:
    """One exogenous variable for each set of ``<->`` arcs that meet, its children in the order of the arcs."""
    return [Exogenous("U_" + "_".join(children), children) for children in tie((v for arc in arcs for v in arc), arcs)]


def _split(text: str) -> Iterator[_Token]:
    at, braces = 0, 0
    while at < len(text):
        found = _TOKEN.match(text, at)
        if not found:
            raise GraphError(f"{_place(text, at)}: {_advise(text, at)}")
        kind = str(found.lastgroup)
        body = found[kind]
        if kind == "sign":
            braces += {"{": 1, "}": -1}.get(body, 0)
        if kind != "space" and not (body == "\n" and braces > 0):  # a list of states may span lines
            yield _Token(kind, body.replace('""', '"') if kind == "quoted" else body.replace("''", "'"), at)
        at = found.end()
    yield _Token("stop", "", len(text))


def _advise(text: str, at: int) -> str:
    """What to do about a text that is no token."""
    if text[at] in "\"'":
        return f"the quote {text[at]} is not closed on its line"
    if text.startswith("<-", at):
        return "'<-' is not understood; write the cause first, as in X -> Y"
    odd = _ODD.match(text, at)
    return f"{_cut(odd.group() if odd else text[at])!r} is not understood; quote odd names (\"…\") and states ('…')"


def _place(text: str, at: int) -> str:
    return f"line {text.count(chr(10), 0, at) + 1}, column {at - text.rfind(chr(10), 0, at)}"


def _cut(text: str, most: int = 40) -> str:
    return text if len(text) <= most else text[:most] + "…"


def _read_state(kind: str, text: str) -> State:
    whole = text.partition(".")[0]
    if kind == "number" and len(whole) <= 40 and str(int(whole)) == whole:
        return int(whole)
    if kind == "word" and text.lower() in ("true", "false"):
        return text.lower() == "true"
    return whole if kind == "number" else text  # 007 is not 7, and int() refuses very long numbers
