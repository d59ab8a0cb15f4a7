"""The counting query in every dialect: golden files say how it reads, DuckDB, PostgreSQL and Spark that it is right.

A golden file has pairs: a study in JSON, as a comment, and its query. `python tests/study/test_warehouse_sql.py` writes
them anew from the studies in golden/duckdb.sql; then read the difference.
"""

import json
import math
import re
from pathlib import Path

import duckdb
import polars as pl
import pytest
import sqlglot
from polars.testing import assert_frame_equal

from duckemcc.errors import InvalidWeight, MissingColumn, OptionError, RepeatedName, SourceError, UnknownName
from duckemcc.model.scm import Model
from duckemcc.study.count.read import count_study
from duckemcc.study.count.warehouse_sql import DIALECTS, counts_sql
from duckemcc.study.study import Study

GOLDEN = Path(__file__).parent / "golden"
ODD = 'its "odd" `c` [d]'


def read_pairs(dialect):
    """(study as JSON, its SQL) of each pair."""
    text = (GOLDEN / f"{dialect}.sql").read_text(encoding="utf-8")
    return [
        (json.loads(said), sql.strip()) for said, sql in re.findall(r"^-- (\{[^\n]*\})\n(.*?)\n;$", text, re.M | re.S)
    ]


CASES = {said["case"]: said for said, _ in read_pairs("duckdb")}


def make(said, **changes):
    said = {**said, **changes}
    options = {k: v for k, v in said.items() if k in ("weight", "where", "columns", "unmeasured", "con", "do")}
    return Model.parse(said["model"]), Study(said["source"], name="trial", **options), said.get("by", ())


def write_case(said, dialect, **changes):
    model, study, by = make(said, **changes)
    return counts_sql(model, study, dialect=dialect, by=by)


