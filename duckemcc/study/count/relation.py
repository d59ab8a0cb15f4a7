"""One relation of several studies: counted in one scan, then taken apart into the studies that it holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from duckemcc.errors import EmptyStudy, NullValue, RepeatedName, TooLarge, UnsupportedColumn, given, placing
from duckemcc.study.columns import Columns, Wanted, check_segments
from duckemcc.study.count.read import (
    check_nulls,
    check_some,
    checked_names,
    count_patterns,
    tabulate,
)
from duckemcc.study.count.types import check_dtypes
from duckemcc.study.labels import MOST_PATTERNS, Nulls
from duckemcc.study.literal import named
from duckemcc.study.names import find_column, model_name
from duckemcc.study.study import Study
from duckemcc.study.table import CountTable
from duckemcc.study.watch import Watch, unwatched

if TYPE_CHECKING:
    import polars as pl

OWN = ("study", "intervened")
"""The columns that tell the studies of one relation apart."""


RELATION = "studies"
"""What errors call the source of several studies."""


@dataclass(frozen=True, eq=False, init=False)
class Studies:
    """Several studies in one source, as in SQL: its columns `study` (a name) and `intervened` (a list of the variables
    set by design; NULL and [] are observational) tell them apart. One that is missing is as if it were the same
    throughout.

    source, weight, where, columns, shared, con: as for `Study`, which also says what is raised. A variable that is NULL
    throughout a study is unmeasured there.
    """

    records: Study

    def __init__(
        self,
        source: Any,
        *,
        weight: str | None = None,
        where: str | None = None,
        columns: Mapping[str, str] | None = None,
        shared: bool = False,
        con: Any = None,
    ) -> None:
        records = Study(source, weight=weight, where=where, columns=columns, shared=shared, con=con)
        object.__setattr__(self, "records", records)  # the class is frozen


def count_relation(
    studies: Studies,
    variables: Sequence[str],
    *,
    by: Sequence[str] = (),
    nulls: Nulls = "mar",
    unmeasured: Sequence[str] = (),
    watch: Watch = unwatched,
) -> list[CountTable]:
    """The count tables of the studies in one source, named and sorted as by `split_relation`.

    Raises what `count_study` raises.
    """
    with placing(study=RELATION):
        return _count_relation(studies.records, variables, by, nulls, unmeasured, watch)


def _count_relation(
    records: Study,
    variables: Sequence[str],
    by: Sequence[str],
    nulls: Nulls,
    unmeasured: Sequence[str],
    watch: Watch,
) -> list[CountTable]:
    import polars as pl

    variables, by = checked_names(variables, () if records.shared else by)
    _check_own(variables)
    latent = [v for v in variables if v in unmeasured]
    columns, frame = count_patterns(Wanted(records, RELATION, variables, by, latent, OWN, watch))
    check_some(frame, records.where, "the studies relation")
    check_height(frame, MOST_PATTERNS)
    names = {f"emcc_v{i}": v for i, v in enumerate(columns.variables)}
    names |= {f"emcc_b{i}": b for i, b in enumerate(by)}
    folded = {b.casefold() for b in by}  # a segment by study is the same column
    names |= {f"emcc_{n}": n for n in columns.own if n not in folded}
    frame = frame.drop(f"emcc_{n}" for n in columns.own if n in folded).rename(names)
    if "emcc_bad" not in frame.columns:
        frame = frame.with_columns(emcc_bad=pl.lit(0))
    tables = split_relation(
        frame,
        variables,
        by=by,
        nulls=nulls,
        weight=columns.weight or "",
        unmeasured=unmeasured,
        columns=columns.variables,
    )
    return [table._replace(shared=records.shared) for table in tables]


def check_names(tables: Sequence[CountTable]) -> None:
    """Raises `RepeatedName` where a study in a relation is called like another of the same call."""
    seen: set[str] = set()
    for table in tables:
        if table.name in seen:
            raise RepeatedName(
                f"two studies are called {table.name!r}, one of them in a relation of several",
                remedy="give a study another name with " + given("name", ...) + ", or rename it in the relation",
                study=table.name,
            )
        seen.add(table.name)


def check_height(frame: pl.DataFrame, most: int) -> None:
    """Raises `TooLarge` where the studies have too many patterns together."""
    if frame.height > most:
        raise TooLarge(
            f"the studies relation has more than {most} distinct patterns",
            remedy="group the values of a variable into fewer states, leave one out, or take fewer segments",
        )


def split_relation(
    frame: pl.DataFrame,
    variables: Sequence[str],
    *,
    by: Sequence[str] = (),
    nulls: Nulls = "mar",
    weight: str = "",
    unmeasured: Sequence[str] = (),
    columns: Mapping[str, str] | None = None,
) -> list[CountTable]:
    """One count table per study and set of intervened variables, from one relation that is counted already.

    frame: columns called like the variables and `by`, in any case; optionally ``study`` (else all is 'studies') and
           ``intervened`` (the variables set by design, see `with_lists`); ``emcc_count`` and
           ``emcc_bad`` (the number of records in the group whose weight is NULL, negative or not a number), and
           ``emcc_records``, ``emcc_example`` as in `Tally` where they are known
    weight: what messages call the weight
    unmeasured: variables that no study measures; they need no column
    columns: variable -> what messages call its column, where that is not its name

    A study with several such sets gives ``study`` and ``study do(Treatment)``. Sorted by name and set. A variable whose
    column is NULL throughout a study is unmeasured there, whatever `nulls` does with other NULLs. Raises what
    `count_study` raises.
    """
    import polars as pl

    variables, by = checked_names(variables, by)
    check_nulls(nulls)
    frame = with_lists(frame)
    measured = tuple(v for v in variables if v not in unmeasured)
    spelled = _relation_columns(frame.columns, measured, by)
    if frame.is_empty():
        raise EmptyStudy("the studies relation has no records")
    _check_relation(frame, measured, by, spelled)
    items = [named(spelled[v]).alias(f"emcc_v{i}") for i, v in enumerate(measured)]
    items += [named(spelled[b]).alias(f"emcc_b{i}") for i, b in enumerate(by)]
    count = named(spelled["emcc_count"]).cast(pl.Float64).fill_null(0)
    known = set(frame.columns)
    items.append(count.alias("emcc_count"))
    items.append((pl.col("emcc_records") if "emcc_records" in known else count).alias("emcc_records"))
    items.append(named(spelled["emcc_bad"]).cast(pl.Int64).alias("emcc_bad"))
    example = pl.col("emcc_example") if "emcc_example" in known else pl.lit(None)
    items.append(example.cast(pl.String).alias("emcc_example"))
    items.append(_as_text(frame, spelled.get("study")).alias("emcc_study"))
    called = spelled if columns is None else columns
    sets = _intervened_sets(frame, spelled.get("intervened"), variables)
    parts = (
        frame.select(items)
        .with_columns(pl.Series("emcc_do", sets, dtype=pl.String))
        .partition_by("emcc_study", "emcc_do", as_dict=True, include_key=False)
    )
    split = {(str(study), _unpacked(str(do), variables)): part for (study, do), part in parts.items()}
    return [
        _tabulate(CountTable(name, key[1], split[key]), variables, measured, by, called, nulls, weight)
        for key, name in _relation_names(sorted(split)).items()
    ]


def with_lists(frame: pl.DataFrame) -> pl.DataFrame:
    """The column `intervened` as lists of names, if it is there; NULL and [] are observational.

    A CSV file has them as text, "[A, B]"; other text stays, to be refused. What is NULL throughout may have come in any
    type.
    """
    import polars as pl

    for name in [c for c in frame.columns if c.casefold() == "intervened"]:
        column = frame[name]
        if column.null_count() == len(column):
            frame = frame.with_columns(pl.lit(None).alias(name))
        elif column.dtype == pl.String and column.str.contains(r"^\s*(\[.*\]\s*)?$").all():
            inner = pl.col(name).str.strip_chars().str.strip_prefix("[").str.strip_suffix("]")
            names = inner.str.split(",").list.eval(pl.element().str.strip_chars(" '\""))
            frame = frame.with_columns(names.list.eval(pl.element().filter(pl.element() != "")))
    return frame


def _relation_columns(found: Sequence[str], variables: Sequence[str], by: Sequence[str]) -> dict[str, str]:
    """name -> the frame's column, for all that is needed and there."""
    _check_own(variables)
    where = "the studies relation"
    spelled = {v: find_column(where, v, f"variable {v}", found) for v in variables}
    segments = {b: find_column(where, b, f"segment {b}", found) for b in by}
    check_segments(variables, by, {c: v for v, c in spelled.items()}, segments)
    own = {n: find_column(where, n, f"count {n}", found) for n in ("emcc_count", "emcc_bad")}
    folded = {c.casefold() for c in found}
    own |= {n: find_column(where, n, f"name {n}", found) for n in OWN if n in folded}
    return spelled | segments | own


