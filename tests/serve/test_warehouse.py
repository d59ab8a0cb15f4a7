"""Both ways to a warehouse, a query that is pushed down and a hand-over of counts, give the bounds of the records."""

import duckdb
import polars as pl
import pytest
from polars.testing import assert_frame_equal

import duckemcc as emcc
from duckemcc.errors import OptionError, SourceError, UnknownModel

MODEL = "Gender -> Treatment -> Survival; Gender -> Survival; Treatment <-> Survival"
QUERIES = ["PNS(Treatment=drug, Survival=survived)", "PNS(Treatment=drug, Survival=survived | Gender=female)"]


@pytest.fixture
def con():
    """Table 1, a row per pattern, and the same as a row per record."""
    con = duckdb.connect()
    con.execute(emcc.read_sql("drug_trial"))
    for name in ("trial", "registry"):
        con.execute(f"CREATE TABLE {name}_records AS SELECT * EXCLUDE n FROM {name}, range(n::BIGINT)")
    return con


def answers(studies, by=()):
    return pl.from_arrow(emcc.bounds(MODEL, studies, QUERIES, by=by)).drop("version")


def handed_over(con, path, study, by=(), **options):
    """The study of the counts that a warehouse (here DuckDB) writes into a file."""
    sql = emcc.counts_sql(MODEL, study, by=by)
    con.execute(f"COPY ({sql}) TO '{path}'")
    return emcc.Study(path, weight="n", **options)


@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_counts_that_come_back_as_a_file_give_the_bounds_of_the_records(con, tmp_path, kind):
    direct = [
        emcc.Study("trial_records", con=con, do="Treatment", name="trial"),
        emcc.Study("registry", con=con, weight="n", name="registry"),
    ]
    returned = [
        handed_over(con, tmp_path / f"t.{kind}", emcc.Study("trial_records"), do="Treatment", name="trial"),
        handed_over(con, tmp_path / f"r.{kind}", emcc.Study("registry", weight="n"), name="registry"),
    ]
    assert_frame_equal(answers(returned), answers(direct), check_exact=True)


def test_segments_columns_and_conditions_are_said_once_in_the_query(con, tmp_path):
    con.execute(
        'CREATE TABLE logs AS SELECT Gender AS "sex", Treatment, Survival, r AS "Site" FROM registry, range(3) t(r)'
    )
    said = {"columns": {"Gender": "sex"}, "where": "Site <> 1"}
    returned = handed_over(con, tmp_path / "c.parquet", emcc.Study("logs", **said), by=["site"], name="logs")
    direct = emcc.Study("logs", con=con, name="logs", **said)
    assert_frame_equal(answers([returned], ["site"]), answers([direct], ["site"]), check_exact=True)
    assert answers([returned], ["site"])["site"].unique().to_list() == [0, 2]


def test_studies_in_postgres_give_the_bounds_of_the_same_studies_here(con, postgres):
    from adbc_driver_postgresql import dbapi

    with dbapi.connect(postgres, autocommit=True) as pg, pg.cursor() as cursor:
        for name in ("trial_records", "registry"):
            cursor.adbc_ingest(name, con.table(name).to_arrow_table(), mode="create")
        studies = [
            ("trial_records", {"do": "Treatment", "name": "trial"}),
            ("registry", {"weight": "n", "name": "registry"}),
        ]
        there = answers([emcc.Study(source, con=pg, **options) for source, options in studies])
        address = answers([emcc.Study(f"SELECT * FROM {s}", con=postgres, **options) for s, options in studies])
    here = answers([emcc.Study(source, con=con, **options) for source, options in studies])
    assert_frame_equal(there, here, check_exact=True)
    assert_frame_equal(address, here, check_exact=True)


def test_a_result_is_written_to_postgres_as_it_is(con, postgres):
    from adbc_driver_postgresql import dbapi

    from duckemcc.study.count.remote import write_table

    table = emcc.bounds(MODEL, emcc.Study("registry", con=con, weight="n"), QUERIES)
    write_table(postgres, "bounds", table)
    with dbapi.connect(postgres) as pg, pg.cursor() as cursor:
        cursor.execute("SELECT * FROM bounds")
        assert_frame_equal(pl.from_arrow(cursor.fetch_arrow_table()), pl.from_arrow(table), check_dtypes=False)


def test_the_model_may_be_text_or_a_model_and_the_study_a_name():
    text = emcc.counts_sql("X -> Y", "clinic.trial")
    assert text == emcc.counts_sql(emcc.Model.parse("X -> Y"), emcc.Study("clinic.trial"))
    assert "clinic.trial" in text


def test_what_is_not_one_study_is_refused():
    for studies in (["a", "b"], emcc.Studies("a")):
        with pytest.raises(OptionError, match="counts_sql takes one Study; call it for each"):
            emcc.counts_sql("X -> Y", studies)
    with pytest.raises(OptionError, match="lower"):
        emcc.counts_sql("X -> Y", "t", by=["lower"])
    with pytest.raises(UnknownModel):
        emcc.counts_sql("drug", "t")
    with pytest.raises(SourceError, match="'t' is the name of a table or a SELECT; give its connection"):
        emcc.bounds("X -> Y", "t", "P(Y=1)")
