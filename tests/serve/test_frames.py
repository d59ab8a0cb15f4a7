"""`frame.emcc` and all the sources: the same records give the same answers, whatever holds them and whoever asks."""

from __future__ import annotations

import datetime as dt

import duckdb
import polars as pl
import pyarrow as pa
import pytest
from polars.testing import assert_frame_equal

import duckemcc as emcc
from duckemcc.answer.schema import COLUMNS, STUDY_COLUMNS
from duckemcc.errors import EmptyStudy, MissingColumn, OptionError, RepeatedName, StudyError

MODEL = "Gender -> Treatment -> Survival; Gender -> Survival; Treatment <-> Survival"
PNS = "PNS(Treatment=drug, Survival=survived)"
QUERIES = [PNS, "PNS(Treatment=drug, Survival=survived | Gender=female)"]


def table_1():
    con = duckdb.connect()
    con.execute(emcc.read_sql("drug_trial")).fetchall()
    return con.table("studies").pl()


TABLE_1 = table_1()
TRIAL = TABLE_1.filter(study="trial").drop("study", "intervened")
REGISTRY = TABLE_1.filter(study="registry").drop("study", "intervened")

MIXED = "Age -> Treated -> Y; Treated <-> Y"
MIXED_QUERIES = ["PNS(Treated=true, Y=a)", "ACE(Treated=true, Y=a)"]
# what is compared here is what the learning starts from
QUICK = {"by": "region", "method": "emcc", "restarts": 2, "max_steps": 5}


def records():
    """Two studies in three regions, one of which has no name, with text, booleans and integers, some of them NULL."""
    rows = [
        {
            "study": ("trial", "registry")[i % 2],
            "intervened": (["Treated"], None)[i % 2],
            "region": (1, 2, None)[i % 3],
            "Age": (20, 30, 40, 30, 20)[i % 5] if i % 11 != 4 else None,
            "Treated": i % 7 > 2,
            "Y": ("a", "b", "b", "a", None, "b", "a", "a", "a", "b", "b")[i % 11],
            "w": i % 4 + 1,
            "other": object.__name__ * (i % 2),
        }
        for i in range(900)
    ]
    return pl.DataFrame(rows, schema_overrides={"Age": pl.Int16, "region": pl.Int32})


RECORDS = records()


def as_parquet(frame, folder):
    frame.write_parquet(folder / "studies.parquet")
    return folder / "studies.parquet"


KEPT = []  # on duckdb 1.4 a relation does not keep its connection open


def as_relation(frame):
    KEPT.append(duckdb.connect())
    return KEPT[-1].from_arrow(frame.to_arrow())


SOURCES = {
    "polars": lambda frame, folder: frame,
    "polars lazy": lambda frame, folder: frame.lazy(),
    "polars scan": lambda frame, folder: pl.scan_parquet(as_parquet(frame, folder)),
    "categorical": lambda frame, folder: frame.with_columns(pl.col("Y", "study").cast(pl.Categorical)),
    "enum": lambda frame, folder: frame.with_columns(pl.col("Y").cast(pl.Enum(["c", "b", "a"]))),
    "pandas": lambda frame, folder: frame.to_pandas(),
    "pandas on arrow": lambda frame, folder: frame.to_pandas(use_pyarrow_extension_array=True),
    "pandas of objects": lambda frame, folder: pytest.importorskip("pandas").DataFrame(frame.to_dicts()),
    "pyarrow table": lambda frame, folder: frame.to_arrow(),
    "pyarrow batches": lambda frame, folder: pa.Table.from_batches(frame.to_arrow().to_batches(max_chunksize=7)),
    "reader": lambda frame, folder: frame.to_arrow().to_reader(max_chunksize=100),
    "DuckDB": lambda frame, folder: as_relation(frame),
    "Parquet": as_parquet,
}


@pytest.fixture(params=SOURCES)
def source(request, tmp_path):
    """A function from records to a source of the kind that is named."""
    if "pandas" in request.param:
        pytest.importorskip("pandas")
    return lambda frame: SOURCES[request.param](frame, tmp_path)


@pytest.fixture
def pandas():
    return pytest.importorskip("pandas")


@pytest.fixture(scope="module")
def expected():
    """The answers for RECORDS, from the polars frame."""
    return rows(emcc.bounds(MIXED, emcc.Studies(RECORDS, weight="w"), MIXED_QUERIES, **QUICK))


