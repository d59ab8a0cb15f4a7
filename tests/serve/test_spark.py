"""Spark gives the answers of the local run on the same records, to the last digit, and its errors."""

from __future__ import annotations

import pickle
import runpy
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa
import pytest

import duckemcc as emcc
import duckemcc.spark
from duckemcc.answer.api import read_queries
from duckemcc.answer.options import Options
from duckemcc.errors import (
    EmptyStudy,
    InvalidWeight,
    MissingColumn,
    NotSupported,
    NullValue,
    OptionError,
    RepeatedName,
    SourceError,
    StudyError,
    Timeout,
    UnknownName,
    UnknownState,
    UnsupportedColumn,
)
from duckemcc.serve.spark.task import Bounds, Task
from duckemcc.study.count.read import count_study
from duckemcc.study.count.relation import Studies
from duckemcc.study.dialect import check_filter, filter_text, fitted

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "spark_segments.py"
GRAPH = "X -> M; M -> Y; X <-> Y"
QUERIES = ["PNS(X=b, Y=true)", "P(Y[X=b]=true | X=a)"]
CHEAP = {"restarts": 5, "incompatible": "report"}


def records(segments=6, holes=False):
    """Two studies with X set by design in one; three columns of segments, one with NULLs; study t lacks a segment."""
    rng = np.random.default_rng(3)
    rows = [
        (
            None if s == 2 else f"r{s % 3}",
            s,
            date(2026, 1, 1 + s // 2),
            "ab"[p & 1],
            None if holes and s % 2 and p == 5 else p >> 1 & 1,
            bool(p >> 2 & 1),
            study,
            ["X"] if study == "t" else [None, []][s % 2],
            float(rng.integers(0, 90)) / 10,
        )
        for s in range(segments)
        for study in "ot"
        for p in range(8)
        if (s, study) != (1, "t")
    ]
    names = ["region", "number", "day", "X", "M", "Y", "study", "intervened", "w"]
    return pl.DataFrame(rows, schema=names, orient="row", schema_overrides={"intervened": pl.List(pl.String)})


def parts(frame):
    """The two studies of `records` by themselves."""
    return [frame.filter(pl.col("study") == s).drop("study", "intervened") for s in "ot"]


def rows(table, by=()):
    """In an order of their own, as Spark has none."""
    found = (table if isinstance(table, pa.Table) else table.toArrow()).to_pylist()
    last = "query" if "query" in found[0] else "study"
    return sorted(found, key=lambda row: [(row[c] is None, str(row[c])) for c in (*by, last)])


# -- the same answers --------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["sharp", "emcc"])
def test_segments_of_a_relation_are_those_of_the_local_run_and_keep_their_types(to_spark, method):
    by = ["region", "Number", "day"]
    frame = records()
    small = frame.with_columns(pl.col("number").cast(pl.Int16))
    found = duckemcc.spark.bounds(GRAPH, to_spark(small), QUERIES, by=by, weight="w", method=method, **CHEAP)
    local = emcc.bounds(GRAPH, Studies(frame, weight="w"), QUERIES, by=by, method=method, **CHEAP)
    assert rows(found, by) == rows(local, by)
    assert len(rows(found, by)) == 12
    assert [(f.name, f.dataType.simpleString()) for f in found.schema][:4] == [
        ("region", "string"),
        ("Number", "smallint"),
        ("day", "date"),
        ("query", "string"),
    ]
    assert found.columns == local.column_names


def test_a_view_is_asked_by_its_name_and_without_segments(spark, to_spark):
    frame = records()
    to_spark(frame).createOrReplaceTempView("my_studies")
    found = duckemcc.spark.bounds(GRAPH, "`my_studies`", QUERIES, weight="w", spark=spark, **CHEAP)
    local = emcc.bounds(GRAPH, Studies(frame, weight="w"), QUERIES, **CHEAP)
    assert found.toArrow().to_pylist() == local.to_pylist()
    assert found.columns == local.column_names


def test_studies_of_their_own_with_all_they_can_say(spark, to_spark):
    observed, trial = parts(records())
    observed, known = observed.rename({"M": "em m."}), trial.drop("region", "number", "day")
    to_spark(trial).createOrReplaceTempView("trial")
    by, where = ["day"], "number < 5 AND region NOT LIKE 'r\\_'"

    def studies(observed, trial, **con):
        return [
            emcc.Study(observed, weight="w", where=where, columns={"M": "em m."}, local="U_X_Y"),
            emcc.Study(trial, weight="W", do="x", name="trial", **con),
            emcc.Study(known, unmeasured="M", shared=True, name="known"),
        ]

    options = {"by": by, "population": "study 1"} | CHEAP
    local = emcc.bounds(GRAPH, studies(observed, trial), QUERIES, **options)
    for given in ({"con": spark}, {}):
        found = duckemcc.spark.bounds(GRAPH, studies(to_spark(observed), "trial", **given), QUERIES, **options)
        assert rows(found, by) == rows(local, by)


@pytest.mark.parametrize("nulls", ["mar", "mcar", "drop"])
def test_values_that_were_not_recorded(to_spark, nulls):
    frame, options = records(holes=True), {"by": "number", "nulls": nulls} | CHEAP
    found = duckemcc.spark.bounds(GRAPH, to_spark(frame), QUERIES, weight="w", **options)
    local = emcc.bounds(GRAPH, Studies(frame, weight="w"), QUERIES, **options)
    assert rows(found, ["number"]) == rows(local, ["number"])


@pytest.mark.parametrize("nulls", ["mar", "drop"])
def test_a_segment_without_a_record_that_counts_has_its_row(to_spark, nulls):
    light, lost = pl.col("number") == 1, (pl.col("number") == 2) & (nulls == "drop")
    frame = records().with_columns(w=pl.when(light).then(0.0).otherwise("w"), M=pl.when(lost).then(None).otherwise("M"))
    options = {"by": "number", "nulls": nulls, **CHEAP}
    found = rows(duckemcc.spark.bounds(GRAPH, to_spark(frame), QUERIES, weight="w", **options), ["number"])
    local = rows(emcc.bounds(GRAPH, Studies(frame, weight="w"), QUERIES, **options), ["number"])
    assert found == local
    assert {row["number"] for row in found if row["status"] == "no_data"} == ({1, 2} if nulls == "drop" else {1})
    report = duckemcc.spark.compatibility(GRAPH, to_spark(frame), weight="w", by="number", nulls=nulls)
    local_report = emcc.compatibility(GRAPH, Studies(frame, weight="w"), by="number", nulls=nulls)
    assert rows(report, ["number"]) == rows(local_report, ["number"])


def test_dropped_records_must_be_known_in_every_segment(to_spark):
    kept = pl.DataFrame({"g": [1, 1, 2, 2], "X": [0, 1, 0, 1], "Y": [1, 1, 1, 1], "n": [30, 40, 20, 50]})
    dropped = pl.DataFrame({"g": [1, 2], "X": [None, None], "Y": [None, None], "n": [25, 35]}, schema=kept.schema)
    model, query, rule = "X {0, 1}; Y {0, 1}; X -> Y", "P(Y[X=1]=1)", {"weight": "n", "selected": "Y = 1"}
    both = pl.concat([kept, dropped])
    found = duckemcc.spark.bounds(model, [emcc.Study(to_spark(both), **rule)], query, by="g")
    assert rows(found, ["g"]) == rows(emcc.bounds(model, emcc.Study(both, **rule), query, by="g"), ["g"])
    lacking = both.filter((pl.col("g") == 1) | pl.col("X").is_not_null())
    with pytest.raises(StudyError, match="does not say how many records were dropped where g = 2"):
        duckemcc.spark.bounds(model, [emcc.Study(to_spark(lacking), **rule)], query, by="g")


def test_compatibility_and_the_counts_behind_it(to_spark):
    frame, by = records(), ["number"]
    local = emcc.compatibility(GRAPH, Studies(frame, weight="w"), by=by)
    assert rows(duckemcc.spark.compatibility(GRAPH, to_spark(frame), by=by, weight="w"), by) == rows(local, by)
    counted = duckemcc.spark.counts(GRAPH, to_spark(frame), by=by, weight="w")
    assert counted.columns == ["number", "study", "intervened", "X", "M", "Y", "count"]
    again = Studies(pl.from_arrow(counted.toArrow()), weight="count")
    assert rows(emcc.bounds(GRAPH, again, QUERIES, by=by, **CHEAP), by) == rows(
        emcc.bounds(GRAPH, Studies(frame, weight="w"), QUERIES, by=by, **CHEAP), by
    )


def test_every_kind_of_value_has_the_label_that_it_has_locally(to_spark):
    kinds = {
        "whole": [1, -2, 2**40, None],
        "floating": [1.0, -0.0, 3.0, None],
        "exact": [Decimal("1.00"), Decimal("-20.00"), Decimal("300.00"), None],
        "truth": [True, False, True, None],
        "text": ["a", "A", " a", None],
        "nothing": pl.Series([None] * 4, dtype=pl.Null),
    }
    frame, names = pl.DataFrame(kinds), list(kinds)
    model = emcc.Model.parse("nothing {0, 1}; " + " -> ".join(names))
    local = count_study(emcc.Study(frame), names, name="s").frame
    counted = duckemcc.spark.counts(model, [emcc.Study(to_spark(frame).withColumn("g", _lit(7)), name="s")], by="g")
    found = pl.from_arrow(counted.toArrow()).select(*names, "count").sort(names)
    assert found.equals(local)


def _lit(value):
    from pyspark.sql import functions

    return functions.lit(value)


@pytest.mark.parametrize("kind", [pl.Float64, pl.Float32, pl.Int64, pl.Decimal(12, 3)], ids=str)
def test_totals_of_weights_depend_neither_on_partitions_nor_on_the_engine(to_spark, kind):
    rng = np.random.default_rng(0)
    weights = np.exp(rng.normal(0, 9, 500)) if kind == pl.Float64 else rng.integers(0, 1e9, 500) / 1000
    scale = 10**6 if kind == pl.Int64 else 1
    frame = pl.DataFrame({"X": rng.integers(0, 2, 500), "w": pl.Series(weights * scale).round(3).cast(kind)})
    local = count_study(emcc.Study(frame, weight="w"), ["X"], name="s").frame
    for source in (to_spark(frame).repartition(1), to_spark(frame.reverse()).repartition(5)):
        assert count_study(emcc.Study(source, weight="w"), ["X"], name="s").frame.equals(local)


# -- conditions --------------------------------------------------------------------------------

VALUES = pl.DataFrame(
    {
        "i": [1, 0, None, 2**31 - 1],
        "f": [0.5, -1.5, float("nan"), None],
        "g": [0.1, 0.2, 0.3, None],
        "d": [Decimal("0.10"), Decimal("2.50"), None, Decimal("-7.00")],
        "s": ["a_b", "a%B\\", "7", None],
        "n": ["10", "9", "-1", None],
        "b": [True, False, None, True],
        "t": [date(2026, 1, 1), date(2025, 12, 31), None, date(2026, 1, 2)],
        "m": [datetime(2026, 1, 1, 12), datetime(2026, 1, 1), None, datetime(2027, 1, 1)],
    },
    schema_overrides={"i": pl.Int32, "g": pl.Float32},
)
CONDITIONS = [
    "g > 0.1",
    "g BETWEEN 0.1 AND 0.2",
    "g IN (0.1, 0.2) OR abs(g) = 0.3",
    "g IN (0.1, 1e2)",
    "g NOT IN (0.1, 1e2)",
    "g >= 1e-1 OR coalesce(g, 0.1) = 1e-1",
    "coalesce(g, 0) * 2 <= 0.2",
    "i = 1 OR f < 0 AND NOT b",
    "i * 2 > i + 2147483647",
    "i - 1 < 0",
    "1 / i > 5",
    "f / 0 > 1e300",
    "i % 0 = 1",
    "-7 % 2 = -1 AND b",
    "abs(f) >= 0.5",
    "d = 0.1 OR d * 2 = 5",
    "s LIKE 'a_b'",
    "s LIKE '%\\'",
    "s LIKE 'a\\_b'",
    "s ILIKE 'A%b%'",
    "lower(s) IN ('a_b', 'x')",
    "i IN (1, 7) OR i IN (2147483647, NULL)",
    "i NOT IN (1, 2)",
    "n IN ('9', '10')",
    "n NOT BETWEEN '0' AND '9'",
    "s NOT LIKE 'a%'",
    "i = '1'",
    "i IS NULL OR f IS NOT NULL",
    "coalesce(i, 5) * 2 = 10",
    "CAST(n AS DOUBLE) + 1 = 0",
    "CAST(i AS VARCHAR) = '1'",
    "t >= '2026-01-01'",
    "t < DATE '2026-01-01'",
    "m > t",
    "m BETWEEN '2026-01-01' AND '2026-06-01 00:00:00'",
    "b = true OR b IS NULL",
    "f > 1e3",
    "i < 99999999999999999999",
    "1 / -(f * 0) < 0",
    "i / -(i * 0) > 0",
    "-1 / -(i * 0) > 5",
]


@pytest.mark.parametrize("ansi", ["true", "false"])
def test_a_condition_means_in_spark_what_it_means_in_duckdb(spark, to_spark, ansi):
    from pyspark.sql import functions

    from duckemcc.study.count.spark_filter import filter_column

    source = to_spark(VALUES)
    columns, types = {c: functions.col(c) for c in source.columns}, dict(source.dtypes)
    kinds = {name: str(kind) for name, kind in VALUES.schema.items()}
    trees = [fitted("the records", text, check_filter(text, VALUES.columns), kinds) for text in CONDITIONS]
    con = duckdb.connect()
    relation = con.from_arrow(VALUES.to_arrow(compat_level=pl.CompatLevel.oldest()))
    asked = ", ".join(f"({filter_text(tree, {'i'})}) AS c{i}" for i, tree in enumerate(trees))
    expected = relation.project(asked).fetchall()
    before = spark.conf.get("spark.sql.ansi.enabled")
    spark.conf.set("spark.sql.ansi.enabled", ansi)
    try:
        made = source.select(*(filter_column(t, columns, types).alias(f"c{i}") for i, t in enumerate(trees)))
        found = [tuple(row) for row in made.collect()]
        with pytest.raises(OptionError, match="'one' beside i"):
            count_study(emcc.Study(source, where="i = 'one'"), ["b"], name="s")
        for wrong in ("CAST(s AS DOUBLE) > 5", "CAST(s AS DATE) > t"):
            with pytest.raises(SourceError, match=r"study 's' cannot be read with where=.*is no (double|date|int)"):
                count_study(emcc.Study(source, where=wrong), ["b"], name="s")
        with pytest.raises(OptionError, match="text n beside the number 5; say CAST"):
            count_study(emcc.Study(source, where="n > 5"), ["b"], name="s")
    finally:
        spark.conf.set("spark.sql.ansi.enabled", before)
    for place, text in enumerate(CONDITIONS):
        assert [row[place] for row in found] == [row[place] for row in expected], text


# -- the same errors ---------------------------------------------------------------------------

FRAME = records(2)


@pytest.mark.parametrize(
    ("error", "model", "study", "frame"),
    [
        (MissingColumn, "X -> Z", {}, FRAME),
        (UnknownName, GRAPH, {"do": "Z"}, FRAME),
        (UnknownName, GRAPH, {"local": "U_Z"}, FRAME),
        (OptionError, GRAPH, {"where": "number > (SELECT 1)"}, FRAME),
        (MissingColumn, GRAPH, {"where": "Day_ > 1"}, FRAME),
        (EmptyStudy, GRAPH, {"where": "number > 9"}, FRAME),
        (UnknownState, "X {a, c}; X -> M; M -> Y", {}, FRAME),
        (UnsupportedColumn, GRAPH, {"columns": {"M": "w"}}, FRAME),
        (UnsupportedColumn, GRAPH, {"columns": {"M": "day"}}, FRAME),
        (InvalidWeight, GRAPH, {"weight": "w"}, FRAME.with_columns(w=pl.when(pl.col("M") == 1).then("w"))),
        (UnsupportedColumn, GRAPH, {"weight": "region"}, FRAME),
        (NullValue, GRAPH, {"do": "M"}, FRAME.with_columns(M=pl.when(pl.col("Y")).then("M"))),
        (StudyError, GRAPH, {"selected": "Y"}, FRAME),
        (RepeatedName, GRAPH, {}, FRAME.with_columns(m=pl.lit(1))),
    ],
    ids=lambda given: getattr(given, "__name__", None),
)
def test_what_is_wrong_is_said_as_it_is_said_locally(to_spark, error, model, study, frame):
    with pytest.raises(error) as local:
        emcc.bounds(model, emcc.Study(frame, name="s", **study), QUERIES[0], by="number")
    source = _renamed(to_spark, frame)
    with pytest.raises(error) as found:
        duckemcc.spark.bounds(model, [emcc.Study(source, name="s", **study)], QUERIES[0], by="number")
    assert str(found.value) == str(local.value)


def _renamed(to_spark, frame):
    """Spark makes no frame of names that differ by case from Arrow, but has them."""
    return to_spark(frame.rename({c: f"c{i}" for i, c in enumerate(frame.columns)})).toDF(*frame.columns)


@pytest.mark.parametrize(
    ("error", "message", "ask"),
    [
        (OptionError, "weight='w' is that of a table", lambda f, s: {"studies": [f], "weight": "w"}),
        (OptionError, "partitions is 0; it takes", lambda f, s: {"studies": f, "partitions": 0}),
        (OptionError, "there is no option 'tests'", lambda f, s: {"studies": f, "tests": 3}),
        (OptionError, "by names the column 'status'", lambda f, s: {"studies": f, "by": "status"}),
        (MissingColumn, "the segment place", lambda f, s: {"studies": f, "by": "place"}),
        (OptionError, "all studies are shared", lambda f, s: {"studies": [emcc.Study(f, shared=True)]}),
        (OptionError, "population is 'z'", lambda f, s: {"studies": f, "population": "z"}),
        (SourceError, "is not in Spark, and has segments", lambda f, s: {"studies": [emcc.Study(FRAME)]}),
        (SourceError, "cannot be read: .TABLE_OR_VIEW_NOT_FOUND", lambda f, s: {"studies": "nowhere", "spark": s}),
        (SourceError, "a int is no source", lambda f, s: {"studies": 3}),
        (OptionError, "there is no Spark session", lambda f, s: {"studies": "nowhere", "spark": 3}),
        (OptionError, "studies is an empty list", lambda f, s: {"studies": []}),
    ],
    ids=lambda given: given if isinstance(given, str) else None,
)
def test_what_only_spark_can_get_wrong(spark, to_spark, error, message, ask):
    with pytest.raises(error, match=message):
        duckemcc.spark.bounds(**{"model": GRAPH, "queries": QUERIES, "by": "number"} | ask(to_spark(FRAME), spark))


def test_segments_of_different_types_are_refused(to_spark):
    observed, trial = parts(FRAME)
    studies = [to_spark(observed), to_spark(trial.with_columns(pl.col("number").cast(pl.String)))]
    with pytest.raises(StudyError, match="segments by number are of different types"):
        duckemcc.spark.bounds(GRAPH, studies, QUERIES, by="number")


def test_counts_need_their_names_for_themselves(to_spark):
    with pytest.raises(RepeatedName, match="count"):
        duckemcc.spark.counts("count -> Y", to_spark(FRAME))


def test_counting_in_spark_is_stopped(to_spark, monkeypatch):
    from duckemcc.answer import options

    monkeypatch.setattr(options, "COUNTING", 0.0)  # no patience here
    source = to_spark(FRAME)
    with pytest.raises(Timeout, match="max_seconds"):  # which segments there are is not known
        duckemcc.spark.bounds(GRAPH, source, QUERIES, by="number", max_seconds=0.0)
    late = rows(duckemcc.spark.bounds(GRAPH, source, QUERIES, max_seconds=0.0), ["query"])
    assert [row["status"] for row in late] == ["timeout"] * 2
    assert source.count() == len(FRAME)


def test_a_task_that_takes_too_long_says_so_in_its_rows(to_spark, monkeypatch):
    from duckemcc.answer import options

    monkeypatch.setattr(options, "COUNTING", 1e9)  # where the driver is, not in the tasks
    source = to_spark(FRAME)
    late = rows(duckemcc.spark.bounds(GRAPH, source, QUERIES, by="number", max_seconds=0.0), ["number"])
    assert [row["status"] for row in late] == ["timeout"] * 4
    report = duckemcc.spark.compatibility(GRAPH, source, by="number", max_seconds=0.0)
    assert [(row["number"], row["message"][:7], row["compatible"]) for row in rows(report, ["number"])] == [
        (0, "stopped", None),
        (1, "stopped", None),
    ]


def test_the_example_runs(spark, capsys):
    runpy.run_path(str(EXAMPLE))
    assert "same as the local run: True" in capsys.readouterr().out


@pytest.mark.parametrize("model", [GRAPH, emcc.Model.parse(GRAPH)], ids=["text", "model"])
def test_the_order_of_version_0_1_is_taken_with_a_warning(spark, to_spark, model):
    frame = records()
    to_spark(frame).createOrReplaceTempView("ordered")
    with pytest.warns(DeprecationWarning, match="model, studies"):
        old = duckemcc.spark.compatibility(to_spark(frame), model, weight="w", **CHEAP)
    with pytest.warns(DeprecationWarning, match="model, studies"):
        named = duckemcc.spark.compatibility("ordered", model, weight="w", **CHEAP)
    new = duckemcc.spark.compatibility(model, to_spark(frame), weight="w", **CHEAP)
    assert old.toArrow().to_pylist() == named.toArrow().to_pylist() == new.toArrow().to_pylist()


# -- what needs no Spark -----------------------------------------------------------------------


def test_without_pyspark_the_way_to_install_it_is_said(monkeypatch):
    monkeypatch.setattr("duckemcc.serve.spark.api.find_spec", lambda name: None)
    with pytest.raises(NotSupported, match=r"pip install 'duckemcc\[spark\]'"):
        duckemcc.spark.bounds(GRAPH, "studies", QUERIES)


def task_of(frame):
    model = emcc.Model.parse(GRAPH).with_states({"X": ("a", "b"), "M": ("0", "1"), "Y": ("false", "true")})
    tables = [
        count_study(emcc.Study(part, weight="w", do=do, name=name), model.variables, name=name)
        for part, do, name in zip(parts(frame), ((), "X"), "ot", strict=True)
    ]
    work = Bounds(tuple(read_queries(QUERIES)))
    return Task(model, tuple(tables), {"o": 0, "t": 1}, ("number",), Options(**CHEAP), work)


def sent(frame):
    """What Spark sends to a task."""
    labels = [pl.col(v).cast(pl.String).alias(f"emcc_v{i}") for i, v in enumerate(("X", "M", "Y"))]
    named = frame.select(
        *labels, pl.col("study").alias("emcc_key"), pl.col("number").alias("emcc_b0"), pl.col("w").alias("emcc_count")
    ).filter(pl.col("emcc_count") > 0)
    return named.to_arrow(compat_level=pl.CompatLevel.oldest())


def test_what_is_sent_to_a_task_comes_back_from_the_pickle_and_answers_the_same():
    frame = records(3)
    task = task_of(frame)
    (first,) = task(sent(frame).to_batches())
    (again,) = pickle.loads(pickle.dumps(task))(sent(frame).to_batches())
    assert first.equals(again)
    assert pickle.loads(pickle.dumps(task)).model == task.model


def test_a_task_answers_a_segment_as_all_together_whatever_else_it_has():
    frame = records(5)
    local = emcc.bounds(GRAPH, Studies(frame, weight="w"), QUERIES, by="number", **CHEAP).to_pylist()
    task, mixed = task_of(frame), frame.sample(fraction=1, shuffle=True, seed=1)
    for some in ([0], [1], [4, 2], [3, 1, 0]):
        (found,) = task(sent(mixed.filter(pl.col("number").is_in(some))).to_batches(max_chunksize=3))
        expected = [row for row in local if row["number"] in some]
        assert sorted(found.to_pylist(), key=lambda row: (row["number"], QUERIES.index(row["query"]))) == expected
    assert list(task([])) == []


def test_counts_that_changed_on_their_way_are_no_answer():
    task, frame = task_of(records(2).filter(pl.col("M") == 0)), records(2)
    with pytest.raises(StudyError, match="study 'o' has patterns that it did not have before"):
        list(task(sent(frame).to_batches()))