def _check_own(variables: Sequence[str]) -> None:
    for variable in variables:
        if variable.casefold() in OWN:
            raise RepeatedName(
                f"the variable {variable} bears the name of the studies' own column {variable.casefold()}",
                remedy="rename it",
                variable=variable,
            )


def _check_relation(
    frame: pl.DataFrame, variables: Sequence[str], by: Sequence[str], spelled: Mapping[str, str]
) -> None:
    import polars as pl

    identity = {v: spelled[v] for v in variables}
    check_dtypes("studies", Columns(identity, {b: spelled[b] for b in by}, None, ()), frame.schema)
    column = spelled.get("intervened")
    if column is not None and not isinstance(frame.schema[column], (pl.List, pl.Null)):
        raise UnsupportedColumn(
            f"the column {column} has type {frame.schema[column]}",
            remedy="it takes a list of variables, VARCHAR[], such as ['Treatment'], or text such as [Treatment]",
        )
    study = spelled.get("study")
    if study is not None and (missing := frame[study].null_count()):
        raise NullValue(
            f"the column {study} is NULL in {missing} patterns", remedy="every record needs the name of its study"
        )


def _as_text(frame: pl.DataFrame, column: str | None) -> pl.Expr:
    import polars as pl

    return pl.lit("studies") if column is None else named(column).cast(pl.String)


