"""`Study`: a source of records, what was set by design in it, and how its columns are called.

Nothing is read here and no engine is imported: a source is recognised by the name of its class.
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any, Literal, NamedTuple

from duckemcc.errors import MissingColumn, OptionError, RepeatedName, SourceError, UnknownName, hint

Kind = Literal["relation", "table", "file", "polars", "arrow"]

PARQUET = (".parquet", ".parq", ".pq")
CSV = tuple(kind + packed for kind in (".csv", ".tsv") for packed in ("", ".gz", ".zst"))


@dataclass(frozen=True, eq=False, init=False)
class Study:
    """One study: records that share a design.

    source:  a DuckDB relation; the name of a table, with `con`; the path or glob of Parquet or CSV files; a polars
             DataFrame or LazyFrame; anything with ``__arrow_c_stream__`` (a stream that can be read once is read once)
    do:      the variables set by design
    name:    what messages and results call it; by default the table or file name, or "study 1", ...
    weight:  a column to be summed instead of counting records
    where:   an SQL condition on the source's columns that records must satisfy
    columns: variable -> column, where the names differ
    unmeasured, local, shared: not yet supported

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
            raise OptionError(f"{option} takes a name or a list of names; found {name!r} in {given!r}.")
    _check_once(names, f"{option} names")
    return names


def _check_once(names: Iterable[str], what: str) -> None:
    seen: dict[str, str] = {}
    for name in names:
        if (other := seen.get(name.casefold())) is not None:
            raise RepeatedName(f"{what} {other} and {name}, which are the same name; give it once.")
        seen[name.casefold()] = name


def _text(option: str, value: object) -> str | None:
    if value is None or (isinstance(value, str) and value.strip()):
        return value
    raise OptionError(f"{option} takes a text that is not empty; found {value!r}.")


def _flag(option: str, value: object) -> bool:
    if isinstance(value, bool):
        return value
    raise OptionError(f"{option} takes True or False; found {value!r}.")


def _mapping(columns: object) -> dict[str, str]:
    if columns is None:
        return {}
    if not isinstance(columns, Mapping):
        raise OptionError(f"columns maps variables to column names, {{'Gender': 'sex'}}; found {columns!r}.")
    for variable, column in columns.items():
        if not isinstance(variable, str) or not isinstance(column, str):
            raise OptionError(f"columns maps names to names; found {variable!r}: {column!r}.")
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
    if con is not None and not _is_a(con, "duckdb", "DuckDBPyConnection"):
        raise OptionError(f"con takes a DuckDB connection; found {type(con).__name__}.")
    if isinstance(source, (str, os.PathLike)):
        return _text_kind(source, con)
    if con is not None:
        raise OptionError(f"con goes with the name of a table or file; the source is a {type(source).__name__}.")
    if _is_a(source, "duckdb", "DuckDBPyRelation"):
        return "relation"
    if _is_a(source, "polars", "DataFrame", "LazyFrame"):
        return "polars"
    if hasattr(source, "__arrow_c_stream__"):
        return "arrow"
    raise SourceError(
        f"a {type(source).__name__} is no source of records; give a DuckDB relation, a table name with con=…, a "
        "Parquet or CSV path, a polars frame, or an object with __arrow_c_stream__."
    )


def _text_kind(source: str | os.PathLike[str], con: object) -> Kind:
    text = os.fspath(source)
    if not isinstance(text, str) or not text.strip():
        raise SourceError(f"a source takes a path or the name of a table; found {source!r}.")
    if text.lower().endswith(PARQUET + CSV):
        return "file"
    if not isinstance(source, str):
        raise SourceError(
            f"{text!r} is neither Parquet nor CSV by its name; it would end in {', '.join(PARQUET + CSV)}."
        )
    if con is None:
        raise SourceError(
            f"{text!r} is a table name; give its connection with con=…, or a path that ends in .parquet or .csv."
        )
    return "table"


# -- what it is called -------------------------------------------------------------------------


def study_name(study: Study, position: int) -> str:
    """The study's name, or else that of its table or file, or else ``study <position>`` (counted from 1)."""
    return study.name or _source_name(study) or f"study {position}"


def name_studies(studies: Sequence[Study]) -> list[str]:
    """A name for each study, all different. Raises RepeatedName for a name that was given twice."""
    given = {study.name.casefold() for study in studies if study.name}
    for study in studies:
        if study.name and [s.name.casefold() for s in studies if s.name].count(study.name.casefold()) > 1:
            raise RepeatedName(f"two studies are called {study.name!r}; give each a name of its own.")
    names: list[str] = []
    for position, study in enumerate(studies, 1):
        name = study_name(study, position)
        if not study.name:
            name = _free_name(name, given | {n.casefold() for n in names})
        names.append(name)
    return names


