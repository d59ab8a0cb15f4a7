"""What is true or false: a condition, and each part of AND, OR and NOT, is to be a boolean in every engine.

DuckDB would take a number or a text for one, polars and Spark would not, so that none is taken.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from sqlglot import exp

_BOOLEAN = "boolean"
_TRUE_OR_FALSE = (exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.In, exp.Between, exp.Is, exp.Like, exp.ILike)
_LOGIC = (exp.And, exp.Or, exp.Not)
_TEXTS = ("varchar", "string", "char", "text", "enum", "categorical")


def wrong_truth(tree: exp.Expression, types: Mapping[str, str]) -> str | None:
    """What is wrong with a condition that is no boolean, or with its first part that is none; None if nothing is.

    types: of the columns, as their engine calls them; a column that has none here is not judged.
    """
    for part in _judged(tree):
        kind = _kind(part, {c: t.casefold() for c, t in types.items()})
        if kind not in (None, _BOOLEAN):
            where = "is no condition" if part is tree.unnest() else "has a part that is no condition"
            return f"{where}: {_said(part)} has the type {kind.upper()}, not BOOLEAN; write {_instead(part, kind)}"
    return None


def _judged(tree: exp.Expression) -> Iterator[exp.Expression]:
    """The parts that are to be true or false, without the parentheses around them; NULL beside AND and OR is unknown in
    every engine."""
    waiting = [tree]
    while waiting:
        part = waiting.pop().unnest()
        if isinstance(part, _LOGIC):
            sides = reversed([*part.iter_expressions()])
            waiting += (s for s in sides if isinstance(part, exp.Not) or not isinstance(s.unnest(), exp.Null))
        else:
            yield part


def _kind(node: exp.Expression, types: Mapping[str, str]) -> str | None:
    """The type of a value; None if it is not known."""
    node = node.unnest()
    if isinstance(node, (*_TRUE_OR_FALSE, *_LOGIC, exp.Boolean)):
        return _BOOLEAN
    if isinstance(node, exp.Column):
        return types.get(node.name)
    if isinstance(node, exp.Coalesce):
        kinds = [_kind(part, types) for part in (node.this, *node.expressions) if not isinstance(part, exp.Null)]
        return next((kind for kind in kinds if kind not in (None, _BOOLEAN)), kinds[0] if kinds else "null")
    if isinstance(node, exp.Literal):
        return "varchar" if node.is_string else "integer" if node.is_int else "double"
    if isinstance(node, exp.Cast):
        return str(node.to.this.value).casefold()
    if isinstance(node, exp.Lower):
        return "varchar"
    return "null" if isinstance(node, exp.Null) else "double"


def _said(part: exp.Expression) -> str:
    shown = part.sql(dialect="duckdb")
    return shown if len(shown) <= 60 else shown[:57] + "..."


def _instead(part: exp.Expression, kind: str) -> str:
    if kind == "null":
        return "a test such as X IS NULL"
    if part.find(exp.Column) is None:
        return "a comparison with a column, such as X = 1"
    if kind.startswith(_TEXTS):
        return f"a comparison such as {_said(part)} = 'a'"
    if kind.startswith(("date", "time")):
        return f"a comparison such as {_said(part)} >= DATE '2024-01-01'"
    return f"a comparison such as {_said(part)} = 1"
