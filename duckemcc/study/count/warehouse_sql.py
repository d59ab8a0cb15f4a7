"""A study's counting query as text, for a warehouse out of duckemcc's reach: its counts come back as weighted records.

Columns are named exactly as they are given, in quotes: in the spelling of the warehouse's catalog. Names of tables and
SELECT texts are SQL already and stay as they are, so that what is unquoted there folds as it always does.

The count is NULL, in place of a sum, as soon as one record of the pattern has a weight that cannot be one, so that
whoever reads the counts is told.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import sqlglot
from sqlglot import exp
from sqlglot.errors import ErrorLevel, SqlglotError
from sqlglot.tokens import TokenType

from duckemcc.errors import OptionError, SourceError, hint
from duckemcc.model.scm import Model
from duckemcc.model.tokens import cut
from duckemcc.study.columns import match_columns
from duckemcc.study.count.counting_sql import OWN, column, count_query, total_or_null
from duckemcc.study.dialect import check_condition, explicit
from duckemcc.study.meaning import replaced
from duckemcc.study.study import CSV, SELECT, Study, name_studies, names_of

DIALECTS = ("duckdb", "postgres", "spark", "databricks", "bigquery", "snowflake", "redshift", "trino", "tsql")
_BACKSLASH_ESCAPES = ("postgres", "redshift", "spark", "databricks", "bigquery")  # in LIKE; DuckDB has no escape
_REFUSED = (exp.DML, exp.DDL, exp.Command, exp.Drop, exp.Alter, exp.Into, exp.Lock, exp.Copy, exp.Set)

_LONGEST = 200_000
_NESTED = 50
_MOST_SETS = 200
_OPENING = (TokenType.L_PAREN, TokenType.L_BRACKET, TokenType.L_BRACE, TokenType.CASE)
_CLOSING = (TokenType.R_PAREN, TokenType.R_BRACKET, TokenType.R_BRACE, TokenType.END)
_PREFIXES = (TokenType.NOT, TokenType.DASH, TokenType.PLUS, TokenType.TILDE, TokenType.DOT)
_SETS = (TokenType.UNION, TokenType.EXCEPT, TokenType.INTERSECT)


def counts_sql(
    model: Model, study: Study, *, dialect: str = "duckdb", by: str | Sequence[str] = (), count: str = "n"
) -> str:
    """The counting query of a study; its columns are the variables that have one, `by`, and `count`.

    Nothing is read, so that columns are taken to be called as `columns=` says, or else as the variables are. Weights
    are taken for floating-point numbers. Raises OptionError (dialect, by, count, where), SourceError, MissingColumn,
    UnknownName, RepeatedName.
    """
    check_dialect(dialect)
    names = () if study.shared else names_of("by", by)
    [name] = name_studies([study])
    given = _given_columns(study, model.variables, names, model.unmeasured)
    columns = match_columns(study, name, model.variables, names, given, model.unmeasured)
    keys = {n: column(c) for n, c in (columns.variables | columns.by).items()}
    _check_names(list(keys), count)
    condition = None if study.where is None else portable(check_condition(study.where, given), dialect)
    weight = None if columns.weight is None else exp.cast(column(columns.weight), "double")
    measures = {count: total_or_null(weight is not None)}
    tree = count_query(_source_of(study, dialect), keys, measures, condition, weight)
    if dialect in ("spark", "databricks"):
        measured = tree.selects[-1]
        measured.replace(measured.transform(_in_doubles))
    return write(tree, dialect, pretty=True)


def _in_doubles(node: exp.Expression) -> exp.Expression:
    """Spark's FLOOR gives an integer of 64 bits, which pieces of weights exceed; x - x % 1 is as exact."""
    if not isinstance(node, exp.Floor):
        return node
    number = exp.paren(node.this) if isinstance(node.this, exp.Binary) else node.this
    fraction = exp.Mod(this=number.copy(), expression=exp.Literal.number(1))
    return exp.paren(exp.Sub(this=number.copy(), expression=fraction))


def check_dialect(dialect: object) -> None:
    """Raises OptionError."""
    if dialect not in DIALECTS:
        raise OptionError(
            f"dialect takes one of {', '.join(DIALECTS)}; found {dialect!r}",
            remedy=hint(str(dialect), DIALECTS, "dialects"),
            option="dialect",
        )


def write(tree: exp.Expression, dialect: str, *, pretty: bool = False) -> str:
    """The text of a tree. Raises OptionError for what the dialect cannot say."""
    try:
        return str(tree.sql(dialect=dialect, pretty=pretty, comments=False, unsupported_level=ErrorLevel.RAISE))
    except SqlglotError as error:
        raise OptionError(
            f"this cannot be said in {dialect}: {str(error).splitlines()[0]}", option="dialect"
        ) from error


# -- what is given -----------------------------------------------------------------------------


def read_source(text: str, dialect: str) -> exp.Expression:
    """A table, or a SELECT as a subquery, written anew from its tree. Raises SourceError for anything else."""
    shown = cut(text, 77)
    refusal = f"the source {shown!r} is neither the name of a table nor one SELECT"
    return _read(_select, text, dialect, refusal) if SELECT.match(text) else read_table(text, dialect, refusal)


def read_table(text: str, dialect: str, refusal: str) -> exp.Expression:
    """A table by its name, up to catalog.schema.table. Raises SourceError, which begins with `refusal`."""
    return _read(_table, text, dialect, refusal)


class _Refused(Exception):
    """What is wrong with a source."""


def _read(reader: Callable[[str, str], exp.Expression], text: str, dialect: str, refusal: str) -> exp.Expression:
    try:
        return reader(text, dialect)
    except SqlglotError as error:
        problem = str(error).splitlines()[0]
    except RecursionError:
        problem = "it is nested too deeply"
    except _Refused as refused:
        problem = str(refused)
    raise SourceError(f"{refusal}: {problem}")


