"""`Study`: a source of records, what was set by design in it, and how its columns are called.

Nothing is read here and no engine is imported: a source is recognised by the name of its class.
"""

from __future__ import annotations

import glob
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any, Literal

from duckemcc.errors import OptionError, RepeatedName, SourceError, literal, placing

Kind = Literal["relation", "table", "file", "polars", "pandas", "spark", "arrow", "adbc", "named"]

PARQUET = (".parquet", ".parq", ".pq")
SELECT = re.compile(r"[\s(]*(?:SELECT|WITH)\b", re.IGNORECASE)
"""How a query begins, where the name of a table could stand as well."""
CSV = tuple(kind + packed for kind in (".csv", ".tsv") for packed in ("", ".gz", ".zst"))


@dataclass(frozen=True, eq=False, init=False)
class Study:
    """One study: records that share a design.

    source:  a DuckDB relation; the name of a table, with `con`; the path or glob of Parquet or CSV files; a polars
             DataFrame or LazyFrame; a pandas DataFrame; anything with ``__arrow_c_stream__`` (a stream that can be read
             once is read once); a Spark DataFrame, or the name of a table with `con` a Spark session; the name of a
             table or a SELECT in PostgreSQL, with `con`; one in another warehouse, without, for `counts_sql`
    do:      the variables set by design
    name:    what messages and results call it; by default the table or file name, or "study 1", ...
    weight:  a column to be summed instead of counting records
    where:   an SQL condition on the source's columns that records must satisfy
    columns: variable -> column, where the names differ
    unmeasured: variables of the model without a column here
    local:   exogenous variables with a distribution of their own in this study; the others are those of all studies
    selected: an SQL condition on the model's variables: who satisfies it was kept, all others were dropped. A row with
             NULL in every variable (but those set by design) stands for dropped records, its weight for their number
    shared:  the study has no `by` column, and its records count in every segment
    con:     a DuckDB connection; a Spark session; an ADBC connection to PostgreSQL, or its address "postgresql://…"

    Raises OptionError for an option of the wrong kind, RepeatedName for a name given twice, SourceError for a source
    of an unknown kind.
    """

    source: Any = field(repr=False)  # showing a relation would run it
    do: tuple[str, ...]
    name: str | None
    weight: str | None
    where: str | None
    columns: Mapping[str, str]
    unmeasured: tuple[str, ...]
    local: tuple[str, ...]
    selected: str | None
    shared: bool
    con: Any = field(repr=False)
    kind: Kind = field(init=False)

    def __init__(
        self,
        source: Any,
        *,
        do: str | Sequence[str] = (),
        name: str | None = None,
        weight: str | None = None,
        where: str | None = None,
        columns: Mapping[str, str] | None = None,
        unmeasured: str | Sequence[str] = (),
        local: str | Sequence[str] = (),
        selected: str | None = None,
        shared: bool = False,
        con: Any = None,
    ) -> None:
        fields: dict[str, Any] = {
            "source": source,
            "do": names_of("do", do),
            "name": _text("name", name),
            "weight": _text("weight", weight),
            "where": _text("where", where),
            "columns": _mapping(columns),
            "unmeasured": names_of("unmeasured", unmeasured),
            "local": names_of("local", local),
            "selected": _text("selected", selected),
            "shared": _flag("shared", shared),
            "con": con,
            "kind": _kind(source, con),
        }
        for key, value in fields.items():  # the class is frozen
            object.__setattr__(self, key, value)


def names_of(option: str, given: str | Iterable[str]) -> tuple[str, ...]:
    """The names given for an option; a bare text is one name. Raises OptionError, RepeatedName."""
    names: tuple[Any, ...] = (given,) if isinstance(given, str) or not isinstance(given, Iterable) else tuple(given)
    for name in names:
        if not isinstance(name, str) or not name.strip():
            raise OptionError(f"{option} takes a name or a list of names; found {name!r} in {given!r}", option=option)
    with placing(option=option):
        _check_once(names, f"{option} names")
    return names


def _check_once(names: Iterable[str], what: str) -> None:
    seen: dict[str, str] = {}
    for name in names:
        if (other := seen.get(name.casefold())) is not None:
            raise RepeatedName(f"{what} {other} and {name}, which are the same name", remedy="give it once")
        seen[name.casefold()] = name


def _text(option: str, value: object) -> str | None:
    if value is None or (isinstance(value, str) and value.strip()):
        return value
    raise OptionError(f"{option} takes a text that is not empty; found {value!r}", option=option)


def _flag(option: str, value: object) -> bool:
    if isinstance(value, bool):
        return value
    said = f"{option} takes " + literal(True) + " or " + literal(False) + f"; found {value!r}"
    raise OptionError(said, option=option)


def _mapping(columns: object) -> dict[str, str]:
    if columns is None:
        return {}
    if not isinstance(columns, Mapping):
        raise OptionError(
            "columns maps variables to column names, " + literal({"Gender": "sex"}) + f"; found {columns!r}",
            option="columns",
        )
    for variable, column in columns.items():
        if not isinstance(variable, str) or not isinstance(column, str):
            raise OptionError(f"columns maps names to names; found {variable!r}: {column!r}", option="columns")
    _check_once(columns, "columns= maps")
    return dict(columns)


