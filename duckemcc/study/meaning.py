"""A `where` with the types of its columns known, written so that every engine means the same by it, or refused.

Left to themselves, engines differ: DuckDB reads a text beside a DATE as a date, polars refuses it, and beside a DECIMAL
it finds it unequal to every number; a date less a date is days in one and microseconds in another. So a literal text
takes the type of what it is compared with, here, and what cannot be given one meaning is an error.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import date, datetime, time

from sqlglot import exp

_COMPARED = (exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.In, exp.Between, exp.Coalesce)
_ARITHMETIC = (exp.Add, exp.Sub, exp.Mul, exp.Div, exp.Mod, exp.Neg, exp.Abs)
_TEXTUAL = (exp.Lower, exp.Like, exp.ILike)
_TRUTHS = (*_COMPARED[:-1], exp.Like, exp.ILike, exp.Is, exp.And, exp.Or, exp.Not, exp.Boolean)

# A type, in small letters, as DuckDB, polars, Spark or Postgres calls it. Others are left to their engine:
# enumerations, and times with a zone, which a session's settings decide.
_FAMILIES = {
    "integer": r"u?(tiny|small|big|huge)?int(eger)?|u?int\d+",
    "decimal": r"(decimal|numeric)(\(.*\))?",
    "double": r"float(32|64)?|double( precision)?|real",
    "text": r"(varchar|string|char|text|utf8)([ (].*)?",
    "boolean": r"bool(ean)?",
    "date": r"date",
    "timestamp": r"timestamp(ntz|_ntz|_s|_ms|_ns| without time zone)?(\(\d\))?|datetime\(.*time_zone=none\)",
    "time": r"time(\(\d\))?",
    "time_ns": r"time_ns",  # of Arrow in DuckDB, which compares it with a text, and with no TIME
}
_NUMBERS = ("integer", "decimal", "double")
_DIGITS = 38
_SINGLE = ("float", "float32", "real")  # of 4 bytes
_SINGLE_RANGE = (1.2e-38, 3.4e38)
_TIMES = ("date", "timestamp")
_DAY = r"(\d{4})[-/](\d{1,2})[-/](\d{1,2})"
_CLOCK = r"(\d{1,2}):(\d{2})(?::(\d{2})(?:\.(\d{1,6}))?)?"
_FORMS = {
    "date": ("a date", "'2024-01-31'"),
    "timestamp": ("a time", "'2024-01-31 12:30:00'"),
    "time": ("a time of day", "'12:30:00'"),
    "integer": ("a whole number", "'5'"),
    "decimal": ("a number", "'2.5'"),
    "double": ("a number", "'2.5'"),
    "boolean": ("a boolean", "'true'"),
}


class Unfit(Exception):
    """What is wrong with a condition, for the one who knows whose it is."""


def fit(tree: exp.Expression, types: Mapping[str, str]) -> exp.Expression:
    """The condition with its literal texts as what they are compared with. types: as the engine calls them.

    Raises Unfit for a text that cannot be that, for arithmetic with what is no number, for lower and LIKE of what is no
    text, and for a comparison of two kinds of values, such as of a date and a number.
    """
    families = {name: _family(kind) for name, kind in types.items()}
    tree = tree.transform(_shortened)
    for node in reversed([*tree.walk()]):  # children first
        if isinstance(node, exp.Cast):
            _read_cast(node)
        elif isinstance(node, _COMPARED):
            _compare(node, families)
        elif isinstance(node, (*_ARITHMETIC, *_TEXTUAL)):
            _check_parts(node, families)
    _set_widths(tree, {name for name, kind in types.items() if kind.casefold() in _SINGLE})
    return _divided_in_doubles(tree, {name for name, family in families.items() if family == "decimal"})


def _shortened(node: exp.Expression) -> exp.Expression:
    """A number of more digits than a decimal holds, as the double that DuckDB reads; polars refuses it as it stands."""
    is_long = isinstance(node, exp.Literal) and not node.is_string and sum(c.isdigit() for c in node.name) > _DIGITS
    if not is_long:
        return node
    said = repr(float(node.name))
    return exp.Literal.number(said if "e" in said else f"{said}e0")


def _family(kind: str) -> str | None:
    return next((f for f, form in _FAMILIES.items() if re.fullmatch(form, kind.casefold())), None)


def _kind(node: exp.Expression, families: Mapping[str, str | None]) -> str | None:
    """None if it is not known, or NULL."""
    if isinstance(node, exp.Paren):
        return _kind(node.this, families)
    if isinstance(node, exp.Column):
        return families.get(node.name)
    if isinstance(node, exp.Cast):
        return _family(str(node.to.this.value))
    if isinstance(node, exp.Literal):
        return "text" if node.is_string else "integer" if node.is_int else "double"
    if isinstance(node, exp.Coalesce):
        kinds = [_kind(part, families) for part in _operands(node)]
        return next((kind for kind in kinds if kind is not None), None)
    if isinstance(node, exp.Neg) and isinstance(node.this, exp.Literal):
        return _kind(node.this, families)
    if isinstance(node, _ARITHMETIC):
        return "double"
    if isinstance(node, exp.Lower):
        return "text"
    return "boolean" if isinstance(node, _TRUTHS) else None


def _operands(node: exp.Expression) -> list[exp.Expression]:
    return [part for part in node.iter_expressions() if isinstance(part, exp.Expression)]


def _is_text(node: exp.Expression) -> bool:
    return isinstance(node, exp.Literal) and bool(node.is_string)


def _compare(node: exp.Expression, families: Mapping[str, str | None]) -> None:
    parts = _operands(node)
    bare = [part.unnest() for part in parts]
    known = [(part, kind) for part, kind in ((p, _kind(p, families)) for p in bare) if kind and not _is_text(part)]
    if not known:
        return
    first, kind = next((pair for pair in known if pair[1] == "time_ns"), known[0])
    for part, other in known:
        if _sort(other) == _sort(kind):
            continue
        if {other, kind} <= {"boolean", *_NUMBERS}:
            continue  # b = 1, told apart below
        one, two = (part, first) if other == "text" else (first, part)
        if "text" in (kind, other) and {kind, other} & {*_NUMBERS}:
            raise Unfit(
                f"has the text {_said(one)} beside the number {_said(two)}; say CAST({_said(one)} AS DOUBLE), or "
                f"'{_said(two)}'"
            )
        raise Unfit(f"compares {_said(first)} ({_called(kind)}) with {_said(part)} ({_called(other)})")
    truths = [k for _, k in known if k == "boolean"]
    for part in bare:
        if _is_text(part) and kind != "text":
            part.replace(_read(part, kind, first))
        elif kind == "time_ns" and isinstance(part, exp.Cast):
            part.replace(part.this)
        elif truths and isinstance(part, (exp.Literal, exp.Neg)) and not _is_text(part):
            if part.sql() not in ("0", "1"):
                raise Unfit(f"compares a BOOLEAN with {_said(part)}; it is TRUE or FALSE")
            part.replace(exp.Boolean(this=part.sql() == "1"))


def _called(kind: str) -> str:
    return kind.upper().removesuffix("_NS")


def _sort(kind: str) -> str:
    """What can be compared with each other."""
    return "number" if kind in _NUMBERS else "time" if kind == "time_ns" else "timestamp" if kind in _TIMES else kind


def _check_parts(node: exp.Expression, families: Mapping[str, str | None]) -> None:
    wanted = ("text",) if isinstance(node, _TEXTUAL) else _NUMBERS
    for part in _operands(node):
        if (kind := _kind(part, families)) is not None and kind not in wanted:
            name = "a text" if wanted == ("text",) else "a number"
            raise Unfit(f"holds {_said(node)}, where {_said(part)} is {kind.upper()} and not {name}")


def _read_cast(node: exp.Cast) -> None:
    """A literal date or time, in one form for all."""
    kind = _family(str(node.to.this.value))
    if _is_text(node.this) and kind in ("date", "timestamp", "time"):
        node.this.set("this", _moment(node.this.name, kind, cut=True) or _wrong(node.this, kind, None))


def _read(literal: exp.Expression, kind: str, beside: exp.Expression) -> exp.Expression:
    text = literal.name.strip()
    if kind == "time_ns":
        return exp.Literal.string(_moment(text, "time") or _wrong(literal, "time", beside))
    if kind in ("date", "timestamp", "time"):
        said = _moment(text, kind) or _wrong(literal, kind, beside)
        return exp.cast(exp.Literal.string(said), kind.upper())
    if kind == "boolean":
        if text.casefold() not in ("true", "false", "t", "f", "1", "0"):
            _wrong(literal, kind, beside)
        return exp.Boolean(this=text.casefold() in ("true", "t", "1"))
    if kind == "double" and re.fullmatch(r"nan|[+-]?inf(inity)?", text, re.IGNORECASE):
        return exp.cast(exp.Literal.string(text.lower().removeprefix("+")), "DOUBLE")
    if not re.fullmatch(r"[+-]?\d+" if kind == "integer" else r"[+-]?\d+(\.\d+)?([eE][+-]?\d+)?", text, re.ASCII):
        _wrong(literal, kind, beside)
    number = exp.Literal.number(text.lstrip("+-"))
    return exp.Neg(this=number) if text.startswith("-") else number


def _wrong(literal: exp.Expression, kind: str, beside: exp.Expression | None) -> str:
    what, example = _FORMS[kind]
    where = "" if beside is None else f" beside {_said(beside)} ({kind.upper()})"
    raise Unfit(f"has the text {_said(literal)}{where}, which is no {kind}; write {what} such as {example}")


def _moment(text: str, kind: str, cut: bool = False) -> str | None:
    """The date or time in ISO 8601 with a space; None if it is none. cut: whether a date may have a time of day."""
    form = {"time": _CLOCK, "date": rf"{_DAY}(?:[ T]{_CLOCK})?", "timestamp": rf"{_DAY}(?:[ T]{_CLOCK})?"}[kind]
    found = re.fullmatch(form, text.strip(), re.ASCII)
    if found is None:
        return None
    groups = [*found.groups()]
    fraction = int((groups.pop() or "0").ljust(6, "0"))
    make: Callable[..., date | time] = time if kind == "time" else datetime
    try:
        moment = make(*(int(part or 0) for part in groups), fraction)
    except ValueError:
        return None
    if isinstance(moment, datetime) and kind == "date":
        return moment.date().isoformat() if cut or moment.time() == time() else None
    return moment.isoformat(" ") if isinstance(moment, datetime) else moment.isoformat()


def _said(node: exp.Expression) -> str:
    shown = node.name if isinstance(node, exp.Column) else str(node.sql(dialect="duckdb"))
    return shown if len(shown) <= 60 else shown[:57] + "..."


def _set_widths(tree: exp.Expression, singles: set[str]) -> None:
    """Beside floats of 4 bytes a literal is one as well, so that ``g = 0.1`` finds what was stored as 0.1; beside any
    other value, and in arithmetic, they are doubles. Left to themselves, DuckDB reads 0.1 as one of 4 bytes and 1e-1 as
    a double, polars both as one of 4 bytes, and Spark both as doubles."""
    for node in reversed([*tree.find_all(*_COMPARED, *_ARITHMETIC)]):  # children first
        if not any(_is_single(part, singles) for part in _operands(node)):
            continue
        numbers = [part for part in _operands(node) if _is_literal_number(part)]
        others = [part for part in _operands(node) if not isinstance(part.unnest(), exp.Null) and part not in numbers]
        if isinstance(node, _COMPARED) and all(_is_single(p, singles) for p in others) and all(map(_fits, numbers)):
            for part in numbers:
                part.replace(exp.cast(part.copy(), "FLOAT"))
            continue
        for part in others:
            if _is_single(part, singles):
                part.replace(exp.cast(part.unnest().copy(), "DOUBLE"))


def _is_single(node: exp.Expression, singles: set[str]) -> bool:
    """A column of 4-byte floats, or coalesce of such columns and literals."""
    node = node.unnest()
    if isinstance(node, exp.Coalesce):
        return all(_is_single(p, singles) or _is_float(p) or isinstance(p.unnest(), exp.Null) for p in _operands(node))
    return isinstance(node, exp.Column) and node.name in singles


def _is_float(node: exp.Expression) -> bool:
    return isinstance(node, exp.Cast) and node.to.this == exp.DataType.Type.FLOAT


def _is_literal_number(node: exp.Expression) -> bool:
    node = node.unnest()
    node = node.this.unnest() if isinstance(node, exp.Neg) else node
    return isinstance(node, exp.Literal) and not node.is_string


def _fits(number: exp.Expression) -> bool:
    value = abs(float(next(number.find_all(exp.Literal)).name))
    return value == 0 or _SINGLE_RANGE[0] < value < _SINGLE_RANGE[1]


def _divided_in_doubles(tree: exp.Expression, decimals: set[str]) -> exp.Expression:
    """/ and % of decimals as of doubles, where a division by zero is infinite or NaN: so DuckDB divides them, while
    polars divides in decimals and refuses zero, and % of zero is an error in both."""
    for node in reversed([*tree.find_all(exp.Div, exp.Mod)]):  # children first
        has_column = node.find(exp.Column) is not None
        for part in (node.this, node.expression):
            if not has_column or any(column.name in decimals for column in part.find_all(exp.Column)):
                part.replace(exp.cast(part.copy(), "DOUBLE"))
    return tree


# -- what needs no types -----------------------------------------------------------------------


def without_nulls(tree: exp.Expression) -> exp.Expression:
    """The same, computed where NULL decides it: polars has no abs or lower of a NULL that has no type."""
    tree = tree.copy()
    for node in reversed([*tree.walk()]):  # children first
        if isinstance(node, exp.Coalesce):
            parts = [part for part in _operands(node) if not isinstance(part.unnest(), exp.Null)]
            if len(parts) > 1:
                node.set("this", parts[0])
                node.set("expressions", parts[1:])
                continue
            new = parts[0] if parts else exp.Null()
        elif isinstance(node, (*_ARITHMETIC, exp.Lower)) and any(
            isinstance(part.unnest(), exp.Null) for part in _operands(node)
        ):
            new = exp.Null()
        elif isinstance(node, (exp.Like, exp.ILike)) and isinstance(node.expression.unnest(), exp.Null):
            new = exp.EQ(this=exp.Null(), expression=exp.Null())  # unknown, as a boolean
        else:
            continue
        tree = replaced(tree, node, exp.Paren(this=new.copy()))
    return tree


def replaced(tree: exp.Expression, old: exp.Expression, new: exp.Expression) -> exp.Expression:
    """The tree with a new node in place of an old one, which may be the whole."""
    if old is tree:
        return new
    old.replace(new)
    return tree
