"""A user's condition (`where`, checked by `dialect` and written out by `meaning`) as a Spark column.

What Spark does by the session (ANSI or not) is written so that it does not depend on it, and means what DuckDB means by
it: text is no number, a cast that cannot be done is an error, x / 0 is infinite, LIKE has no escapes.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from sqlglot import exp

from duckemcc.errors import OptionError
from duckemcc.study.count.types import SPARK_INTEGERS
from duckemcc.study.dialect import widen

_OPERATORS: dict[type, Callable[..., Any]] = {
    exp.EQ: operator.eq,
    exp.NEQ: operator.ne,
    exp.GT: operator.gt,
    exp.GTE: operator.ge,
    exp.LT: operator.lt,
    exp.LTE: operator.le,
    exp.And: operator.and_,
    exp.Or: operator.or_,
    exp.Not: operator.invert,
    exp.Add: operator.add,
    exp.Sub: operator.sub,
    exp.Mul: operator.mul,
    exp.Neg: operator.neg,
    exp.Paren: lambda a: a,
}
_CAST_TO = {
    "TEXT": "string",
    "VARCHAR": "string",
    "DOUBLE": "double",
    "FLOAT": "float",
    "DATE": "date",
    "TIMESTAMP": "timestamp_ntz",
    "TIME": "time(6)",
    "TIMESTAMPNTZ": "timestamp_ntz",
}
_PARTS = {"this", "expression", "expressions", "low", "high", "to", "is_string", "negate", "typed", "safe"}
_NO_ESCAPE = "\x01"  # no pattern holds it
_TEXT = ("string", "char", "varchar")


def filter_column(tree: exp.Expression, columns: Mapping[str, Any], types: Mapping[str, str]) -> Any:
    """columns: the source's, by name. types: as Spark calls them."""
    from pyspark.sql import functions

    return _Writer(functions, columns, types).write(widen(tree, {c for c, t in types.items() if t in SPARK_INTEGERS}))


@dataclass(frozen=True)
class _Writer:
    functions: Any
    columns: Mapping[str, Any]
    types: Mapping[str, str]

    def write(self, node: exp.Expression) -> Any:
        if unknown := {key for key, value in node.args.items() if value} - _PARTS:
            raise OptionError(
                f"where= holds {node.sql()}, which cannot be said in Spark ({', '.join(unknown)})", option="where"
            )
        special: dict[type, Callable[[Any], Any]] = {
            exp.Column: self._column,
            exp.In: self._one_of,
            exp.Between: self._between,
            exp.Is: lambda n: self.write(n.this).isNull(),
            exp.Like: lambda n: self._like(self.functions.like, n),
            exp.ILike: lambda n: self._like(self.functions.ilike, n),
            exp.Div: lambda n: self._divided(operator.truediv, n),
            exp.Mod: lambda n: self._divided(operator.mod, n),
            exp.Abs: lambda n: self.functions.abs(self.write(n.this)),
            exp.Lower: lambda n: self.functions.lower(self.write(n.this)),
            exp.Coalesce: lambda n: self.functions.coalesce(*map(self.write, (n.this, *n.expressions))),
            exp.Cast: lambda n: self._cast(self.write(n.this), _CAST_TO[n.to.this.value]),
        }
        if type(node) in special:
            found = special[type(node)](node)
            return ~found if node.args.get("negate") else found
        if type(node) not in _OPERATORS:
            return self.functions.lit(_value(node))
        if node.expression is None or isinstance(node, (exp.Not, exp.Neg, exp.Paren)):
            return _OPERATORS[type(node)](self.write(node.this))
        return _OPERATORS[type(node)](*self._alike(node.this, node.expression))

    def _column(self, node: exp.Expression) -> Any:
        return self.columns[node.name]

    def _one_of(self, node: exp.Expression) -> Any:
        pairs = [self._alike(node.this, value) for value in node.expressions]
        return pairs[0][0].isin(*(value for _, value in pairs))

    def _between(self, node: exp.Expression) -> Any:
        low, least = self._alike(node.this, node.args["low"])
        high, most = self._alike(node.this, node.args["high"])
        return (low >= least) & (high <= most)

    def _like(self, function: Callable[..., Any], node: exp.Expression) -> Any:
        return function(self.write(node.this), self.write(node.expression), self.functions.lit(_NO_ESCAPE))

    def _divided(self, divide: Callable[[Any, Any], Any], node: exp.Expression) -> Any:
        """Of doubles; by zero as IEEE 754 says."""
        one, other = (self.write(part).cast("double") for part in (node.this, node.expression))
        when = self.functions.when
        limits = when(one.isNotNull(), float("nan"))
        if divide is operator.truediv:
            signed = when(other.cast("string") == "-0.0", -one).otherwise(one)  # == takes both zeros for the same
            limits = when(signed > 0, float("inf")).when(signed < 0, float("-inf")).otherwise(limits)
        return when(other == 0, limits).otherwise(divide(one, when(other != 0, other)))

    def _alike(self, one: exp.Expression, other: exp.Expression) -> tuple[Any, Any]:
        """Both sides of an operator; a literal text beside a type that `meaning` leaves alone is cast to it."""
        left, right = self.write(one), self.write(other)
        if (kind := self._kind_beside(one, other)) is not None:
            return left, self._cast(right, kind)
        if (kind := self._kind_beside(other, one)) is not None:
            return self._cast(left, kind), right
        return left, right

    def _kind_beside(self, column: exp.Expression, literal: exp.Expression) -> str | None:
        """The type of a column that is not text, where the other side is a literal text."""
        is_text = isinstance(literal, exp.Literal) and literal.is_string
        return (
            self.types[column.name]
            if is_text and isinstance(column, exp.Column) and not self._is_text(column)
            else None
        )

    def _is_text(self, node: exp.Expression) -> bool:
        return isinstance(node, exp.Column) and self.types[node.name].startswith(_TEXT)

    def _cast(self, column: Any, kind: str) -> Any:
        """A cast that is an error where it cannot be done, ANSI or not."""
        text = self.functions.coalesce(column.cast("string"), self.functions.lit(""))
        wrong = self.functions.raise_error(self.functions.concat(text, self.functions.lit(f" is no {kind}")))
        failed = self.functions.when(column.isNotNull(), wrong.cast(kind))
        return self.functions.coalesce(column.try_cast(kind), failed)


def _value(node: exp.Expression) -> Any:
    """The value of a literal; whole numbers and decimals are exact, up to where Spark takes NULL < 1e19 as true."""
    if isinstance(node, exp.Null):
        return None
    if isinstance(node, exp.Boolean) or node.is_string:
        return node.this
    text = node.this
    if float(text) >= 2**63:
        return float(text)
    if text.isdecimal():
        return int(text)
    is_exact = len(text) <= 38 and set(text) <= set("0123456789.")
    return Decimal(text) if is_exact else float(text)
