"""The graph text in tokens: words, signs, quoted names and values, and assumptions as a whole."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple, NoReturn, Unpack

from duckemcc.errors import DuckEmccError, Fields, GraphError, masked

_TOKEN = re.compile(
    r"""(?P<space>[^\S\n]+|\#[^\n]*)|(?P<end>[\n;])|(?P<sign><->|->|[{}:,()=\[\]|&!])
      |"(?P<quoted>(?:[^"\n]|"")*)"|'(?P<text>(?:[^'\n]|'')*)'
      |(?P<number>-?[0-9]+(?:\.0+)?(?![\w.]))|(?P<word>[^\W\d]\w*)""",
    re.VERBOSE,
)
_ASSUME = re.compile(r"assume[^\S\n]+P[^\S\n]*\(", re.IGNORECASE)
_EVENT = re.compile(r"""[^()\[\]"']+|"(?:[^"\n]|"")*"|'(?:[^'\n]|'')*'|.""")
_ZERO = re.compile(r"[^\S\n]*=[^\S\n]*0(?:\.0*)?[^\S\n]*(?=[\n;#]|\Z)")
_ODD = re.compile(r"[^\s,;:{}]+")  # what a user may have meant as one name or state


class Token(NamedTuple):
    """What the reader of a graph text sees at `at`; of an assumption, all of it, `text` being its event."""

    kind: str  # end | sign | quoted | text | number | word | assume; "stop" after the last
    text: str
    at: int


def split(text: str) -> Iterator[Token]:
    """The tokens of a graph text. Raises `GraphError` with line and column."""
    at, braces, opens = 0, 0, True
    while at < len(text):
        if opens and (found := _ASSUME.match(text, at)):
            event, end = _read_event(text, found.end())
            yield Token("assume", event, at)
            at, opens = end, False
            continue
        found = _TOKEN.match(text, at)
        if not found:
            fail(text, at, _advise(text, at))
        kind = str(found.lastgroup)
        body = found[kind]
        if kind == "sign":
            braces += {"{": 1, "}": -1}.get(body, 0)
        if kind != "space" and not (body == "\n" and braces > 0):  # a list of states may span lines
            opens = kind == "end"
            yield Token(kind, body.replace('""', '"') if kind == "quoted" else body.replace("''", "'"), at)
        at = found.end()
    yield Token("stop", "", len(text))


def _read_event(text: str, start: int) -> tuple[str, int]:
    """The event that an assumption's ``P(`` opens, verbatim, and where its ``) = 0`` ends."""
    open_at = [start - 1]
    for piece in _EVENT.finditer(text, start):
        at, sign = piece.start(), piece.group()
        if sign in ("(", "["):
            open_at.append(at)
        elif sign in ('"', "'"):
            fail(text, at, _advise(text, at))
        elif sign in (")", "]"):
            opened = open_at.pop()  # there is one: the last closes the event
            if text[opened] != "(["[")]".index(sign)]:
                fail(text, at, f"{sign!r} does not close the {text[opened]!r} of {place(text, opened)}")
            if not open_at:
                return _end_assumption(text, start, at)
    return fail(text, open_at[-1], f"the {text[open_at[-1]]!r} is never closed")


def _end_assumption(text: str, start: int, close: int) -> tuple[str, int]:
    event = text[start:close].strip()
    if not event:
        fail(text, close, "expected an event, as in assume P(Y[X=0]=1, Y[X=1]=0) = 0, found ')'")
    zero = _ZERO.match(text, close + 1)
    if not zero:
        rest = re.split(r"[\n;#]", text[close + 1 : close + 100], maxsplit=1)[0].strip()
        found = repr(cut(rest)) if rest else "the end of the line"
        fail(text, close + 1, f"expected '= 0' (an assumed event never happens), found {found}")
    return event, zero.end()


def _advise(text: str, at: int) -> str:
    """What to do about a text that is no token."""
    if text[at] in "\"'":
        return f"the quote {text[at]} is not closed on its line"
    if text.startswith("<-", at):
        return "'<-' is not understood; write the cause first, as in X -> Y"
    odd = _ODD.match(text, at)
    return f"{cut(odd.group() if odd else text[at])!r} is not understood; quote odd names (\"…\") and states ('…')"


def fail(text: str, at: int, said: str, kind: type[DuckEmccError] = GraphError, **fields: Unpack[Fields]) -> NoReturn:
    """Raise an error with its place."""
    fields["line"], fields["column"] = find_place(text, at)
    raise kind(said, **fields)


def place(text: str, at: int) -> str:
    """The place in words."""
    line, column = find_place(text, at)
    return f"line {line}, column {column}"


def find_place(text: str, at: int) -> tuple[int, int]:
    """The line and the column of a position, from 1."""
    return text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at)


def cut(text: str, most: int = 40) -> str:
    text = masked(text)  # a secret that is cut would not be found any more
    return text if len(text) <= most else text[:most] + "…"
