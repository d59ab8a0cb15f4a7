"""n(pattern): the engine that holds the records counts them, and only the counts come to Python. (An Arrow stream
brings its records here, to be counted by DuckDB.)

Each engine has a module of its own; `labels.labelled` then takes what they counted the same way through the checks of
weights, NULLs and values. SQL callers bring a counted relation to `split_relation`.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from duckemcc.errors import DuckEmccError, EmptyStudy, OptionError, SourceError, engine_reason, given, placing
from duckemcc.study.columns import Columns, Wanted
from duckemcc.study.count.duckdb import count_duckdb, open_source
from duckemcc.study.count.pandas import column_names, count_pandas
from duckemcc.study.count.polars import count_polars
from duckemcc.study.count.spark import count_spark
from duckemcc.study.labels import Nulls, Tally, find_absent, labelled
from duckemcc.study.literal import all_named
from duckemcc.study.names import cause_name
from duckemcc.study.selection import check_dropped, read_rule
from duckemcc.study.study import Study, names_of, study_name
from duckemcc.study.table import CountTable
from duckemcc.study.watch import Watch, unwatched

if TYPE_CHECKING:
    import polars as pl


def count_study(
    study: Study,
    variables: Sequence[str],
    *,
    name: str,
    by: Sequence[str] = (),
    nulls: Nulls = "mar",
    unmeasured: Sequence[str] = (),
    causes: Sequence[str] = (),
    watch: Watch = unwatched,
) -> CountTable:
    """Count a study's records by the model's variables and the segments.

    unmeasured: variables that no study measures. causes: the model's exogenous variables, some of which may be local.
    watch: stops the engine when the time is over, and raises then.
    nulls: "drop" leaves out records with a NULL in a measured variable, "error" refuses them; else they are counted.

    Raises, with the study's name: MissingColumn, UnknownName, RepeatedName (names), UnsupportedColumn (types),
    OptionError (where, selected, by), InvalidWeight, NullValue, EmptyStudy, StudyError (no dropped records), TooLarge
    (patterns), SourceError.
    """
    with placing(study=name):
        return _count_study(study, variables, name, by, nulls, unmeasured, causes, watch)


def _count_study(
    study: Study,
    variables: Sequence[str],
    name: str,
    by: Sequence[str],
    nulls: Nulls,
    unmeasured: Sequence[str],
    causes: Sequence[str],
    watch: Watch,
) -> CountTable:
    variables, by = checked_names(variables, () if study.shared else by)
    check_nulls(nulls)
    local = tuple(cause_name(u, causes, f"study {name!r} has local= for") for u in study.local)
    rule = None if study.selected is None else read_rule(study.selected, variables, name)
    latent = [v for v in variables if v in unmeasured]
    columns, frame = count_patterns(Wanted(study, name, variables, by, latent, watch=watch))
    check_some(frame, study.where, f"study {name!r}")
    return tabulate(CountTable(name, columns.do, frame, local, rule, study.shared), columns, variables, by, nulls)


def tabulate(
    counted: CountTable, columns: Columns, variables: Sequence[str], by: tuple[str, ...], nulls: Nulls
) -> CountTable:
    """The same study with labels for the values that an engine counted: its frame is as in `Tally`. Raises what
    `count_study` raises of values."""
    tally = Tally(
        counted.name,
        columns.do,
        tuple(columns.variables),
        by,
        columns.variables,
        columns.weight or "",
        counted.frame,
        counted.rule is not None,
    )
    frame = with_unmeasured(labelled(tally, nulls), variables)
    if counted.rule is not None:
        check_dropped(tally)
    return counted._replace(frame=frame, absent=find_absent(tally, frame))


def count_patterns(wanted: Wanted) -> tuple[Columns, pl.DataFrame]:
    """A row per distinct pattern, counted by the engine that holds the records; columns as in `Tally`, and emcc_<name>
    for those of `wanted.own` that are there."""
    study = wanted.study
    if study.kind == "named":
        raise SourceError(
            f"{study.source!r} is the name of a table or a SELECT",
            remedy="give its connection with "
            + given("con", ...)
            + ", or a path that ends in .parquet or .csv. For another warehouse, "
            "counts_sql writes the query to run there",
            option="con",
        )
    counters = {"polars": count_polars, "pandas": count_pandas, "spark": count_spark, "adbc": _count_remote}
    with engine_errors(wanted.name, study):
        return counters.get(study.kind, count_duckdb)(wanted)


def check_some(frame: pl.DataFrame, where: str | None, what: str) -> None:
    if frame.is_empty():
        kept = " that satisfy " + given("where", where) if where else ""
        raise EmptyStudy(f"{what} has no records" + kept, option="where" if where else None)


def with_unmeasured(frame: pl.DataFrame, variables: Sequence[str]) -> pl.DataFrame:
    """A labelled frame with a column of NULLs for each variable that was not measured, variables first."""
    import polars as pl

    absent = [pl.lit(None, pl.String).alias(v) for v in variables if v not in frame.columns]
    return (
        frame.with_columns(absent).select(all_named([*variables, *(c for c in frame.columns if c not in variables)]))
        if absent
        else frame
    )


def check_nulls(nulls: str) -> None:
    if nulls not in ("mar", "mcar", "drop", "error"):
        raise OptionError(f"nulls takes 'mar', 'mcar', 'drop' or 'error'; found {nulls!r}", option="nulls")


def checked_names(variables: Sequence[str], by: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    variables = names_of("variables", variables)
    if not variables:
        raise OptionError("there is no variable to count by", option="variables")
    return variables, names_of("by", by)


@contextmanager
def engine_errors(name: str, study: Study) -> Iterator[None]:
    """Engines' own errors as SourceError, and ours with the study's name. Which packages errors come from is told
    without importing them."""
    try:
        yield
    except DuckEmccError as error:
        raise error.placed(study=name) from error.__cause__
    except Exception as error:
        package = type(error).__module__.split(".")[0].lstrip("_")
        engine = package in ("duckdb", "polars", "pyarrow", "pyspark", "py4j") or isinstance(error, OSError)
        if "Interrupt" in type(error).__name__ or not (engine or _is_of_source(study, error)):
            raise
        if type(error).__name__ == "ResourceInUseException":  # ending it would lose the user's rows
            raise SourceError(
                f"study {name!r} cannot be counted while its connection has an unfinished result",
                remedy="fetch that to its end first, or run it on a cursor of its own",
                study=name,
            ) from error
        asked = " with " + given("where", study.where) if study.where else ""
        said = f"study {name!r} cannot be read" + asked + f": {engine_reason(error)}"
        raise SourceError(said, study=name) from error


def _is_of_source(study: Study, error: Exception) -> bool:
    """Whether the user's own frame or stream raised it, which runs their code: it does not come from a line of ours."""
    if study.kind not in ("polars", "arrow"):
        return False
    *_, (last, _) = traceback.walk_tb(error.__traceback__)
    inside = str(last.f_globals.get("__name__", ""))
    return not inside.startswith("duckemcc.") or last.f_code.co_name in _READS


_READS = ("_collect", "_open", "_with_few_columns", "_count", "count_polars", "<genexpr>")
"""Functions of ours that call straight into compiled code, which leaves no line of its own."""


def _count_remote(wanted: Wanted) -> tuple[Columns, pl.DataFrame]:
    from duckemcc.study.count.remote import count_remote  # sqlglot is slow to import

    return count_remote(wanted)


def known_columns(study: Study) -> list[str]:
    """The columns of a source that tells them before it is read; of another, or a file that cannot be read, none."""
    with engine_errors(study_name(study, 1), study):
        return _columns_of(study)


def _columns_of(study: Study) -> list[str]:
    source = study.source
    if study.kind == "polars":
        return list(source.lazy().collect_schema().names())
    if study.kind == "pandas":
        return column_names(source)
    if study.kind in ("relation", "arrow"):
        return list(getattr(source, "columns", ()) if study.kind == "relation" else _schema_names(source))
    if study.kind != "file":
        return []
    try:
        return list(open_source(study)[0].columns)
    except Exception:  # told with the study's name when it is counted
        return []


def _schema_names(source: Any) -> Sequence[str]:
    return getattr(getattr(source, "schema", None), "names", ())
