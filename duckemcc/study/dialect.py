"""What is said to engines: a user's `where` and `selected`, and DuckDB's counting query.

Such a condition is read as a tree, checked against a list of what is allowed, and written for an engine.

Text is never handed on: what an engine gets is written anew from the checked tree, with every column quoted as the
source spells it. Only constructs that mean the same in DuckDB and polars are allowed, so that a study does not change
with its engine; that leaves out ESCAPE, IS TRUE, casts to integers (one rounds, the other truncates) and the like.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from math import isinf

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError
from sqlglot.tokens import TokenType

from duckemcc.errors import OptionError, given
from duckemcc.model.tokens import cut
from duckemcc.study.labels import LARGEST_WEIGHT, SMALLEST_WEIGHT
from duckemcc.study.meaning import Unfit, fit, without_nulls
from duckemcc.study.names import find_column, model_name
from duckemcc.study.truth import wrong_truth

_LONGEST = 50_000
_DEEPEST = 200  # of the tree
_NESTED = 16  # parentheses and prefixes: polars' parser hangs on some 48 nested NOT, and recursion costs stack

_PREDICATES = (exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.In, exp.Between, exp.Is, exp.Like, exp.ILike)
_ARITHMETIC = (exp.Add, exp.Sub, exp.Mul, exp.Div, exp.Mod, exp.Neg, exp.Abs)
_LOGIC = (exp.And, exp.Or, exp.Not)
_LEAVES = (exp.Literal, exp.Boolean, exp.Null, exp.Column, exp.Identifier)
_ALLOWED = (*_PREDICATES, *_ARITHMETIC, *_LOGIC, *_LEAVES, exp.Paren, exp.Cast, exp.DataType, exp.Lower, exp.Coalesce)

# What such a node may hold; anything else (a subquery in IN, a table before a column, ...) changes its meaning.
_PARTS: dict[type, set[str]] = {
    exp.In: {"this", "expressions"},
    exp.Between: {"this", "low", "high"},
    exp.Column: {"this"},
    exp.Cast: {"this", "to"},
    exp.DataType: {"this", "nested"},
}
_CAST_TO = {
    "TEXT": "VARCHAR",
    "VARCHAR": "VARCHAR",
    "DOUBLE": "DOUBLE",
    "DATE": "DATE",
    "TIMESTAMP": "TIMESTAMP",
    "TIME": "TIME",
    "TIMESTAMPNTZ": "TIMESTAMP",  # what newer versions of sqlglot call it
}
_REFUSED_TOKENS = {
    TokenType.SEMICOLON: "a semicolon",
    TokenType.SELECT: "SELECT",
    TokenType.WITH: "WITH",
    TokenType.CASE: "CASE",
    TokenType.ARROW: "a lambda",
    TokenType.PLACEHOLDER: "a parameter",
    TokenType.PARAMETER: "a parameter",
    TokenType.L_BRACKET: "a bracket",
    TokenType.L_BRACE: "a brace",
}
_ADVICE = (
    "It takes comparisons, AND, OR, NOT, IN (values), BETWEEN, IS NULL, LIKE, arithmetic, CAST to VARCHAR, DOUBLE, "
    "DATE or TIMESTAMP, lower, abs and coalesce of columns and literals; prepare anything else in the source"
)


class _Refused(Exception):
    """What is wrong with a condition; the one who knows its option makes an OptionError of it."""


def check_filter(text: str, columns: Sequence[str], what: str = "the source") -> exp.Expression:
    """The condition `where` as a tree, its columns spelled and quoted as in `columns`.

    Raises OptionError naming the construct that is not allowed, MissingColumn (with a hint), RepeatedName.
    """
    remedy = "In SQL, text stands in 'single quotes'"
    return _checked(
        "where",
        text,
        columns,
        lambda name: find_column(what, name, f"name {name} in where", columns, remedy, option="where"),
    )


def check_condition(text: str, known: Sequence[str] = ()) -> exp.Expression:
    """A `where` before its source's columns are known: spelled as in `known`, or else as it spells them itself.

    Raises OptionError as `check_filter` does.
    """
    spelled = {name.casefold(): name for name in known}
    return _checked("where", text, known, lambda name: spelled.get(name.casefold(), name))


def check_rule(text: str, variables: Sequence[str], what: str) -> exp.Expression:
    """The condition `selected` as a tree over variables of the model. Raises OptionError, UnknownName."""
    return _checked("selected", text, variables, lambda name: model_name(name, variables, f"{what} has selected= over"))


def _checked(option: str, text: str, names: Sequence[str], find: Callable[[str], str]) -> exp.Expression:
    try:
        _check_tokens(text)
        tree = sqlglot.parse_one(text, into=exp.Condition, dialect="duckdb")
        _check_depth(tree)
        for node in tree.walk():
            _check_node(node)
        if (wrong := wrong_truth(tree, {})) is not None:
            raise _Refused(wrong)
        return tree.transform(lambda node: _resolved(node, names, find))
    except _Refused as refused:
        problem = str(refused)
    except SqlglotError as error:
        at = next(iter(getattr(error, "errors", None) or ()), None)  # its text names classes of the parser's
        said = f"near {at['highlight']!r}, column {at['col']}" if at else str(error).splitlines()[0]
        problem = f"cannot be read: {said}"
    except RecursionError:
        problem = "is nested too deeply"
    raise OptionError(given(option, _shown(text)) + f" {problem}", remedy=_ADVICE, option=option)


def fitted(what: str, text: str | None, tree: exp.Expression, types: Mapping[str, str]) -> exp.Expression:
    """A `where` as all engines take it, now that its columns' types are known. types: as the engine calls them.

    what: what messages call the source. text: as the user wrote it. Raises OptionError for what is no boolean, and for
    what `meaning.fit` refuses.
    """
    wrong = wrong_truth(tree, types)
    if wrong is None:
        try:
            return fit(tree, types)
        except Unfit as unfit:
            wrong = str(unfit)
    raise OptionError(f"{what}: " + given("where", _shown(text or "")) + f" {wrong}", option="where")


def _shown(text: str) -> str:
    return cut(text, 77)


def filter_columns(tree: exp.Expression) -> set[str]:
    return {column.name for column in tree.find_all(exp.Column)}


def filter_text(tree: exp.Expression, integers: Collection[str], place: Mapping[str, str] | None = None) -> str:
    """The condition as SQL that DuckDB and polars take. integers: as for `widen`. place: what each column is called
    there, for polars takes some names for patterns, in quotes as well."""
    said = explicit(widen(tree.transform(_as_comparisons), integers))
    if place is not None:
        for column in [*said.find_all(exp.Column)]:
            column.this.set("this", place[column.name])
    return str(said.sql(dialect="duckdb"))


def _as_comparisons(node: exp.Expression) -> exp.Expression:
    """BETWEEN as what it means: polars would compare a column of 4 bytes with other ends than by >= and <=."""
    if not isinstance(node, exp.Between):
        return node
    low = exp.GTE(this=node.this.copy(), expression=node.args["low"].copy())
    high = exp.LTE(this=node.this.copy(), expression=node.args["high"].copy())
    return exp.Paren(this=exp.And(this=low, expression=high))


def widen(tree: exp.Expression, integers: Collection[str]) -> exp.Expression:
    """In arithmetic the integer columns become doubles, as small ones would overflow, which DuckDB refuses and polars
    does silently (``u - 2 < 0`` for an unsigned u)."""
    return without_nulls(tree).transform(lambda node: _widened(node, integers))


def _check_tokens(text: str) -> None:
    """What can be told before parsing, where depth would cost stack: length, nesting, comments, statements."""
    if len(text) > _LONGEST:
        raise _Refused(f"has {len(text)} characters, more than {_LONGEST}")
    if any(not c.isprintable() and c not in "\t\n\r\u00a0" for c in text):
        raise _Refused("holds a control character")
    tokens = sqlglot.tokenize(text, dialect="duckdb")
    depth = prefixes = 0
    for token in tokens:
        if token.comments:
            raise _Refused("holds a comment, which is not allowed")
        if (name := _REFUSED_TOKENS.get(token.token_type)) is not None:
            raise _Refused(f"holds {name}, which is not allowed")
        depth += (token.token_type == TokenType.L_PAREN) - (token.token_type == TokenType.R_PAREN)
        prefixes = prefixes + 1 if token.token_type in (TokenType.NOT, TokenType.DASH, TokenType.PLUS) else 0
        if max(depth, prefixes) > _NESTED:
            raise _Refused("is nested too deeply")


def _check_depth(tree: exp.Expression) -> None:
    level: list[exp.Expression] = [tree]
    for _ in range(_DEEPEST):
        level = [child for node in level for child in node.iter_expressions()]
        if not level:
            return
    raise _Refused("is nested too deeply; write many alternatives as IN (…)")


def _check_node(node: exp.Expression) -> None:
    if type(node) not in _ALLOWED:
        raise _Refused(f"holds {_construct(node)}, which is not allowed")
    parts = {key for key, value in node.args.items() if value}
    extra = parts - _PARTS.get(type(node), parts)
    if extra:
        raise _Refused(f"holds {_construct(node)}, which is not allowed")
    if isinstance(node, exp.In) and not all(_is_literal(value) for value in node.expressions):
        raise _Refused(f"holds {_construct(node)}, whose values are not all literals")
    if isinstance(node, exp.Is) and not isinstance(node.expression, exp.Null):
        raise _Refused(f"holds {_construct(node)}; IS goes with NULL only")
    if isinstance(node, exp.Literal) and not node.is_string and isinf(float(node.name)):
        raise _Refused(f"holds the number {_construct(node)}, which is too large")
    if isinstance(node, exp.Cast):
        _check_cast(node)
    if isinstance(node, (*_PREDICATES, *_ARITHMETIC)):
        for child in node.iter_expressions():  # engines disagree on how tightly these bind
            if isinstance(child, (*_PREDICATES, *_LOGIC)):
                raise _Refused(f"holds {_construct(node)}, which needs parentheses around {_construct(child)}")


def _check_cast(node: exp.Cast) -> None:
    target = _CAST_TO.get(node.to.this.value)
    if target is None:
        raise _Refused(f"holds a cast to {node.to.sql(dialect='duckdb')}, which is not allowed")
    if target == "TIME" and not isinstance(node.this, exp.Literal):
        raise _Refused(f"holds {_construct(node)}; only a text such as TIME '12:30:00' is a time of day")
    if not isinstance(node.this, (exp.Column, exp.Literal)):  # polars widens arithmetic and would write 2 as 2.0
        raise _Refused(f"holds {_construct(node)}; only a column or a literal can be cast")


def _is_literal(node: exp.Expression) -> bool:
    node = node.this if isinstance(node, exp.Neg) else node
    if isinstance(node, exp.Cast):  # DATE '2024-01-01'
        node = node.this
    return isinstance(node, (exp.Literal, exp.Boolean, exp.Null))


def _construct(node: exp.Expression) -> str:
    shown = str(node.sql(dialect="duckdb"))
    return shown if len(shown) <= 60 else shown[:57] + "..."


def _resolved(node: exp.Expression, names: Sequence[str], find: Callable[[str], str]) -> exp.Expression:
    if not isinstance(node, exp.Column):
        return node
    exact = node.this.quoted and node.name in names
    return exp.column(exp.to_identifier(node.name if exact else find(node.name), quoted=True))


def _widened(node: exp.Expression, integers: Collection[str]) -> exp.Expression:
    if not isinstance(_above_parentheses(node), _ARITHMETIC):
        return node
    if isinstance(node, exp.Column) and node.name in integers:
        return exp.cast(node.copy(), "DOUBLE")
    if isinstance(node, exp.Literal) and node.is_int and _is_computed(node):
        return exp.cast(node.copy(), "DOUBLE")
    return node


def _is_computed(literal: exp.Expression) -> bool:
    """Whether it is part of arithmetic without a column: polars would give that the type of what it is compared with,
    and ``u <> -abs(1)`` would never hold for an unsigned u; and DuckDB would refuse a product beyond 2^63, even one
    that polars never computes. A literal with a sign is none."""
    above = _above_parentheses(literal)
    if isinstance(above, exp.Neg) and above.this is literal:
        above = _above_parentheses(above)
        if not isinstance(above, _ARITHMETIC):
            return False
    return above is not None and above.find(exp.Column) is None


def _above_parentheses(node: exp.Expression) -> exp.Expression | None:
    above = node.parent
    while isinstance(above, (exp.Paren, exp.Coalesce)):
        above = above.parent
    return above


def explicit(tree: exp.Expression) -> exp.Expression:
    """The same condition with parentheses around what NOT negates, where engines might bind differently."""
    tree = tree.copy()
    for node in reversed(list(tree.walk())):  # children first
        if isinstance(node.parent, exp.Not) and isinstance(node, (*_PREDICATES, *_LOGIC)):
            parentheses = exp.Paren()
            node.replace(parentheses)
            parentheses.set("this", node)
    return tree


# -- the counting query for DuckDB -------------------------------------------------------------

# A double between 1e-15 and 1e15 is a whole part and four fractions of 24 bits. Sums of those are exact up to 2^53, so
# that neither the order of rows nor the number of threads nor the engine can change a total.
PIECES = 5
STEP = 2.0**24


def projection(wanted: Mapping[str, str]) -> str:
    """Columns under our own names (name -> column). The one place where the source's names are written."""
    items = [exp.alias_(exp.column(exp.to_identifier(c, quoted=True)), alias) for alias, c in wanted.items()]
    return ", ".join(item.sql(dialect="duckdb") for item in items)


