"""The query language: a parser of its own, with positions in its errors.

    query = ["-"] term {("+"|"-") term}        term = [number ["*"]] prob | number
    prob  = "P(" event ["|" event] ")" | NAME "(" args ["|" event] ")"
    args  = arg {"," arg}                      arg  = name "=" value ["vs" value]
    event = atom {("," | "&" | "AND") atom}
    atom  = po ("=" | "!=" | "<>") value | po ["NOT"] "IN" "(" value {"," value} ")"
    po    = name ["[" [set {"," set}] "]"]     set = name "=" (value | name "[" [set {"," set}] "]")
    name  = bare | "…"                         value = bare | number | '…'

Nothing here knows a model: names are resolved, and the named queries expanded, in ``named.py``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import NamedTuple, NoReturn, TypeVar

from duckemcc.errors import QueryError, hint
from duckemcc.query.syntax import (
    KINDS,
    NO_NAMES,
    NO_VALUES,
    WORD,
    Atom,
    Contrast,
    Event,
    Named,
    PotentialOutcome,
    Probability,
    Query,
    Setting,
    Term,
    keyword,
    print_name,
    print_value,
    read_bare,
)

MAX_CHARACTERS = 100_000
MAX_DEPTH = 50  # brackets in brackets; the parser recurses, and hostile text must not exhaust the stack

_BARE = re.compile(r"""[^\s,()\[\]|&=!<>'"]+""")  # what a user may have meant as one name or value
_TOKEN = re.compile(
    r"""(?P<word>[^\W\d]\w*)
    | (?P<number>(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)
    | (?P<name>"[^"]*+(?:""[^"]*+)*+")
    | (?P<value>'[^']*+(?:''[^']*+)*+')
    | (?P<symbol>!=|<>|[-+*=(),&|\[\]])
    | (?P<other>\S)""",
    re.VERBOSE,
)
_Item = TypeVar("_Item")

# -- the parser ----------------------------------------------------------------------------------


def query(text: str | Query) -> Query:
    """The query that a text asks; ``str()`` of it prints it back. A Query is returned as it is."""
    return text if isinstance(text, Query) else parse(text)


def parse(text: str) -> Query:
    """Read a query, or raise a QueryError that says where it cannot be read and what was expected there."""
    if not isinstance(text, str):
        raise QueryError(f"a query is a text such as 'P(Y[X=x]=y)', found {type(text).__name__}")
    if len(text) > MAX_CHARACTERS:
        raise QueryError(f"a query has at most {MAX_CHARACTERS:,} characters, found {len(text):,}")
    parsed = _Parser(text).query()
    if (size := len(str(parsed))) > MAX_CHARACTERS:  # what is printed must be read again
        raise QueryError(f"a query has at most {MAX_CHARACTERS:,} characters; written out, this one has {size:,}")
    return parsed


def parse_event(text: str) -> Event:
    """Read the event of an assumption, such as ``Y[X=0]=1, Y[X=1]=0``; raises as `parse` does."""
    if len(text) > MAX_CHARACTERS:
        raise QueryError(f"an assumption has at most {MAX_CHARACTERS:,} characters, found {len(text):,}")
    parser = _Parser(text, "Assumption")
    event = parser.event()
    if parser.token.kind != "end":
        joint = " What never happens under a condition never happens together with it: P(A | B) = 0 is P(A, B) = 0"
        parser.fail("',', AND or the end", joint if parser.token.text == "|" else "")
    return event


class _Token(NamedTuple):
    kind: str  # a group of _TOKEN, or "end"
    text: str
    start: int


def _split(text: str) -> list[_Token]:
    tokens = [_Token(m.lastgroup or "other", m.group(), m.start()) for m in _TOKEN.finditer(text)]
    return [*tokens, _Token("end", "", len(text.rstrip()))]


class _Parser:
    """Recursive descent: a method for each rule of the grammar."""

    def __init__(self, text: str, what: str = "Query") -> None:
        self.text, self.tokens, self.next, self.what = text, _split(text), 0, what
        self.bare = (0, "")  # where the last unquoted value ended, and its text: for advice on `New York`

    @property
    def token(self) -> _Token:
        return self.tokens[self.next]

    def query(self) -> Query:
        terms = [self.term(-1.0 if self.accept("-") else 1.0)]
        while (plus := self.accept("+")) or self.accept("-"):
            terms.append(self.term(1.0 if plus else -1.0))
        if self.token.kind != "end":
            self.fail("'+', '-' or the end")
        if all(term.body is None for term in terms):
            self.next = 0
            self.fail("a probability such as P(Y=y)", " Numbers alone ask nothing")
        return Query(tuple(terms))

    def term(self, sign: float) -> Term:
        if self.token.kind != "number":
            return Term(sign, self.body())
        number = float(self.token.text)
        if not math.isfinite(number):
            self.fail("a finite number")
        self.next += 1
        has_body = self.accept("*") or self.token.kind == "word"
        return Term(sign * number, self.body() if has_body else None)

    def body(self) -> Probability | Named:
        kind = keyword(self.token.text)
        if kind not in ("P", *KINDS):
            advice = hint(kind, KINDS) if self.token.kind == "word" else ""
            self.fail("a probability such as P(Y=y), or one of " + ", ".join(KINDS), advice)
        self.next += 1
        self.expect("(")
        if kind == "P":
            event, given = self.event(), self.condition("',', AND, '|' or ')'")
            return Probability(event, given)
        contrasts = self.listed(self.contrast)
        return Named(kind, contrasts, self.condition("VS, ',', '|' or ')'"))

    def condition(self, expected: str) -> Event:
        given: Event = ()
        if self.accept("|"):
            given, expected = self.event(), "',', AND or ')'"
        self.expect(")", expected)
        return given

    def contrast(self) -> Contrast:
        name = self.name()
        self.expect("=")
        value = self.value()
        return Contrast(name, value, self.value() if self.accept("VS") else None)

    def event(self) -> Event:
        atoms = [self.atom()]
        while self.accept(",") or self.accept("&") or self.accept("AND"):
            atoms.append(self.atom())
        return tuple(atoms)

    def atom(self) -> Atom:
        outcome = self.outcome(1)
        if self.accept("="):
            return Atom(outcome, (self.value(),))
        if self.accept("!=") or self.accept("<>"):
            return Atom(outcome, (self.value(),), negated=True)
        negated = self.accept("NOT")
        self.expect("IN", "IN" if negated else "'=', '!=', IN or NOT IN")
        self.expect("(")
        values = self.listed(self.value)
        self.expect(")", "',' or ')'")
        return Atom(outcome, values, negated)

    def outcome(self, depth: int) -> PotentialOutcome:
        name = self.name()
        if self.token.text == "[" and depth > MAX_DEPTH:
            self.fail(f"at most {MAX_DEPTH} brackets in each other")
        if not self.accept("[") or self.accept("]"):
            return PotentialOutcome(name)
        settings = self.listed(lambda: self.setting(depth))
        self.expect("]", "',' or ']'")
        return PotentialOutcome(name, settings)

    def setting(self, depth: int) -> Setting:
        name = self.name()
        self.expect("=")
        nested = self.token.kind in ("word", "name") and self.tokens[self.next + 1].text == "["
        return Setting(name, self.outcome(depth + 1) if nested else self.value())

    def name(self) -> str:
        if self.token.kind == "name":
            return self.unquote()
        if self.token.kind == "value":
            self.fail("a name", " Names take double quotes, values single ones")
        text = self.bare_text("a name")
        if keyword(text) in NO_NAMES:
            advice = f" {text} is a word of the query language; as a name it takes double quotes: {print_name(text)}"
            self.fail("a name", advice)
        if not WORD.fullmatch(text):
            self.fail("a name", f" Such a name takes double quotes: {_show(print_name(text))}", found=text)
        self.next += 1
        return text

    def value(self) -> str:
        if self.token.kind == "value":
            return self.unquote()
        if self.token.kind == "name":
            self.fail("a value", " Values take single quotes, names double ones")
        text = self.bare_text("a value")
        if keyword(text) == "NULL":
            self.fail("a value", " NULL is no value: it is not a state. The text takes single quotes: 'NULL'")
        if (label := read_bare(text)) is None:
            self.fail("a value", f" Such a value takes single quotes: {_show(print_value(text))}", found=text)
        end = self.token.start + len(text)
        while self.token.kind != "end" and self.token.start < end:  # a negative number is two tokens
            self.next += 1
        self.bare = (self.next, text)
        return label

    def bare_text(self, expected: str) -> str:
        """All of `2nd` or `no-drug`, which are several tokens, so that the advice can quote the whole."""
        match = _BARE.match(self.text, self.token.start)
        if match is None:
            self.fail(expected)
        return match.group()

    def unquote(self) -> str:
        text = self.token.text
        self.next += 1
        return text[1:-1].replace(text[0] * 2, text[0])

    def listed(self, item: Callable[[], _Item]) -> tuple[_Item, ...]:
        items = [item()]
        while self.accept(","):
            items.append(item())
        return tuple(items)

    def accept(self, text: str) -> bool:
        found = self.token.kind in ("word", "symbol") and keyword(self.token.text) == text
        self.next += found
        return found

    def expect(self, text: str, expected: str = "") -> None:
        if not self.accept(text):
            self.fail(expected or f"'{text}'")

    def follows_bare_value(self) -> bool:
        is_word = self.token.kind in ("word", "number") and keyword(self.token.text) not in NO_VALUES
        return is_word and self.bare[0] == self.next

    def fail(self, expected: str, advice: str = "", found: str = "") -> NoReturn:
        token = self.token
        if token.kind == "other" and token.text in "'\"":
            advice = " This quote is never closed"
        elif not advice and self.follows_bare_value():
            spaced = print_value(f"{self.bare[1]} {token.text}")
            advice = f" A value with a space takes single quotes: {_show(spaced)}"
        found = _show(found or token.text)
        quoted = found if token.kind in ("name", "value") else f"'{found}'"
        where = f"{self.what}, position {token.start + 1}: expected {expected}, "
        what = f"found {'the end' if token.kind == 'end' else quoted}"
        place = token.start
        raise QueryError(where + what, remedy=advice, column=place + 1, picture=_point(self.text, place))


def _show(text: str, limit: int = 60) -> str:
    printable = "".join(c if c.isprintable() else " " for c in text[:limit])
    return printable + ("…" if len(text) > limit else "")


def _point(text: str, at: int) -> str:
    """The line around a position, and a caret under it."""
    left = max(text.rfind("\n", 0, at) + 1, at - 60)
    right = min(f"{text}\n".find("\n", at), at + 60)
    return f"\n  {_show(text[left:right], 120)}\n  {' ' * (at - left)}^"