def rows(seed=0, size=400):
    """Records with everything that the studies ask for."""
    n = pl.Series([0.1, 0.7, 3.0, 1e-3, 12345.678, 0.0])
    i = pl.int_range(size, eager=True)
    return pl.DataFrame(
        {
            "Gender": (i % 2).replace_strict({0: "female", 1: "it's male"}),
            "treatment": (i % 3 == 0),
            "Survival": (i // 5) % 2,
            "sex": (i % 5 == 0).replace_strict({True: "f", False: "m"}),
            ODD: (i % 7).replace_strict({k: "a\\b" if k == 3 else f"v{k % 2}" for k in range(7)}),
            "age": i % 90,
            "note": (i % 11).replace_strict({k: ["x\\y", "100%", "[z]", "É", "é", "xy"][k % 6] for k in range(11)}),
            "Region": (i % 4).replace_strict({0: "north", 1: "South", 2: None, 3: "east"}, return_dtype=pl.String),
            "W": n.gather(i % 6),
            "k": i % 9,
        }
    ).sample(fraction=1, shuffle=True, seed=seed)


def loaded(frame=None):
    con = duckdb.connect()
    con.register("frame", rows() if frame is None else frame)
    con.execute("CREATE SCHEMA clinic; CREATE TABLE clinic.trial AS FROM frame")
    return con


def run(sql, frame=None):
    """The result of a query, while its connection is open."""
    con = loaded(frame)
    return con.sql(sql).to_arrow_table()


def direct(said, frame=None):
    """Counted here, of the records themselves."""
    model, study, by = make(said, source="trial")
    con = loaded(frame)
    source = con.sql(said["source"] if "SELECT" in said["source"] else "FROM clinic.trial")
    options = {k: getattr(study, k) for k in ("weight", "where", "columns", "unmeasured")}
    return count_study(Study(source, **options), model.variables, name="trial", by=by).frame


def returned(said, counts):
    """Counted from the result of the query, with nothing to say but the weight."""
    model, study, by = make(said)
    study = Study(counts, weight="n", unmeasured=study.unmeasured)
    return count_study(study, model.variables, name="trial", by=by).frame


# -- how it reads ------------------------------------------------------------------------------


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_query_reads_as_in_the_golden_file(dialect):
    pairs = read_pairs(dialect)
    assert [said["case"] for said, _ in pairs] == list(CASES)
    for said, sql in pairs:
        assert write_case(said, dialect).split() == sql.split(), said["case"]


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("case", CASES)
def test_the_query_is_one_select_of_the_dialect_with_the_names_of_the_model(dialect, case):
    said = CASES[case]
    [tree] = sqlglot.parse(write_case(said, dialect), dialect=dialect)
    model, _, by = make(said)
    measured = [v for v in model.variables if v not in said.get("unmeasured", [])]
    assert isinstance(tree, sqlglot.exp.Select)
    assert [item.alias_or_name for item in tree.selects] == [*measured, *by, "n"]


# -- what it gives -----------------------------------------------------------------------------


@pytest.mark.parametrize("case", CASES)
def test_duckdb_gives_the_counts_of_the_records(case):
    [sql] = [sql for said, sql in read_pairs("duckdb") if said["case"] == case]
    counts = run(sql)
    assert_frame_equal(returned(CASES[case], counts), direct(CASES[case]))


@pytest.mark.parametrize("case", CASES)
def test_postgres_gives_the_counts_of_the_records(case, postgres):
    from adbc_driver_postgresql import dbapi

    [sql] = [sql for said, sql in read_pairs("postgres") if said["case"] == case]
    with dbapi.connect(postgres, autocommit=True) as con, con.cursor() as cursor:
        cursor.execute("CREATE SCHEMA clinic")
        cursor.adbc_ingest("trial", rows().to_arrow(), mode="create", db_schema_name="clinic")
        cursor.execute(sql)
        counts = cursor.fetch_arrow_table()
    assert_frame_equal(returned(CASES[case], counts), direct(CASES[case]))


@pytest.fixture(scope="module")
def spark():
    pyspark = pytest.importorskip("pyspark", reason="needs pyspark, of the extra duckemcc[spark]")
    builder = pyspark.sql.SparkSession.builder.master("local[1]")
    for key, value in {"driver.bindAddress": "127.0.0.1", "ui.enabled": False, "sql.shuffle.partitions": 2}.items():
        builder = builder.config(f"spark.{key}", value)
    try:
        session = builder.getOrCreate()
    except Exception as error:  # no Java, or one that is too old
        pytest.skip(f"Spark does not start: {type(error).__name__}")
    session.createDataFrame(rows().rows(), schema=_spark_schema(rows())).createOrReplaceTempView("trial")
    yield session
    session.stop()


def _spark_schema(frame):
    names = {pl.String: "string", pl.Boolean: "boolean", pl.Int64: "bigint", pl.Float64: "double"}
    return ", ".join(f"`{n.replace('`', '``')}` {names[t]}" for n, t in frame.schema.items())


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_spark_gives_the_counts_of_the_records(case, spark):
    [sql] = [sql for said, sql in read_pairs("spark") if said["case"] == case]
    found = spark.sql(sql.replace("clinic.trial", "trial"))
    counts = pl.DataFrame([tuple(row) for row in found.collect()], schema=found.columns, orient="row")
    assert_frame_equal(returned(CASES[case], counts), direct(CASES[case]), check_dtypes=False)


def test_float_weights_are_summed_exactly_in_any_order():
    said = CASES["weighted"]
    sums = [run(write_case(said, "duckdb") + " ORDER BY ALL", rows(seed)) for seed in range(3)]
    sums = [[tuple(row.values()) for row in table.to_pylist()] for table in sums]
    assert sums[0] == sums[1] == sums[2]
    exact = {}
    for row in rows().iter_rows(named=True):
        key = (row["Gender"], row["treatment"], row["Survival"])
        exact.setdefault(key, []).append(row["W"])
    assert {row[:3]: row[3] for row in sums[0]} == pytest.approx({k: math.fsum(v) for k, v in exact.items()}, rel=1e-15)


@pytest.mark.parametrize("weight", [None, -1.0, math.nan, math.inf, 1e-16, 1e16])
def test_a_weight_that_is_none_comes_back_as_an_error(weight):
    said = CASES["weighted"]
    frame = rows().with_columns(W=pl.when(pl.int_range(pl.len()) == 7).then(pl.lit(weight)).otherwise("W"))
    counts = run(write_case(said, "duckdb"), frame)
    with pytest.raises(InvalidWeight, match=r"study 'trial' has 1 record whose weight n is NULL, .* \(as NULL\)"):
        returned(said, counts)
    with pytest.raises(InvalidWeight, match="has 1 record whose weight W is NULL"):
        direct(said, frame)


def test_files_are_counted_where_duckdb_reads_them(tmp_path):
    model, want = Model.parse("Gender -> Survival"), direct(CASES["plain"]).group_by("Gender", "Survival")
    want = want.agg(pl.col("count").sum()).sort("Gender", "Survival")
    for path in (tmp_path / "it's.parquet", tmp_path / "a.csv"):
        rows().write_parquet(path) if path.suffix == ".parquet" else rows().write_csv(path)
        counts = duckdb.sql(counts_sql(model, Study(path))).to_arrow_table()
        assert_frame_equal(count_study(Study(counts, weight="n"), model.variables, name="t").frame, want)


def test_the_column_of_counts_can_have_another_name():
    sql = counts_sql(Model.parse("N -> X"), Study("t", columns={"N": "k"}), count="records")
    assert sqlglot.parse_one(sql, dialect="duckdb").selects[-1].alias == "records"


def test_a_shared_study_has_no_segment():
    sql = counts_sql(Model.parse("X -> Y"), Study("t", shared=True), by=["region"])
    assert "region" not in sql


# -- what is refused ---------------------------------------------------------------------------

MODEL = Model.parse("X -> Y")


@pytest.mark.parametrize(
    ("source", "options", "error", "message"),
    [
        ("t", {"dialect": "postgre"}, OptionError, r"dialect takes one of duckdb, .* found 'postgre'.*\['postgres'\]"),
        ("t", {"dialect": None}, OptionError, "dialect takes one of"),
        ("t", {"count": ""}, OptionError, "count takes the name of the column of counts; found ''"),
        ("t", {"count": "y"}, OptionError, "the name y is that of the counts and of Y; choose another by count="),
        ("t", {"by": "emcc_good"}, OptionError, "the name emcc_good begins as those that the query needs"),
        ("t", {"by": "X"}, OptionError, "by names X, which is the variable X of the model"),
        ("a b", {}, SourceError, "the source 'a b' is neither the name of a table nor one SELECT"),
        ("a; DROP TABLE b", {}, SourceError, "neither the name of a table nor one SELECT"),
        ("SELECT 1; DROP TABLE b", {}, SourceError, "it has 2 statements"),
        ("SELECT * INTO b FROM a", {"dialect": "postgres"}, SourceError, "it holds INTO, which is not allowed"),
        ("SELECT * FROM a FOR UPDATE", {"dialect": "postgres"}, SourceError, "it holds LOCK"),
        ("(SELECT * FROM a) LIMIT 1", {}, SourceError, "it is SUBQUERY, not SELECT"),
        ("WITH a", {}, SourceError, "nor one SELECT: Expecting"),
        ("read_csv('x')", {}, SourceError, "a name is bare or quoted"),
        ("SELECT " + "(" * 5000 + "1" + ")" * 5000, {}, SourceError, "nor one SELECT"),
    ],
)
def test_what_cannot_be_counted_by_sql_is_refused(source, options, error, message):
    with pytest.raises(error, match=message):
        counts_sql(MODEL, Study(source), **options)


def test_a_data_modifying_with_is_refused():
    with pytest.raises(SourceError, match="it holds DELETE, which is not allowed"):
        counts_sql(MODEL, Study("WITH d AS (DELETE FROM t RETURNING *) SELECT * FROM d"), dialect="postgres")


def test_sources_that_no_warehouse_has_are_refused():
    with pytest.raises(SourceError, match="a DataFrame cannot be counted by SQL elsewhere; give the name of a table"):
        counts_sql(MODEL, Study(pl.DataFrame({"X": [1]})))
    with pytest.raises(SourceError, match=r"the file 'x\.parquet' is read by DuckDB, not by snowflake"):
        counts_sql(MODEL, Study("x.parquet"), dialect="snowflake")


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"columns": {"Z": "z"}}, UnknownName, "has columns= for Z, which is no variable of the model"),
        ({"columns": {"X": "Y"}}, RepeatedName, "uses the column Y for X and Y"),
        ({"weight": "x"}, OptionError, "takes its weight from X, which is also the column of a variable"),
        ({"where": "pg_sleep(10)"}, OptionError, r"where='pg_sleep\(10\)' holds PG_SLEEP"),
        ({"do": "Z"}, UnknownName, "intervenes on Z"),
    ],
)
def test_options_are_checked_as_for_a_study_that_is_read(options, error, message):
    with pytest.raises(error, match=message):
        counts_sql(MODEL, Study("t", **options))