def _intervened_sets(frame: pl.DataFrame, column: str | None, variables: Sequence[str]) -> list[str]:
    """Per row the positions of the intervened variables, as text like "0,2": order, case and repeats are gone."""
    if column is None:
        return [""] * frame.height
    known: dict[tuple[Any, ...], str] = {}
    sets = []
    for names in frame[column].to_list():
        key = tuple(names or ())
        if key not in known:
            known[key] = ",".join(str(i) for i in sorted({_intervened_position(n, variables) for n in key}))
        sets.append(known[key])
    return sets


def _intervened_position(name: object, variables: Sequence[str]) -> int:
    if not isinstance(name, str):
        shown = "NULL" if name is None else repr(name)
        raise NullValue(f"the column intervened lists {shown}", remedy="it takes names of variables")
    return variables.index(model_name(name, variables, "the column intervened names"))


def _unpacked(positions: str, variables: Sequence[str]) -> tuple[str, ...]:
    return tuple(variables[int(i)] for i in positions.split(",") if i)


def _relation_names(keys: Sequence[tuple[str, tuple[str, ...]]]) -> dict[tuple[str, tuple[str, ...]], str]:
    sets = Counter(study for study, _ in keys)
    names: dict[tuple[str, tuple[str, ...]], str] = {}
    taken: set[str] = set()
    for study, do in keys:
        name = f"{study} do({', '.join(do)})" if do and sets[study] > 1 else study
        while name in taken:  # a study may itself be called 'trial do(Treatment)'
            name += "'"
        names[study, do] = name
        taken.add(name)
    return names


def _tabulate(
    counted: CountTable,
    variables: tuple[str, ...],
    measured: tuple[str, ...],
    by: tuple[str, ...],
    called: Mapping[str, str],
    nulls: Nulls,
    weight: str,
) -> CountTable:
    """One study, without the variables that have no value in any record that weighs something."""
    import polars as pl

    part = counted.frame
    seen = part.filter(pl.col("emcc_count") > 0)
    keys = {v: f"emcc_v{i}" for i, v in enumerate(measured)}
    found = [v for v in measured if v in counted.do or not seen.height or seen[keys[v]].null_count() < seen.height]
    if not found:
        raise EmptyStudy(
            f"study {counted.name!r} is empty: every record has NULL in every variable", study=counted.name
        )
    part = part.drop(k for v, k in keys.items() if v not in found)
    part = part.rename({keys[v]: f"emcc_v{i}" for i, v in enumerate(found)})
    columns = Columns({v: called[v] for v in found}, {b: b for b in by}, weight, counted.do)
    return tabulate(counted._replace(frame=part), columns, variables, by, nulls)
