"""SQL answers are those of Python, in the same columns and types."""

from __future__ import annotations

import duckdb
import pytest

import duckemcc as emcc
from duckemcc.answer.schema import COLUMNS, SQL_TYPES, STUDY_COLUMNS

WITHOUT = "Treatment -> Survival; Treatment <-> Survival"
WITH = "Gender -> Treatment -> Survival; Gender -> Survival; Treatment <-> Survival"
PNS = "PNS(Treatment=drug, Survival=survived)"
ASKED = [PNS, "ACE(Treatment=drug, Survival=survived)", "P(Survival=survived)"]
RESULT = {name: SQL_TYPES[kind] for name, kind in COLUMNS.items()}


@pytest.fixture(scope="module")
def drug():
    """Table 1 of the paper: `studies`, `registry` (O) and `trial` (I); `regional` has two regions, one NULL."""
    con = duckdb.connect()
    emcc.register(con)
    con.execute(emcc.read_sql("drug_trial")).fetchall()
    con.execute(
        "CREATE TABLE regional AS SELECT *, DATE '2026-01-01' + r::INT AS day, [NULL, 'north'][1 + r::INT] AS region "
        "FROM studies, range(2) t(r) WHERE r = 0 OR Survival = 'survived' OR n > 500"
    ).fetchall()
    return con


def study(con, name):
    """The Python study of one of the relations."""
    return emcc.Study(con.table(name), weight="n", name=name, do=["Treatment"] if name == "trial" else ())


def both(con, table="studies"):
    parts = {"registry": (), "trial": ("Treatment",)}
    return [
        emcc.Study(con.sql(f"FROM {table} WHERE study = '{k}'"), do=do, weight="n", name=k) for k, do in parts.items()
    ]


def rows(con, sql, given=None):
    """As dictionaries."""
    found = con.execute(sql, given)
    names = [column[0] for column in found.description]
    return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


def types(con, sql):
    relation = con.sql(sql)
    return dict(zip(relation.columns, map(str, relation.types), strict=True))


# -- the result --------------------------------------------------------------------------------


def test_the_columns_are_those_of_the_result_in_their_order(drug):
    found = types(drug, f"FROM emcc_bounds('{WITHOUT}', '{PNS}', 'studies', weight := 'n')")
    assert list(found.items()) == list(RESULT.items())


def test_the_segments_columns_come_first_in_their_own_types(drug):
    found = types(drug, f"FROM emcc_bounds_by('{WITHOUT}', '{PNS}', 'regional', ['day', 'Region'], weight := 'n')")
    assert list(found.items()) == [("day", "DATE"), ("Region", "VARCHAR"), *RESULT.items()]


def test_the_report_has_its_own_columns(drug):
    found = types(drug, f"FROM emcc_compatibility('{WITHOUT}', 'studies', weight := 'n')")
    assert list(found.items()) == [(name, SQL_TYPES[kind]) for name, kind in STUDY_COLUMNS.items()]


# -- the same as in Python ---------------------------------------------------------------------


@pytest.mark.parametrize("graph", [WITHOUT, WITH])
@pytest.mark.parametrize("data", ["registry", "trial", "studies"])
def test_bounds_equal_those_of_python(drug, graph, data):
    found = rows(drug, "FROM emcc_bounds(?, ?, ?, weight := 'n')", [graph, ASKED, data])
    studies = both(drug) if data == "studies" else study(drug, data)
    assert found == emcc.bounds(graph, studies, ASKED).to_pylist()


@pytest.mark.parametrize("by", [["region"], ["region", "day"], ["day"]])
def test_bounds_by_segments_equal_those_of_python(drug, by):
    sql = "FROM emcc_bounds_by(?, ?, 'regional', ?, weight := 'n')"
    found = rows(drug, sql, [WITHOUT, ASKED[:2], by if len(by) > 1 else by[0]])
    assert found == emcc.bounds(WITHOUT, both(drug, "regional"), ASKED[:2], by=by).to_pylist()
    assert len({tuple(row[b] for b in by) for row in found}) == 2