def _check_size(text: str, dialect: str) -> None:
    """What can be told before parsing, where depth costs stack: length, nesting, prefixes, parts of a UNION."""
    if len(text) > _LONGEST:
        raise _Refused(f"it has {len(text):,} characters, more than {_LONGEST:,}")
    depth = prefixes = sets = 0
    for token in sqlglot.tokenize(text, dialect=dialect):
        depth += (token.token_type in _OPENING) - (token.token_type in _CLOSING)
        prefixes = prefixes + 1 if token.token_type in _PREFIXES else 0
        sets += token.token_type in _SETS
        if max(depth, prefixes) > _NESTED:
            raise _Refused("it is nested too deeply; make a view of it")
        if sets > _MOST_SETS:
            raise _Refused(f"it has more than {_MOST_SETS} UNION, EXCEPT or INTERSECT; make a view of it")


def _select(text: str, dialect: str) -> exp.Subquery:
    _check_size(text, dialect)
    trees = [tree for tree in sqlglot.parse(text, dialect=dialect) if tree is not None]
    if len(trees) != 1:
        raise _Refused(f"it has {len(trees)} statements")
    tree = trees[0]
    while isinstance(tree, exp.Subquery) and _parts(tree) == {"this"}:
        tree = tree.this
    if not isinstance(tree, (exp.Select, exp.SetOperation)):
        raise _Refused(f"it is {tree.key.upper()}, not SELECT")
    for node in tree.walk():
        if isinstance(node, _REFUSED):
            raise _Refused(f"it holds {node.key.upper()}, which is not allowed")
    return exp.Subquery(this=tree, alias=exp.TableAlias(this=exp.to_identifier("emcc_source")))


def _table(text: str, dialect: str) -> exp.Table:
    _check_size(text, dialect)
    table = sqlglot.parse_one(text, into=exp.Table, dialect=dialect)
    if _parts(table) - {"this", "db", "catalog"} or not all(type(part) is exp.Identifier for part in table.parts):
        raise _Refused("a name is bare or quoted, up to catalog.schema.table")
    return table


def _parts(tree: exp.Expression) -> set[str]:
    return {key for key, value in tree.args.items() if value}


def _source_of(study: Study, dialect: str) -> exp.Expression:
    if study.kind in ("table", "adbc", "named"):
        return read_source(study.source, dialect)
    advice = "give the name of a table or a SELECT, as it is called in the warehouse"
    if study.kind != "file":
        raise SourceError(
            f"a {type(study.source).__name__} cannot be counted by SQL elsewhere", remedy=advice, option="source"
        )
    if dialect != "duckdb":
        raise SourceError(
            f"the file {str(study.source)!r} is read by DuckDB, not by {dialect}", remedy=advice, option="source"
        )
    path = exp.Literal.string(str(study.source))
    if not path.name.lower().endswith(CSV):
        return exp.Table(this=exp.Anonymous(this="read_parquet", expressions=[path]))
    header = exp.EQ(this=exp.to_identifier("header"), expression=exp.true())
    return exp.Table(this=exp.Anonymous(this="read_csv", expressions=[path, header]))


def _given_columns(study: Study, variables: Sequence[str], by: Sequence[str], latent: Sequence[str]) -> list[str]:
    """The columns that are named, each once but for upper and lower case."""
    mapped = {v.casefold(): c for v, c in study.columns.items()}
    absent = {v.casefold() for v in (*study.unmeasured, *latent)} - {*mapped}
    names = [mapped.get(v.casefold(), v) for v in variables if v.casefold() not in absent]
    names += [*by, *([study.weight] if study.weight else [])]
    spelled: dict[str, str] = {}
    for n in names:
        spelled.setdefault(n.casefold(), n)
    return list(spelled.values())


def _check_names(names: Sequence[str], count: Any) -> None:
    if not isinstance(count, str) or not count.strip():
        raise OptionError(f"count takes the name of the column of counts; found {count!r}", option="count")
    for n in (*names, count):
        if n.casefold().startswith(OWN):
            raise OptionError(
                f"the name {n} begins as those that the query needs for itself", remedy="rename it", option="columns"
            )
    for n in names:
        if n.casefold() == count.casefold():
            raise OptionError(
                f"the name {count} is that of the counts and of {n}", remedy="choose another by count=…", option="count"
            )


# -- conditions --------------------------------------------------------------------------------


def portable(condition: exp.Expression, dialect: str) -> exp.Expression:
    """A checked `where` that means in the dialect what it means in DuckDB. Raises OptionError for a LIKE that
    cannot."""
    condition = explicit(condition)
    for like in [*condition.find_all(exp.Like, exp.ILike)]:
        like.set("expression", _pattern(like.expression, dialect))
        if dialect == "tsql" and isinstance(like, exp.ILike):
            lowered = exp.Like(this=exp.Lower(this=like.this), expression=exp.Lower(this=like.expression))
            condition = replaced(condition, like, lowered)
    return condition


def _pattern(pattern: exp.Expression, dialect: str) -> exp.Expression:
    """The pattern without anything that the dialect would read as an escape or a set of characters."""
    special = "\\" if dialect in _BACKSLASH_ESCAPES else "[" if dialect == "tsql" else ""
    if not special:
        return pattern
    if not (isinstance(pattern, exp.Literal) and pattern.is_string):
        raise OptionError(
            f"where= has LIKE with a pattern that is no text; {dialect} reads a {special} in it as more", option="where"
        )
    return exp.Literal.string(pattern.name.replace(special, "\\\\" if special == "\\" else "[[]"))