@pytest.mark.parametrize("dialect", ["postgres", "bigquery", "spark", "tsql"])
def test_a_pattern_that_the_dialect_would_read_in_its_own_way_is_refused(dialect):
    study = Study("t", where="X LIKE Y")
    with pytest.raises(OptionError, match=f"has LIKE with a pattern that is no text; {dialect} reads"):
        counts_sql(MODEL, study, dialect=dialect)
    assert "LIKE" in counts_sql(MODEL, study, dialect="duckdb")


def test_a_name_without_a_connection_is_only_written_about():
    with pytest.raises(
        SourceError, match=r"'shop\.trial' is the name of a table or a SELECT; give its connection with con="
    ):
        count_study(Study("shop.trial"), ["X"], name="t")


def test_a_returned_table_without_a_column_is_a_missing_column():
    with pytest.raises(MissingColumn, match="no column for the variable Gender"):
        returned(CASES["plain"], pl.DataFrame({"n": [1]}))


# -- writing the golden files ------------------------------------------------------------------

if __name__ == "__main__":
    for one in DIALECTS:
        blocks = [f"-- {json.dumps(said, ensure_ascii=False)}\n{write_case(said, one)}\n;\n" for said in CASES.values()]
        (GOLDEN / f"{one}.sql").write_text("\n".join(blocks), encoding="utf-8")