def _free_name(name: str, taken: set[str]) -> str:
    candidates = [name, *(f"{name} {i}" for i in range(2, len(taken) + 3))]
    return next(c for c in candidates if c.casefold() not in taken)


def _source_name(study: Study) -> str:
    if study.kind == "table":
        quoted, bare = re.findall(r'"((?:[^"]|"")+)"|([^."]+)', study.source)[-1:][0] if study.source else ("", "")
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


# -- which column is which ---------------------------------------------------------------------


class Columns(NamedTuple):
    """The columns of a source that matter, as the source spells them."""

    variables: dict[str, str]
    by: dict[str, str]
    weight: str | None
    do: tuple[str, ...]


def match_columns(
    study: Study, name: str, variables: Sequence[str], by: Sequence[str], found: Sequence[str]
) -> Columns:
    """Match names to columns without regard to case.

    Raises MissingColumn, UnknownName (with a hint), RepeatedName where a match is not unique, OptionError for a `by`
    that is a variable: its segments would be selected on the variable, and no model of the whole holds in them.
    """
    where = f"study {name!r}"
    do = tuple(v for v in variables if v in {model_name(d, variables, f"{where} intervenes on") for d in study.do})
    mapped = {model_name(v, variables, f"{where} has columns= for"): c for v, c in study.columns.items()}
    matched = {v: _variable_column(where, v, mapped, found) for v in variables}
    for column in matched.values():
        owners = [v for v, c in matched.items() if c == column]
        if len(owners) > 1:
            raise RepeatedName(f"{where} uses the column {column} for {' and '.join(owners)}; give each its own.")
    segments = {b: find_column(where, b, f"segment {b}", found) for b in by}
    check_segments(variables, by, {c: v for v, c in matched.items()}, segments)
    weight = None if study.weight is None else find_column(where, study.weight, f"weight {study.weight}", found)
    if weight in matched.values():
        raise OptionError(f"{where} takes its weight from {weight}, which is also the column of a variable.")
    return Columns(matched, segments, weight, do)


def check_segments(
    variables: Sequence[str], by: Sequence[str], variable_of: Mapping[str, str], segments: Mapping[str, str]
) -> None:
    """Refuse a segment that is a variable of the model, and names that the count table needs for itself."""
    folded = {v.casefold(): v for v in variables}
    for b in by:
        variable = folded.get(b.casefold()) or variable_of.get(segments[b])
        if variable is not None:
            raise OptionError(
                f"by names {b}, which is the variable {variable} of the model: each segment would be selected by it. "
                f"Leave it out of by, and ask for a query given it: P(… | {variable}=…)."
            )
    for name in (*variables, *by):
        if name == "count":
            raise OptionError("the name count is taken in a count table; map the column to another name, like Count.")


def model_name(name: str, variables: Sequence[str], what: str) -> str:
    """The model's spelling of a variable's name. Raises UnknownName."""
    for variable in variables:
        if variable.casefold() == name.casefold():
            return variable
    raise UnknownName(
        f"{what} {name}, which is no variable of the model; its variables are {', '.join(variables)}."
        f"{hint(name, variables)}"
    )


def _variable_column(where: str, variable: str, mapped: Mapping[str, str], found: Sequence[str]) -> str:
    column = mapped.get(variable)
    if column is None:
        return find_column(
            where, variable, f"variable {variable}", found, f" Map it with columns={{{variable!r}: '…'}}."
        )
    if column in found:  # said in full, so that it also chooses between names that differ by case
        return column
    return find_column(where, column, f"variable {variable}, which columns= maps to {column}", found)


def find_column(where: str, name: str, what: str, found: Sequence[str], remedy: str = "") -> str:
    """The one column with this name. Raises MissingColumn with a hint, RepeatedName."""
    matches = [c for c in found if c.casefold() == name.casefold()]
    if len(matches) > 1:
        raise RepeatedName(
            f"{where} has several columns for the {what}: {', '.join(matches)}. Names are matched without regard to "
            "case; rename one, or choose with columns=…."
        )
    if not matches:
        shown = ", ".join(found[:20]) + (", …" if len(found) > 20 else "")
        raise MissingColumn(
            f"{where} has no column for the {what}; its columns are {shown}.{hint(name, found, 'columns')}{remedy}"
        )
    return matches[0]