def rows(table):
    return table.to_dicts() if isinstance(table, pl.DataFrame) else table.to_pylist()


# -- every source ------------------------------------------------------------------------------


def test_one_relation_gives_the_same_answers_from_every_source(source, expected):
    assert rows(emcc.bounds(MIXED, emcc.Studies(source(RECORDS), weight="w"), MIXED_QUERIES, **QUICK)) == expected
    assert len(expected) == 6
    assert all(row["status"] != "no_data" and row["studies"] == ["registry", "trial"] for row in expected)


def test_studies_apart_give_the_same_answers_from_every_source_as_one_relation(source, expected):
    def study(name, do):
        return emcc.Study(source(RECORDS), name=name, do=do, where=f"study = '{name}'", weight="w")

    apart = [study("registry", ()), study("trial", "Treated")]
    assert rows(emcc.bounds(MIXED, apart, MIXED_QUERIES, **QUICK)) == expected


def test_sql_gives_the_same_answers(expected):
    con = duckdb.connect()
    emcc.register(con)
    con.register("studies", RECORDS.to_arrow())
    found = con.sql(
        f"FROM emcc_bounds_by('{MIXED}', {MIXED_QUERIES}, 'studies', 'region', weight := 'w', method := 'emcc',"
        " restarts := 2, max_steps := 5)"
    )
    assert rows(found.to_arrow_table()) == expected


def test_the_frames_give_the_same_answers(pandas, expected):
    eager = RECORDS.emcc.bounds(MIXED, MIXED_QUERIES, weight="w", **QUICK)
    assert rows(eager) == expected
    assert_frame_equal(RECORDS.lazy().emcc.bounds(MIXED, MIXED_QUERIES, weight="w", **QUICK), eager)
    found = RECORDS.to_pandas().emcc.bounds(MIXED, MIXED_QUERIES, weight="w", **QUICK)
    assert list(found.columns) == eager.columns
    for name in ("query", "lower", "upper", "status", "n", "patterns", "exact_lower"):
        assert [None if pandas.isna(value) else value for value in found[name]] == eager[name].to_list(), name


# -- what comes out ----------------------------------------------------------------------------


def test_table_1_comes_out_as_published():
    found = TABLE_1.emcc.bounds(MODEL, QUERIES, weight="n")
    assert found.select("query", "lower", "upper", "status").rows() == [
        (QUERIES[0], 0.3845, 0.3845, "identified"),
        (QUERIES[1], 0.279, 0.279, "identified"),
    ]
    assert found.columns == list(COLUMNS)


def test_compatibility_comes_out_as_a_frame_too(pandas):
    found = TABLE_1.lazy().emcc.compatibility(MODEL, weight="n")
    expected = rows(emcc.compatibility(MODEL, emcc.Studies(TABLE_1, weight="n")))
    assert isinstance(found, pl.DataFrame)
    assert rows(found) == expected
    assert found.columns == list(STUDY_COLUMNS)
    table = TABLE_1.to_pandas().emcc.compatibility(MODEL, weight="n")
    assert isinstance(table, pandas.DataFrame)
    assert table["n"].tolist() == found["n"].to_list()


def test_the_frame_is_left_as_it_is(pandas):
    frame, table = TABLE_1.clone(), TABLE_1.to_pandas()
    copy = table.copy(deep=True)
    frame.emcc.bounds(MODEL, PNS, weight="n")
    table.emcc.bounds(MODEL, PNS, weight="n")
    assert_frame_equal(frame, TABLE_1)
    pandas.testing.assert_frame_equal(table, copy)


@pytest.mark.parametrize(
    "values",
    [
        pl.Series(["x", "y"], dtype=pl.Categorical),
        pl.Series(["x", None], dtype=pl.Enum(["y", "x"])),
        pl.Series([1, None], dtype=pl.Int8),
        pl.Series([1, 2**100], dtype=pl.Int128),
        pl.Series([True, False]),
        pl.Series([dt.date(2024, 1, 1), None]),
        pl.Series([dt.datetime(2024, 1, 1), None], dtype=pl.Datetime("ms", "Europe/Paris")),
        pl.Series(["1.50", "2.25"]).cast(pl.Decimal(8, 2)),
        pl.Series([None, None], dtype=pl.Null),
    ],
    ids=lambda values: str(values.dtype),
)
def test_segments_keep_their_type_in_polars(values):
    frame = pl.concat([TABLE_1.with_columns(pl.lit(v, values.dtype).alias("part")) for v in values])
    found = frame.emcc.bounds(MODEL, PNS, weight="n", by="Part")
    assert found.columns[0] == "Part"
    assert found.schema["Part"] == values.dtype
    assert set(found["Part"].to_list()) == set(values.to_list())