def weight_items(is_float: bool) -> list[str]:
    """Of emcc_weight: the weight if it can be one, or else 0; whether it cannot; and what it is then."""
    number = "TRY_CAST(emcc_weight AS DOUBLE)"  # its type may be told to be wrong later; DECIMAL(38, 23) has no 1e15
    weight = number if is_float else "emcc_weight"
    smallest = SMALLEST_WEIGHT if is_float else 0
    good = f"COALESCE({number} = 0 OR {number} BETWEEN {smallest} AND {LARGEST_WEIGHT:.0f}, FALSE)"  # NaN is above all
    return [
        f"CASE WHEN {good} THEN {weight} ELSE 0 END AS emcc_good",
        f"NOT {good} AS emcc_is_bad",
        f"CASE WHEN {good} THEN NULL ELSE emcc_weight END AS emcc_bad_weight",
    ]


def piece_items(i: int) -> list[str]:
    """The next piece of what is left of the weight, and what is left after it."""
    rest = "emcc_good" if i == 0 else "emcc_rest"
    return [f"FLOOR({rest}) AS emcc_p{i}", f"({rest} - FLOOR({rest})) * {STEP!r} AS emcc_rest"]


def weight_sums(is_float: bool) -> list[str]:
    """Aggregates over `weight_items` and pieces; those of integers and decimals are exact as they are."""
    sums = [f"SUM(emcc_p{i}) AS emcc_s{i}" for i in range(PIECES)] if is_float else ["SUM(emcc_good) AS emcc_s0"]
    return [
        *sums,
        "COUNT(*) FILTER (WHERE emcc_good > 0) AS emcc_records",
        "COUNT(*) FILTER (WHERE emcc_is_bad) AS emcc_bad",
        "MIN(emcc_bad_weight) AS emcc_example",
    ]


def weight_totals(is_float: bool) -> list[str]:
    """What is left of `weight_sums`: the pieces put together."""
    count = " + ".join(f"CAST(emcc_s{i} AS DOUBLE) / {STEP**i!r}" for i in range(PIECES if is_float else 1))
    return [f"{count} AS emcc_count", "emcc_records", "emcc_bad", "CAST(emcc_example AS VARCHAR) AS emcc_example"]
