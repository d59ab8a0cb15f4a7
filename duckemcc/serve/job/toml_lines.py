"""On which line of a TOML text a key stands, which `tomllib` does not tell: found in one pass over the text.

`tomllib` says whether the text is TOML. Of a text that is, few signs matter: quotes, brackets, commas, equals signs and
the ends of lines.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from functools import lru_cache
from typing import TypeAlias

Path: TypeAlias = tuple[str | int, ...]
"""Keys and, within arrays, positions: ``("studies", 1, "weight")``."""

_SIGN = re.compile(
    r"""
    (?P<text> \"{3} (?:\\.|[^\\])*? \"{3,5} | '{3} .*? '{3,5} | "(?:\\.|[^"\\])*" | '[^']*' )
    | (?P<comment> \#[^\n]* )
    | (?P<mark> [\[\]{}=,\n] )
    | (?P<bare> [^\s\[\]{}=,\#"']+ )
    """,
    re.VERBOSE | re.DOTALL,
)


def find_line(text: str, path: Path) -> int:
    """The line, from 1, on which the value at `path` begins; of its nearest table or array where it is not there."""
    lines = _find_lines(text)
    while path and path not in lines:
        path = path[:-1]
    return lines.get(path, 1)


@lru_cache(maxsize=4)
def _find_lines(text: str) -> Mapping[Path, int]:
    """The line of every table, array and value; none of what is no TOML."""
    try:
        tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError, ValueError):
        return {}
    scan = _Scan()
    for sign in _SIGN.finditer(text):
        scan.read(sign.lastgroup or "", sign[0])
    return scan.lines


_DEEPEST = 50
_MOST_DIGITS = 1_000


def find_excess(text: str) -> tuple[int, str] | None:
    """The line of what no job needs and no parser takes, and what it is: deep nesting, long keys and long numbers. It
    is looked for before the text is parsed, where depth costs stack."""
    line, depth, parts = 1, 0, 0
    for sign in _SIGN.finditer(text):
        kind, found = sign.lastgroup, sign[0]
        if kind == "mark":
            depth += (found in "[{") - (found in "]}")
            parts = 0
        elif kind != "comment":
            parts += found.count(".") + 1 if kind == "bare" else 1
        if kind == "bare" and sum(c.isdigit() for c in found) > _MOST_DIGITS and re.match(r"[+-]?\d", found):
            return line, f"a number has more than {_MOST_DIGITS:,} digits"
        if depth > _DEEPEST:
            return line, f"arrays or tables are nested more than {_DEEPEST} deep"
        if parts > _DEEPEST:
            return line, f"a key has more than {_DEEPEST} parts"
        line += found.count("\n")
    return None


class _Scan:
    """What is known in the middle of a text.

    section: the path of the table that keys belong to. open: the arrays and inline tables that are not closed yet, each
    with the position of its last value, None in a table. key: the parts of a key that were read so far. wanted: the
    path of the value that comes next, if one does.
    """

    def __init__(self) -> None:
        self.lines: dict[Path, int] = {}
        self.line = 1
        self.section: Path = ()
        self.open: list[tuple[Path, int | None]] = []
        self.key: list[str] = []
        self.wanted: Path | None = None
        self.header = 0  # brackets of a section's header that are open
        self.sizes: dict[Path, int] = {}  # of the arrays of tables

    def read(self, kind: str, sign: str) -> None:
        if kind == "comment":
            return
        if self.wanted is not None:
            self._read_value(sign)
        elif self.open:
            self._read_inside(kind, sign)
        elif self.header:
            self._read_header(kind, sign)
        elif sign == "[" and not self.key:
            self.header = 1
        else:
            self._read_key(kind, sign, self.section)
        self.line += sign.count("\n")

    def _read_value(self, sign: str) -> None:
        assert self.wanted is not None
        if sign == "\n":  # within an array
            return
        path, self.wanted = self.wanted, None
        if sign == "]":  # after the last value
            self.open.pop()
            return
        self.lines.setdefault(path, self.line)
        if sign == "[":
            self.open.append((path, 0))
            self.wanted = (*path, 0)
        elif sign == "{":
            self.open.append((path, None))

    def _read_inside(self, kind: str, sign: str) -> None:
        path, place = self.open[-1]
        if sign == ("}" if place is None else "]"):
            self.open.pop()
            self.key = []
        elif place is None:
            self._read_key(kind, sign, path)
        elif sign == ",":
            self.open[-1] = path, place + 1
            self.wanted = (*path, place + 1)

    def _read_key(self, kind: str, sign: str, table: Path) -> None:
        if kind == "mark":
            if sign == "=":
                for end in range(1, len(self.key)):
                    self.lines.setdefault((*table, *self.key[:end]), self.line)
                self.wanted = (*table, *self.key)
            self.key = []  # also of what is the second half of a date and a time, and no key
        else:
            self.key += _parts(kind, sign)

    def _read_header(self, kind: str, sign: str) -> None:
        if sign == "[":
            self.header = 2
        elif sign == "]":
            if self.key:
                self._begin_section()
            self.header -= 1
        else:
            self.key += _parts(kind, sign)

    def _begin_section(self) -> None:
        path: Path = ()
        for k, part in enumerate(self.key, 1):
            path = (*path, part)
            self.lines.setdefault(path, self.line)
            if k == len(self.key) and self.header == 2:
                self.sizes[path] = self.sizes.get(path, 0) + 1
            if path in self.sizes:
                path = (*path, self.sizes[path] - 1)
                self.lines.setdefault(path, self.line)
        self.section, self.key = path, []


def _parts(kind: str, sign: str) -> list[str]:
    """Of a key."""
    if kind == "bare":
        return [part for part in sign.split(".") if part]
    return [str(tomllib.loads(f"key = {sign}")["key"])]