def test_a_segment_that_is_unknown_to_the_frames_enum_leaves_text():
    frame = TRIAL.with_columns(part=pl.lit("x", pl.Enum(["x"])))
    other = emcc.Study(REGISTRY.with_columns(part=pl.lit("y")), weight="n")
    found = frame.emcc.bounds(MODEL, PNS, weight="n", do="Treatment", by="part", studies=other)
    assert found["part"].to_list() == ["x", "y"]
    assert found.schema["part"] == pl.String


@pytest.mark.parametrize(
    "make",
    [
        lambda pd: pd.Categorical(["y", "x"], categories=["y", "x", "unused"], ordered=True),
        lambda pd: pd.array([1, None], dtype="Int16"),
        lambda pd: pd.array(["x", None], dtype="string"),
        lambda pd: pd.array([True, None], dtype="boolean"),
        lambda pd: pd.array([1, 2], dtype="int8"),
        lambda pd: pd.array([True, False], dtype=bool),
        lambda pd: pd.to_datetime(["2024-01-01", None]).tz_localize("Europe/Paris"),
    ],
    ids=["category", "Int16", "string", "boolean", "int8", "bool", "datetime"],
)
def test_segments_keep_their_type_in_pandas(pandas, make):
    part = pandas.Series(make(pandas))
    table = pandas.concat([TABLE_1.to_pandas()] * 2, ignore_index=True)
    table["part"] = part.repeat(TABLE_1.height).reset_index(drop=True)
    found = table.emcc.bounds(MODEL, PNS, weight="n", by="part")
    assert found["part"].dtype == table["part"].dtype
    assert set(found["part"].dropna()) == set(part.dropna())
    assert found["n"].tolist() == [8000.0] * 2


def test_rows_never_leave_a_lazy_frames_engine(tmp_path, monkeypatch):
    frame = pl.concat([RECORDS] * 20)
    scan = pl.scan_parquet(as_parquet(frame, tmp_path))
    collected, collect = [], pl.LazyFrame.collect

    def spy(self, *args, **options):
        found = collect(self, *args, **options)
        if "SCAN" in self.explain():
            collected.append((options.get("engine"), found.height))
        return found

    monkeypatch.setattr(pl.LazyFrame, "collect", spy)
    found = scan.emcc.bounds(MIXED, MIXED_QUERIES[0], **QUICK)
    assert found["n"].sum() == frame.height
    ((engine, height),) = collected
    assert engine == "streaming"
    assert height < frame.height / 20


# -- one study, and several --------------------------------------------------------------------


def test_a_frame_without_study_and_intervened_is_one_study():
    found = TRIAL.emcc.bounds(MODEL, PNS, do="Treatment", weight="n", name="trial")
    assert found.select("lower", "upper", "studies").rows() == [(0.2795, 0.4895, ["trial"])]


def test_the_options_of_a_study_are_those_of_the_frame():
    frame = TRIAL.rename({"Gender": "sex"}).with_columns(kept=True)
    frame = pl.concat([frame, frame.with_columns(kept=False, n=1)])
    found = frame.emcc.bounds(
        MODEL, PNS, do=["Treatment"], weight="n", where="kept", columns={"Gender": "sex"}, name="trial"
    )
    assert found.select("lower", "upper", "n").rows() == [(0.2795, 0.4895, 4000.0)]
    model = f"Gender {{female, male}}; {MODEL}"
    unmeasured = TRIAL.drop("Gender").emcc.bounds(model, PNS, do="Treatment", weight="n", unmeasured="Gender")
    assert unmeasured.select("lower", "upper").rows() == [(0.2795, 0.4895)]


def repeated(frame):
    """A row per record instead of a weight."""
    return frame.select(pl.all().exclude("n").repeat_by("n").explode())


