"""The same job on a Spark cluster: Spark counts, the driver checks, and segments are answered where their counts are.

records ─► GROUP BY ─► counts, kept in the cluster ─┬─► without segments ─► driver: names, labels, states, every check
                                                    └─► repartition by segment ─► mapInArrow: `answer`, as anywhere
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from importlib.util import find_spec
from math import ceil
from typing import Any

from duckemcc.answer.api import count_studies, read_model, read_queries, read_studies
from duckemcc.answer.bounds import unanswered
from duckemcc.answer.options import Clock, read_options
from duckemcc.answer.plan import BATCH
from duckemcc.answer.schema import COLUMNS, STUDY_COLUMNS, check_segment_names
from duckemcc.errors import NotSupported, OptionError, Timeout, given
from duckemcc.model.scm import Model
from duckemcc.serve.spark.count import Source, check_segments, count_segments, records_of
from duckemcc.serve.spark.task import Bounds, Counts, Report, Task, Work
from duckemcc.study.count.relation import OWN, Studies
from duckemcc.study.study import Study, names_of

# -- the public functions ----------------------------------------------------------------------


def bounds(
    model: Model | str,
    studies: Any,
    queries: Any,
    *,
    by: str | Sequence[str] = (),
    weight: str | None = None,
    spark: Any = None,
    partitions: int | None = None,
    **options: Any,
) -> Any:
    """Bounds on counterfactual queries, as by `duckemcc.bounds`: a Spark DataFrame, one row per segment and query.

    model: a `Model` or graph text. studies: a Spark DataFrame, or the name of a table, with several studies that its
    columns ``study`` and ``intervened`` (array<string>, the variables set by design) tell apart, and a column of counts
    called `weight`; or a list of `duckemcc.Study` over Spark DataFrames or tables (con=spark). Shared studies may come
    from anywhere.
    spark: the session that has the tables, else the active one. partitions: tasks to answer in. options: see
    `answer.options.Options`; max_seconds is that of each task, less what counting
    took.

    The records are counted at once, and their counts kept in the cluster; segments are answered whenever the result is
    used: persist it to use it twice. Rows are in no order. Raises what `duckemcc.bounds` raises, NotSupported without
    pyspark.
    """
    model, studies = _in_order(model, studies)
    work = Bounds(tuple(read_queries(queries)))
    return _run(studies, model, work, COLUMNS, by, weight, spark, partitions, options)


def compatibility(
    model: Model | str,
    studies: Any,
    *,
    by: str | Sequence[str] = (),
    weight: str | None = None,
    spark: Any = None,
    partitions: int | None = None,
    **options: Any,
) -> Any:
    """Whether the studies contradict the graph, or each other, as by `duckemcc.compatibility`; else as `bounds`."""
    model, studies = _in_order(model, studies)
    return _run(studies, model, Report(), STUDY_COLUMNS, by, weight, spark, partitions, options)


def counts(
    model: Model | str,
    studies: Any,
    *,
    by: str | Sequence[str] = (),
    weight: str | None = None,
    spark: Any = None,
    partitions: int | None = None,
    **options: Any,
) -> Any:
    """What the answers are computed from: a row per segment, study and distinct pattern, with its `count`.

    It is a relation of several studies in its turn (see `bounds`), with weight="count"; values are labels. A shared
    study is repeated in each segment. Raises as `bounds` does, RepeatedName for a name that it needs for itself.
    """
    model, studies = _in_order(model, studies)
    pscm = read_model(model)
    names_of("variables, by, study, intervened, count", (*pscm.variables, *names_of("by", by), *OWN, "count"))
    columns = {"study": "string", "intervened": "list<string>"} | dict.fromkeys(pscm.variables, "string")
    return _run(studies, pscm, Counts(), columns | {"count": "double"}, by, weight, spark, partitions, options)


# -- the way of the data -----------------------------------------------------------------------


def _run(
    studies: Any,
    model: Model | str,
    work: Work,
    columns: Mapping[str, str],
    by: str | Sequence[str],
    weight: str | None,
    spark: Any,
    partitions: int | None,
    options: Mapping[str, Any],
) -> Any:
    if find_spec("pyspark") is None:
        raise NotSupported("duckemcc.spark needs pyspark, which is not installed: pip install 'duckemcc[spark]'")
    settings, pscm, names = read_options(options), read_model(model), names_of("by", by)
    if partitions is not None and (isinstance(partitions, bool) or not isinstance(partitions, int) or partitions < 1):
        raise OptionError(
            f"partitions is {partitions!r}", remedy="it takes a whole number of at least 1", option="partitions"
        )
    check_segment_names(names)
    sources = _read_sources(studies, weight, spark)
    clock = Clock(settings.max_seconds)
    if not names:
        try:
            found = work(pscm, count_studies(pscm, sources, settings, (), clock), (), settings, clock)
        except Timeout as late:
            if not isinstance(work, Bounds):
                raise
            found = unanswered(work.queries, settings, late)
        return _session(spark, sources).createDataFrame(found, _schema(columns))
    counted = count_segments(sources, pscm, settings, names, clock)
    known = check_segments(counted, pscm, settings, names)
    task = Task(known, tuple(counted.tables), counted.keys, names, settings, work, clock.spent)
    keys = [f"emcc_b{i}" for i in range(len(names))]
    fields = [counted.rows.schema[key] for key in keys]
    segmented = counted.rows.repartition(partitions or _partitions(counted.rows, keys), *keys)
    return segmented.mapInArrow(task, _schema(columns, zip(names, (f.dataType for f in fields), strict=True)))


def _schema(columns: Mapping[str, str], segments: Iterable[tuple[str, Any]] = ()) -> Any:
    from pyspark.sql import types

    kinds = {
        "string": types.StringType(),
        "double": types.DoubleType(),
        "bool": types.BooleanType(),
        "int64": types.LongType(),
        "list<string>": types.ArrayType(types.StringType()),
    }
    fields = [*segments, *((name, kinds[kind]) for name, kind in columns.items())]
    return types.StructType([types.StructField(name, kind) for name, kind in fields])


def _partitions(rows: Any, keys: Sequence[str]) -> int:
    """Whole batches for each core; where segments are few, so many tasks that hardly two fall into one."""
    segments = max(1, rows.select(*keys).distinct().count())
    try:
        cores = int(rows.sparkSession.sparkContext.defaultParallelism)
    except Exception:  # Spark Connect does not say
        cores = int(rows.sparkSession.conf.get("spark.sql.shuffle.partitions"))
    return 4 * segments if segments <= cores else cores * ceil(segments / (2 * BATCH * cores))


# -- what is given -----------------------------------------------------------------------------


def _in_order(model: Any, studies: Any) -> tuple[Any, Any]:
    """The model and the studies, also where these come first, as in version 0.1."""
    if _is_graph(model) or not _is_graph(studies):
        return model, studies
    warnings.warn(
        "duckemcc.spark takes (model, studies, …), as duckemcc.bounds does; (studies, model, …) is deprecated.",
        DeprecationWarning,
        stacklevel=3,
    )
    return studies, model


def _is_graph(given: Any) -> bool:
    """Whether it is a model rather than studies: no name of a table has the signs of a graph."""
    return isinstance(given, Model) or (isinstance(given, str) and re.search(r"->|[;:{]", given) is not None)


def _read_sources(studies: Any, weight: str | None, spark: Any) -> list[Source]:
    if isinstance(studies, (list, tuple, Study, Studies)):
        if weight is not None:
            raise OptionError(
                given("weight", weight) + " is that of a table of several studies",
                remedy="give each Study its own",
                option="weight",
            )
        listed = list(studies) if isinstance(studies, (list, tuple)) else [studies]
        return [_with_session(s, spark) for s in read_studies(listed)]
    con = _session(spark) if isinstance(studies, str) else None
    return [Studies(studies, weight=weight, con=con)]


def _with_session(source: Source, spark: Any) -> Source:
    """A bare name is a table of the session."""
    if isinstance(source, Study) and source.kind == "named":
        return replace(source, con=_session(spark))
    return source


def _session(spark: Any, sources: Sequence[Source] = ()) -> Any:
    """The session given, or that of a source, or the active one. Raises OptionError."""
    from pyspark.sql import SparkSession

    own = [s for s in map(_session_of, sources) if s is not None]
    found = spark or (own[0] if own else SparkSession.getActiveSession())
    if not hasattr(found, "createDataFrame"):
        raise OptionError(
            f"there is no Spark session (found {found!r})",
            remedy="give one with spark=…, or create it before",
            option="spark",
        )
    return found


def _session_of(source: Source) -> Any:
    records = records_of(source)
    if records.kind != "spark":
        return None
    return records.con if records.con is not None else records.source.sparkSession
