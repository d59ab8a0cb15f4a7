"""SQL that counts in a warehouse of one's own, and what becomes of its result."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from duckemcc.answer.api import read_model, read_studies
from duckemcc.answer.schema import check_segment_names
from duckemcc.errors import OptionError, placing
from duckemcc.model.scm import Model
from duckemcc.study.study import Study, names_of, study_name


def counts_sql(
    model: Model | str, study: Any, *, dialect: str = "duckdb", by: str | Sequence[str] = (), count: str = "n"
) -> str:
    """SQL that counts a study in a warehouse: one row per distinct pattern, with the columns of the variables, `by`
    and `count`. Its result, as a file or a table, is the study: ``Study("counts.parquet", weight="n", do=…)``.

    model: a `Model`, or graph text. study: a `Study` of the name of a table or a SELECT, or either text itself; it
    needs no connection, and `where`, `columns` and `weight` are said in the query. What is left for the study of the
    counts is `do`, `unmeasured`, `local`, `selected` and `shared`.
    dialect: duckdb, postgres, spark, databricks, bigquery, snowflake, redshift, trino or tsql.

    Columns are quoted as they are given (in `columns`, `weight`, `where` and `by`, or by the names of the variables):
    spell them as the catalog does, in upper case in Snowflake, if they were made without quotes. Names of tables and
    SELECT texts stay as they are. A count is NULL where a weight is none, which is an error when it comes back.
    Nothing is read, so that a column's type is checked only when the counts come back; text that the warehouse takes
    for equal, as SQL Server does in any case, is one value.

    Raises OptionError, SourceError, MissingColumn, UnknownName, RepeatedName, GraphError.
    """
    from duckemcc.study.count.warehouse_sql import counts_sql as write

    listed = read_studies(study)
    if len(listed) != 1 or not isinstance(listed[0], Study):
        raise OptionError("counts_sql takes one Study", remedy="call it for each")
    names = names_of("by", by)
    check_segment_names(names)
    with placing(study=study_name(listed[0], 1)):
        return write(read_model(model), listed[0], dialect=dialect, by=names, count=count)