@pytest.mark.parametrize(
    "joined", [repeated(REGISTRY), emcc.Study(REGISTRY, weight="n", name="registry")], ids=["frame", "Study"]
)
def test_further_studies_are_joined(joined):
    found = TRIAL.emcc.bounds(MODEL, PNS, do="Treatment", weight="n", studies=[joined])
    assert found.select("lower", "upper", "n").rows() == [(0.3845, 0.3845, 8000.0)]


def test_a_relation_of_several_studies_can_be_joined():
    observed = emcc.Studies(REGISTRY.with_columns(study=pl.lit("registry")), weight="n")
    found = TRIAL.emcc.bounds(MODEL, PNS, do="Treatment", weight="n", name="trial", studies=observed)
    assert found.select("lower", "studies").rows() == [(0.3845, ["trial", "registry"])]


def test_a_bare_frame_is_told_apart_in_studies_as_it_is_by_itself():
    trial = repeated(TRIAL).with_columns(study=pl.lit("trial"), intervened=["Treatment"])
    found = REGISTRY.emcc.bounds(MODEL, PNS, weight="n", name="registry", studies=trial)
    assert found.select("lower", "studies").rows() == [(0.3845, ["registry", "trial"])]


def test_a_shared_study_joins_every_segment():
    frame = pl.concat([TRIAL.with_columns(region=pl.lit(r)) for r in ("north", "south")])
    registry = emcc.Study(REGISTRY, weight="n", shared=True)
    found = frame.emcc.bounds(MODEL, PNS, do="Treatment", weight="n", by="region", studies=[registry])
    assert found.select("region", "lower", "n").rows() == [("north", 0.3845, 8000.0), ("south", 0.3845, 8000.0)]
    shared = emcc.Studies(TABLE_1.filter(study="registry"), weight="n", shared=True)
    again = frame.emcc.bounds(MODEL, PNS, do="Treatment", weight="n", by="region", studies=shared)
    assert again["lower"].to_list() == [0.3845, 0.3845]


# -- what is refused ---------------------------------------------------------------------------


@pytest.mark.parametrize("option", ["do", "name", "local", "unmeasured", "selected"])
def test_an_option_of_one_study_is_refused_where_the_frame_holds_several(option):
    with pytest.raises(OptionError, match=rf"{option}= is about one study, but the frame has a column study, so"):
        TABLE_1.emcc.bounds(MODEL, PNS, weight="n", **{option: "Treatment"})


def test_an_unknown_option_gets_a_hint():
    with pytest.raises(
        OptionError, match=r"there is no option 'wieght'.*did you mean one of these options: \['weight'"
    ):
        TABLE_1.emcc.bounds(MODEL, PNS, wieght="n")


def test_a_missing_column_is_named_with_those_that_there_are(pandas):
    for frame in (TRIAL, TRIAL.lazy(), TRIAL.to_pandas()):
        with pytest.raises(
            MissingColumn, match=r"no column for the variable Gendre; its columns are Gender, Treatment"
        ):
            frame.emcc.bounds("Gendre -> Survival", "P(Survival=survived)")


def test_two_studies_of_one_name_are_refused():
    with pytest.raises(RepeatedName, match=r"two studies are called 'registry', one of them in a relation of several"):
        TABLE_1.emcc.bounds(MODEL, PNS, weight="n", studies=[emcc.Study(REGISTRY, weight="n", name="registry")])


def test_segments_of_different_types_are_refused():
    frame = TRIAL.with_columns(part=pl.lit(dt.date(2024, 1, 1)))
    other = emcc.Study(REGISTRY.with_columns(part=pl.lit("y")), weight="n")
    with pytest.raises(StudyError, match="segments by part are of different types"):
        frame.emcc.bounds(MODEL, PNS, weight="n", do="Treatment", by="part", studies=other)


def test_a_frame_without_records_is_an_error(pandas):
    for frame in (TABLE_1.clear(), TABLE_1.lazy().clear(), TABLE_1.clear().to_pandas()):
        with pytest.raises(EmptyStudy, match="the studies relation has no records"):
            frame.emcc.bounds(MODEL, PNS)


def test_a_segment_is_no_column_of_the_report():
    frame = TABLE_1.with_columns(df=1)
    with pytest.raises(OptionError, match="by names the column 'df', which is a column of the result"):
        frame.emcc.compatibility(MODEL, weight="n", by="df")