def test_segments_come_back_in_order_and_with_their_own_answers(drug):
    sql = f"SELECT Gender, lower, n FROM emcc_bounds_by('{WITHOUT}', ['{PNS}'], 'studies', 'Gender', weight := 'n')"
    female, male = drug.execute(sql).fetchall()
    assert (female[0], female[2], male[0], male[2]) == ("female", 4000, "male", 4000)
    assert (female[1], male[1]) == pytest.approx((0.279, 0.49), abs=1e-3)


def test_the_compatibility_report_equals_that_of_python(drug):
    for data, studies in (("registry", study(drug, "registry")), ("studies", both(drug))):
        found = rows(drug, f"FROM emcc_compatibility('{WITHOUT}', '{data}', weight := 'n')")
        assert found == emcc.compatibility(WITHOUT, studies).to_pylist()


def test_studies_may_stand_for_segments(drug):
    sql = f"SELECT study, n, studies FROM emcc_bounds_by('{WITHOUT}', '{PNS}', 'studies', 'study', weight := 'n')"
    assert drug.execute(sql).fetchall() == [("registry", 4000, ["registry"]), ("trial", 4000, ["trial"])]


# -- options -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sql", "python"),
    [
        ("restarts := 3, seed := 7", {"restarts": 3, "seed": 7}),
        ("restarts := 3.0, level := 0.05, tolerance := 0.2::DOUBLE", {"restarts": 3, "level": 0.05, "tolerance": 0.2}),
        ("start := 'stick', restarts := 3", {"start": "stick", "restarts": 3}),
        ("method := 'emcc', restarts := 3", {"method": "emcc", "restarts": 3}),
        ("accelerate := false, max_steps := 4, restarts := 3", {"accelerate": False, "max_steps": 4, "restarts": 3}),
        ("level := NULL, restarts := 3", {"level": None, "restarts": 3}),
        ("gap := 1e-3, restarts := 3", {"gap": 1e-3, "restarts": 3}),
        ("gap := NULL, start := NULL, restarts := NULL, seed := NULL", {}),
        ("max_seconds := 0", {"max_seconds": 0}),
        ("max_seconds := 0.0", {"max_seconds": 0.0}),
    ],
)
def test_options_are_named_arguments(drug, sql, python):
    found = rows(drug, f"FROM emcc_bounds('{WITHOUT}', '{PNS}', 'studies', weight := 'n', {sql})")
    assert found == emcc.bounds(WITHOUT, both(drug), PNS, **python).to_pylist()


CONTRADICTING = """SELECT * REPLACE (CASE WHEN study = 'trial' AND Treatment = 'drug' THEN
    CASE WHEN Survival = 'dead' THEN 990 ELSE 10 END ELSE n END AS n) FROM studies"""


def test_incompatible_data_have_null_bounds_or_are_reported(drug):
    asked = f"WITH bad AS ({CONTRADICTING}) FROM emcc_bounds('{WITHOUT}', '{PNS}', 'bad', weight := 'n'"
    (null,), (told,) = rows(drug, f"{asked})"), rows(drug, f"{asked}, incompatible := 'report')")
    assert (null["status"], null["lower"], told["status"]) == ("incompatible", None, "incompatible")
    assert 0 <= told["lower"] <= told["upper"] <= 1
    assert null["fault"] is not None
    together, *arms = rows(
        drug, f"WITH bad AS ({CONTRADICTING}) FROM emcc_compatibility('{WITHOUT}', 'bad', weight := 'n')"
    )
    assert (together["study"], together["compatible"]) == (None, False)
    assert {arm["compatible"] for arm in arms} == {True}


def test_records_with_a_null_may_be_dropped(drug):
    holes = (
        "WITH holes AS (FROM studies UNION ALL BY NAME SELECT 'trial' AS study, ['Treatment'] AS intervened, 1 AS n)"
    )
    sql = f"{holes} FROM emcc_bounds('{WITHOUT}', '{PNS}', 'holes', weight := 'n', nulls := 'drop')"
    assert rows(drug, sql) == rows(drug, f"FROM emcc_bounds('{WITHOUT}', '{PNS}', 'studies', weight := 'n')")