# -- what kind of source it is -----------------------------------------------------------------


def _is_a(value: object, package: str, *classes: str) -> bool:
    """Whether the value is of such a class, told by name so that the package need not be imported."""
    return any(
        base.__module__.split(".")[0].lstrip("_") == package and base.__name__ in classes
        for base in type(value).__mro__
    )


def _kind(source: object, con: object) -> Kind:
    in_spark = _is_a(con, "pyspark", "SparkSession")
    if con is not None and not in_spark and not is_postgres(con) and not _is_a(con, "duckdb", "DuckDBPyConnection"):
        found = "another text" if isinstance(con, str) else type(con).__name__  # a text may hold a password
        raise OptionError(
            "con takes a DuckDB connection, a Spark session, an ADBC connection to PostgreSQL or its address "
            f"'postgresql://…'; found {found}",
            option="con",
        )
    if in_spark and isinstance(source, str) and source.strip():
        return "spark"
    if isinstance(source, (str, os.PathLike)):
        return _text_kind(source, con)
    if con is not None:
        raise OptionError(
            f"con goes with the name of a table or file; the source is a {type(source).__name__}", option="con"
        )
    if _is_a(source, "duckdb", "DuckDBPyRelation"):
        return "relation"
    if _is_a(source, "polars", "DataFrame", "LazyFrame"):
        return "polars"
    if _is_a(source, "pandas", "DataFrame"):
        return "pandas"
    if _is_a(source, "pyspark", "DataFrame") and hasattr(source, "mapInArrow"):  # not pandas on Spark
        return "spark"
    if _is_a(source, "duckemcc", "Grouped"):  # by Spark
        return "spark"
    if hasattr(source, "__arrow_c_stream__"):
        return "arrow"
    raise SourceError(
        f"a {type(source).__name__} is no source of records",
        remedy="give a DuckDB relation, a table name with con=…, a "
        "Parquet or CSV path, a polars, pandas or Spark frame, or an object with __arrow_c_stream__",
        option="source",
    )


def _is_duckdb(con: object) -> bool:
    return _is_a(con, "duckdb", "DuckDBPyConnection")


def is_postgres(con: object) -> bool:
    """Whether it is an address of a PostgreSQL server, or an ADBC connection."""
    if isinstance(con, str):
        return con.startswith(("postgresql://", "postgres://"))
    return _is_a(con, "adbc_driver_manager", "Connection")


def _text_kind(source: str | os.PathLike[str], con: object) -> Kind:
    text = os.fspath(source)
    if not isinstance(text, str) or not text.strip():
        raise SourceError(f"a source takes a path or the name of a table; found {source!r}", option="source")
    if is_postgres(con):
        return "adbc"
    if text.lower().endswith(PARQUET + CSV):
        return "file"
    if not isinstance(source, str):
        raise SourceError(
            f"{text!r} is neither Parquet nor CSV by its name",
            remedy=f"it would end in {', '.join(PARQUET + CSV)}",
            option="source",
        )
    return "named" if con is None else "table"


# -- what it is called -------------------------------------------------------------------------


def study_name(study: Study, position: int) -> str:
    """The study's name, or else that of its table or file, or else ``study <position>`` (counted from 1)."""
    return study.name or _source_name(study) or f"study {position}"


def name_studies(studies: Sequence[Study]) -> list[str]:
    """A name for each study, all different. Raises RepeatedName for a name that was given twice."""
    given = Counter(study.name.casefold() for study in studies if study.name)
    for study in studies:
        if study.name and given[study.name.casefold()] > 1:
            raise RepeatedName(
                f"two studies are called {study.name!r}",
                remedy="give each a name of its own",
                study=study.name,
                option="name",
            )
    taken = set(given)
    names: list[str] = []
    used: dict[str, int] = {}  # how often a name was wanted: numbers below that are taken
    for position, study in enumerate(studies, 1):
        name = wanted = study_name(study, position)
        if not study.name:
            while name.casefold() in taken:
                used[wanted] = used.get(wanted, 1) + 1
                name = f"{wanted} {used[wanted]}"
        taken.add(name.casefold())
        names.append(name)
    return names


def _source_name(study: Study) -> str:
    if study.kind == "spark" and isinstance(study.source, str):
        quoted, bare = (re.findall(r"`((?:[^`]|``)+)`|([^.`]+)", study.source)[-1:] or [("", "")])[0]
        return quoted.replace("``", "`") or bare.strip()
    if study.kind in ("table", "adbc", "named") and not SELECT.match(study.source):
        quoted, bare = (re.findall(r'"((?:[^"]|"")+)"|([^."]+)', study.source)[-1:] or [("", "")])[0]
        return quoted.replace('""', '"') or bare.strip()
    if study.kind == "file":
        return _stem(os.fspath(study.source))
    if study.kind == "relation":  # DuckDB makes up an alias with 16 digits where there is no table
        alias = str(study.source.alias)
        return "" if re.search(r"_[0-9a-f]{16}$", alias) else PurePath(alias).name
    return ""


def _stem(path: str) -> str:
    name = PurePath(path).name
    stem = next(name[: -len(end)] for end in sorted(PARQUET + CSV, key=len, reverse=True) if name.lower().endswith(end))
    return stem.strip("*?[]{}_-. ") if glob.has_magic(stem) else stem
