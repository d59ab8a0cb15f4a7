"""The catalog: models and studies by name, for every connection, inside and outside of transactions."""

from __future__ import annotations

import os
import subprocess
import sys

import duckdb
import polars as pl
import pytest

import duckemcc as emcc
from duckemcc import errors
from duckemcc.serve.duckdb.catalog_tables import VERSION
from duckemcc.serve.duckdb.stored import Catalog, read_catalog, write_catalog

GRAPH = "Gender -> Treatment -> Survival; Gender -> Survival; Treatment <-> Survival"
TWO = "Treatment -> Survival; Treatment <-> Survival"
PNS = "PNS(Treatment=drug, Survival=survived)"
ACE = "ACE(Treatment=drug, Survival=survived)"
LOWER = f"SELECT lower FROM emcc_bounds('drug', '{ACE}')"


def fill(con):
    """Table 1, a model 'drug' of it, and its two studies."""
    con.execute(emcc.read_sql("drug_trial")).fetchall()
    emcc.save_model(con, "drug", GRAPH, comment="Table 1")
    emcc.save_study(con, "drug", emcc.Study("trial", do="Treatment", weight="n", con=con))
    emcc.save_study(con, "drug", emcc.Study("registry", weight="n", con=con))


@pytest.fixture
def drug():
    con = duckdb.connect()
    emcc.register(con)
    fill(con)
    return con


@pytest.fixture
def path(tmp_path):
    """A database file with the catalog of `fill`; nobody has it open."""
    path = str(tmp_path / "f.db")
    with duckdb.connect(path) as con:
        fill(con)
    return path


def names(con):
    return [name for (name,) in con.execute("SELECT name FROM emcc_models() ORDER BY name").fetchall()]


def tables(con):
    sql = "SELECT table_name FROM duckdb_tables() WHERE schema_name = 'emcc' ORDER BY ALL"
    return [name for (name,) in con.execute(sql).fetchall()]


def ask(con, sql):
    """Rows as Python has them, with their columns."""
    relation = con.sql(sql)
    return [dict(zip(relation.columns, row, strict=True)) for row in relation.fetchall()]


# -- every entry takes a name or a graph text --------------------------------------------------


def test_every_function_takes_a_name_where_it_takes_a_graph(drug):
    record = "struct_pack(Gender, Treatment, Survival, study, intervened)"
    for call in (
        f"FROM emcc_bounds({{}}, ['{PNS}', '{ACE}'], 'studies', weight := 'n')",
        f"FROM emcc_bounds_by({{}}, '{ACE}', 'studies', 'region', weight := 'n')",
        "FROM emcc_compatibility({}, 'studies', weight := 'n')",
        "FROM emcc_compatibility_by({}, 'studies', 'region', weight := 'n')",
        f"SELECT region, emcc({{}}, '{ACE}', {record}, weight := n) FROM studies GROUP BY region",
        f"SELECT q, a.* FROM (VALUES ('{ACE}'), ('{PNS}')) AS v(q), "
        "emcc_bounds({}, v.q, 'studies', weight := 'n') AS a",
    ):
        drug.execute("CREATE OR REPLACE TABLE studies AS SELECT *, 'north' AS region FROM studies").fetchall()
        by_text = drug.execute(call.format(f"'{GRAPH}'")).fetchall()
        assert by_text
        for name in ("'drug'", "'DRUG'", "' drug '"):
            assert drug.execute(call.format(name)).fetchall() == by_text


def test_a_parameter_may_name_the_model(drug):
    assert drug.execute(f"SELECT lower FROM emcc_bounds($1, '{ACE}')", ["drug"]).fetchall() == [(0.2795,)]


def test_an_unknown_name_says_what_is_there(drug):
    for sql in (
        "FROM emcc_bounds('drugs', 'P(X=1)', 'studies')",
        "FROM emcc_compatibility('drugs')",
        "SELECT emcc('drugs', 'P(X=1)', studies) FROM studies",
    ):
        with pytest.raises(
            duckdb.Error, match=r"UnknownModel: there is no model named 'drugs'.*models are drug.*mean.*drug"
        ):
            drug.execute(sql).fetchall()
    with pytest.raises(errors.UnknownModel, match=r"no model named 'drugs'.*models are drug"):
        emcc.load_model(drug, "drugs")


def test_an_unknown_name_in_an_empty_database_says_how_to_save_it():
    con = duckdb.connect()
    emcc.register(con)
    with pytest.raises(duckdb.Error, match=r"UnknownModel: there is no model named 'drug'.*it is empty.*save_model"):
        con.execute("FROM emcc_bounds('drug', 'P(X=1)', 'studies')")
    with pytest.raises(errors.UnknownModel, match="it is empty"):
        emcc.load_model(con, "drug")
    assert tables(con) == []


def test_python_says_where_a_name_can_be_looked_up():
    with pytest.raises(errors.UnknownModel, match=r"emcc\.load_model\(con, 'drug'\)"):
        emcc.bounds("drug", [], PNS)


# -- what is there -----------------------------------------------------------------------------


def test_models_are_listed_also_where_there_are_none(path, tmp_path):
    con = duckdb.connect()
    emcc.register(con)
    assert con.execute("FROM emcc_models()").fetchall() == []
    assert tables(con) == []
    empty = str(tmp_path / "empty.db")
    duckdb.connect(empty).close()
    reader = duckdb.connect(empty, read_only=True)
    emcc.register(reader)
    assert reader.execute("FROM emcc_models()").fetchall() == []
    reader = duckdb.connect(path, read_only=True)
    emcc.register(reader)
    assert names(reader) == ["drug"]


def test_a_listed_model_shows_its_graph_variables_causes_and_studies(drug):
    emcc.save_model(
        drug, "binary", emcc.Model.parse("X {0, 1}; Y {0, 1}; M {0, 1}; X -> Y; M -> Y; X <-> Y; unmeasured M")
    )
    two, one = ask(drug, "FROM emcc_models() ORDER BY name")
    assert one == {
        "name": "drug",
        "graph": GRAPH,
        "variables": ["Gender", "Treatment", "Survival"],
        "unmeasured": [],
        "causes": {"U_Treatment_Survival": None, "U_Gender": None},  # states are learned from the data
        "studies": ["registry", "trial"],
        "comment": "Table 1",
        "message": None,
    }
    assert (two["graph"], two["unmeasured"], two["studies"]) == (None, ["M"], [])
    assert two["causes"] == {"U_X_Y": 2 * 2**4, "U_M": 2}


def test_the_tables_are_plain_and_readable_without_this_program(path):
    script = f"""
import duckdb
con = duckdb.connect({path!r}, read_only=True)
print(con.execute("SELECT name, graph FROM emcc.models").fetchall())
print(con.execute("SELECT study, source, intervened, weight FROM emcc.studies ORDER BY study").fetchall())
print(con.execute("FROM emcc.catalog_version").fetchall())
"""
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines() == [
        f"[('drug', '{GRAPH}')]",
        "[('registry', 'registry', [], 'n'), ('trial', 'trial', ['Treatment'], 'n')]",
        f"[({VERSION},)]",
    ]


def test_a_catalog_may_live_in_a_database_that_is_called_like_its_schema(tmp_path):
    con = duckdb.connect(str(tmp_path / "emcc.db"))
    emcc.register(con)
    fill(con)
    assert con.execute(LOWER).fetchall() == [(0.2795,)]


# -- round trips -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "model",
    [
        GRAPH,
        'U: "a b", Y, Z; "a b" {yes, no, \'it\'\'s\'}; Y {0, 1}; "a b" -> Y -> Z',
        "X {0, 1}; Y {0, 1}; M {0, 1}; X -> Y; M -> X; X <-> Y; assume P(Y[X=0]=1, Y[X=1]=0) = 0; unmeasured M",
    ],
)
def test_a_model_comes_back_equal(drug, model):
    emcc.save_model(drug, "again", model)
    assert emcc.load_model(drug, "AGAIN") == emcc.Model.parse(model)


def test_a_model_with_equations_comes_back_equal(drug):
    spec = {
        "endogenous": {"X": {"states": [0, 1]}, "Y": {"states": [0, 1], "parents": ["X"]}},
        "exogenous": {"U": {"children": ["X", "Y"], "card": 3}},
        "equations": {"X": {"table": [0, 1, 1]}, "Y": {"table": [[0, 1], [0, 0], [1, 1]]}},
    }
    model = emcc.Model.from_dict(spec)
    emcc.save_model(drug, "equations", model)
    assert emcc.load_model(drug, "equations") == model
    row = ask(drug, "FROM emcc_models() WHERE name = 'equations'")[0]
    assert row["causes"] == {"U": 3}


def test_a_study_comes_back_as_it_was(drug, tmp_path):
    drug.execute(f"COPY (SELECT Gender AS \"the sex\", Survival, n, 1 AS age FROM trial) TO '{tmp_path}/x.parquet'")
    given = {
        "do": ("Gender",),
        "name": 'it\'s "x"',
        "weight": "n",
        "where": "age - 1 >= 0 AND \"the sex\" <> ''';--'",
        "columns": {"Gender": "the sex"},
        "unmeasured": ("Treatment",),
        "local": ("U_Gender",),
        "selected": "Survival = 'survived'",
        "shared": True,
    }
    emcc.save_study(drug, "drug", emcc.Study(tmp_path / "x.parquet", **given))
    (study,) = emcc.load_studies(drug, "drug", 'it\'s "x"')
    assert {key: getattr(study, key) for key in given} == given
    assert (study.source, study.kind) == (str(tmp_path / "x.parquet"), "file")


def test_the_text_of_a_catalog_says_all_of_it(drug):
    (text,) = drug.execute("SELECT _emcc_catalog()").fetchone()
    catalog = read_catalog(text)
    assert [entry.name for entry in catalog.entries] == ["drug"]
    assert write_catalog(catalog) == text
    assert read_catalog(write_catalog(Catalog())) == Catalog()


# -- registered studies ------------------------------------------------------------------------

RICH = f"{GRAPH}; Gender {{female, male}}; Treatment {{drug, 'no drug'}}; Survival {{survived, dead}}"


@pytest.fixture
def rich(drug, tmp_path):
    """Studies that say everything a Study can say."""
    drug.execute("""
        CREATE TABLE spread AS
            SELECT *, ['north', 'south', NULL][1 + range % 3] AS region, (range % 3)::UTINYINT AS age
            FROM studies, range(3);
        CREATE TABLE t AS
            SELECT Gender AS sex, Treatment::ENUM('drug', 'no drug') AS treat, Survival, (n / 10)::DECIMAL(9, 1) AS w,
                region
            FROM spread WHERE study = 'trial';
        CREATE TABLE r AS
            SELECT Gender, Treatment, Survival, n::DOUBLE * 0.1 AS n, region, age FROM spread WHERE study = 'registry';
        CREATE TABLE nation AS SELECT Treatment, Survival, n FROM studies WHERE study = 'registry';
        CREATE TABLE clinic AS SELECT Gender, Treatment, Survival, n, region FROM spread
            WHERE study = 'registry' AND Survival = 'survived'
            UNION ALL SELECT NULL, NULL, NULL, 300, unnest(['north', 'south', NULL]);
    """).fetchall()
    drug.execute(f"COPY r TO '{tmp_path}/r.parquet'").fetchall()
    emcc.save_model(drug, "rich", RICH)
    for study in (
        emcc.Study(
            "t", name="trial", do="Treatment", weight="w", columns={"gender": "sex", "Treatment": "treat"}, con=drug
        ),
        emcc.Study(f"{tmp_path}/r.parquet", name="registry", weight="n", where="age - 1 < 1", local=["U_Gender"]),
        emcc.Study("main.nation", name="nation", weight="n", unmeasured="Gender", shared=True, con=drug),
        emcc.Study("clinic", weight="n", selected="Survival = 'survived'", con=drug),
    ):
        emcc.save_study(drug, "rich", study)
    return drug


ASKED = [
    (None, {"method": "emcc", "restarts": 4, "seed": 3}),
    (["registry", "TRIAL"], {}),
    (["registry", "TRIAL"], {"population": "registry", "level": None, "incompatible": "report"}),
    (["trial", "nation"], {"nulls": "mcar", "restarts": 4}),
    (["clinic", "trial"], {"method": "emcc", "restarts": 4, "incompatible": "report"}),
]


def sql_options(options):
    shown = {None: "NULL", True: "true", False: "false"}
    return "".join(f", {k} := {shown.get(v) or repr(v)}" for k, v in options.items())


@pytest.mark.parametrize(("chosen", "options"), ASKED)
def test_registered_studies_give_the_answers_of_python(rich, chosen, options):
    model, studies = emcc.load_model(rich, "rich"), emcc.load_studies(rich, "rich", chosen)
    listed, more = "" if chosen is None else f", {chosen}", sql_options(options)
    sql = ask(rich, f"FROM emcc_bounds('rich', ['{PNS}', '{ACE}']{listed}{more})")
    assert sql == emcc.bounds(model, studies, [PNS, ACE], **options).to_pylist()
    sql = ask(rich, f"FROM emcc_bounds_by('rich', ['{PNS}', '{ACE}']{listed}, by := 'region'{more})")
    assert sql == emcc.bounds(model, studies, [PNS, ACE], by="region", **options).to_pylist()
    assert [row["region"] for row in sql] == [None, None, "north", "north", "south", "south"]


def test_the_compatibility_of_registered_studies_is_that_of_python(rich):
    model = emcc.load_model(rich, "rich")
    for chosen in (["clinic"], ["trial", "registry"]):
        studies = emcc.load_studies(rich, "rich", chosen)
        sql = ask(rich, f"FROM emcc_compatibility('rich', {chosen})")
        assert sql == emcc.compatibility(model, studies).to_pylist()
    sql = ask(rich, f"FROM emcc_compatibility_by('rich', {chosen}, ['region'])")
    assert sql == emcc.compatibility(model, studies, by="region").to_pylist()


def test_a_shared_study_counts_in_every_segment_and_is_none_itself(rich):
    emcc.drop_study(rich, "rich", "clinic")
    rows = ask(rich, f"SELECT region, n, studies FROM emcc_bounds_by('rich', '{ACE}', by := 'region')")
    assert [row["region"] for row in rows] == [None, "north", "south"]
    assert all("nation" in row["studies"] and row["n"] > 4000 for row in rows)
    with pytest.raises(duckdb.Error, match="all studies are shared, so none says what the segments by region are"):
        rich.execute(f"FROM emcc_bounds_by('rich', '{ACE}', ['nation'], by := 'region')")


def test_a_list_names_registered_studies(drug):
    for listed, found in (("['trial']", ["trial"]), ("['TRIAL', 'registry']", ["registry", "trial"])):
        sql = f"SELECT studies FROM emcc_bounds('drug', '{ACE}', {listed})"
        assert drug.execute(sql).fetchall() == [(found,)]
    for listed, message in (
        (
            "['trail']",
            r"SourceError: no study 'trail' is registered .*: its studies are registry, trial.*mean.*trial",
        ),
        ("['trial', NULL]", "SourceError: no study None is registered"),
        ("[]", "SourceError: studies is an empty list"),
    ):
        with pytest.raises(duckdb.Error, match=message):
            drug.execute(f"FROM emcc_bounds('drug', '{ACE}', {listed})")


def test_a_text_is_a_relation_though_a_study_bears_that_name(drug):
    drug.execute("CREATE OR REPLACE VIEW trial AS FROM studies WHERE study = 'trial' AND Gender = 'male'").fetchall()
    emcc.save_study(drug, "drug", emcc.Study("studies", name="trial", weight="n", con=drug), replace=True)
    assert drug.execute(f"SELECT n FROM emcc_bounds('drug', '{ACE}', 'trial')").fetchall() == [(4,)]


def test_registered_studies_are_those_of_a_stored_model(drug):
    for more in ("", ", NULL", ", ['trial']"):
        with pytest.raises(duckdb.Error, match=r"SourceError: .*only a stored model has these"):
            drug.execute(f"FROM emcc_bounds('{GRAPH}', '{ACE}'{more})")
    with pytest.raises(
        duckdb.Error, match="OptionError: weight is 'n', and registered studies have weights of their own"
    ):
        drug.execute(f"FROM emcc_bounds('drug', '{ACE}', weight := 'n')")
    emcc.save_model(drug, "bare", TWO)
    with pytest.raises(duckdb.Error, match=r"SourceError: no study is registered for the model 'bare'.*save_study"):
        drug.execute(f"FROM emcc_bounds('bare', '{ACE}')")
    with pytest.raises(errors.SourceError, match="no study is registered"):
        emcc.load_studies(drug, "bare")


def test_values_of_different_types_meet_as_labels(drug):
    drug.execute("CREATE TABLE a AS SELECT (range % 2)::DOUBLE AS X, range % 3 > 0 AS Y FROM range(60)").fetchall()
    drug.execute(
        "CREATE TABLE b AS SELECT (range % 2)::VARCHAR AS X, (range % 3 > 0)::VARCHAR AS Y FROM range(60)"
    ).fetchall()
    emcc.save_model(drug, "xy", "X -> Y")
    for name in "ab":
        emcc.save_study(drug, "xy", emcc.Study(name, con=drug))
    assert drug.execute("SELECT n, patterns FROM emcc_bounds('xy', 'P(Y=true)')").fetchall() == [(120, 8)]


def test_segments_of_different_types_are_refused(rich):
    rich.execute("ALTER TABLE t ALTER region TYPE INTEGER USING 1").fetchall()
    emcc.save_study(rich, "rich", emcc.load_studies(rich, "rich", "trial")[0], replace=True)
    message = "StudyError: the studies' segments by region are of different types: .*trial has INTEGER"
    with pytest.raises(duckdb.Error, match=message):
        rich.execute(f"FROM emcc_bounds_by('rich', '{ACE}', by := 'region')")


def test_a_registered_study_is_looked_at_again_when_it_is_counted(rich):
    rich.execute("ALTER TABLE t RENAME COLUMN sex TO six").fetchall()
    with pytest.raises(
        duckdb.Error, match=r"MissingColumn: study 'trial' has no column for the variable Gender.*mean.*six"
    ):
        rich.execute(f"FROM emcc_bounds('rich', '{ACE}')")
    rich.execute("ALTER TABLE t RENAME COLUMN six TO sex; ALTER TABLE t ALTER w TYPE DOUBLE").fetchall()
    with pytest.raises(
        duckdb.Error, match=r"SourceError: study 'trial': the column w was DECIMAL when .* and is DOUBLE now"
    ):
        rich.execute(f"FROM emcc_bounds('rich', '{ACE}')")
    rich.execute("ALTER TABLE t RENAME COLUMN w TO weight").fetchall()
    with pytest.raises(duckdb.Error, match=r"MissingColumn: study 'trial' has no column for the weight w;.*are sex"):
        rich.execute(f"FROM emcc_bounds('rich', '{ACE}')")
    emcc.save_study(rich, "rich", emcc.Study("r", name="trial", weight="n", where="age < 1", con=rich), replace=True)
    rich.execute("ALTER TABLE r DROP age").fetchall()
    with pytest.raises(duckdb.Error, match="MissingColumn: study 'trial' has no column for the name age; its columns"):
        rich.execute(f"FROM emcc_bounds('rich', '{ACE}')")
    rich.execute("DROP TABLE r").fetchall()
    with pytest.raises(duckdb.Error, match="Table with name r does not exist"):
        rich.execute(f"FROM emcc_bounds('rich', '{ACE}')")


def test_a_registered_study_without_records_is_named(drug):
    emcc.save_study(drug, "drug", emcc.Study("trial", weight="n", where="Gender = 'x'", con=drug), replace=True)
    with pytest.raises(duckdb.Error, match="EmptyStudy: study 'trial' has no records that satisfy where="):
        drug.execute(LOWER)


# -- what is refused when it is saved ----------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "kind", "message"),
    [
        (lambda con: emcc.Study(con.table("trial")), "SourceError", "found relation. Create a table or view"),
        (lambda con: emcc.Study(pl.DataFrame({"X": [1]})), "SourceError", "found polars"),
        (lambda con: "trial", "SourceError", "found str"),
        (lambda con: emcc.Study("no_such", con=con), "SourceError", "source 'no_such' cannot be read"),
        (lambda con: emcc.Study("no/such.parquet"), "SourceError", "cannot be read: .*No files found"),
        (lambda con: emcc.Study("(SELECT 1)", con=con), "SourceError", "neither the name of a table|cannot be read"),
        (lambda con: emcc.Study("x", con=con), "MissingColumn", "study 'x' has no column for the variable Survival"),
        (lambda con: emcc.Study("trial", do="Treatmint", con=con), "UnknownName", "intervenes on Treatmint"),
        (lambda con: emcc.Study("trial", columns={"Sex": "Gender"}, con=con), "UnknownName", "columns= for Sex"),
        (lambda con: emcc.Study("trial", local="U_G", con=con), "UnknownName", "local= for U_G"),
        (lambda con: emcc.Study("trial", selected="age > 1", con=con), "UnknownName", "selected= over age"),
        (lambda con: emcc.Study("trial", where="age > 1", con=con), "MissingColumn", "name age in where"),
        (lambda con: emcc.Study("trial", where="read_csv('x')", con=con), "OptionError", "READ_CSV"),
        (lambda con: emcc.Study("trial", weight="Gender", con=con), "OptionError", "weight from Gender"),
        (
            lambda con: emcc.Study("trial", weight="study", con=con),
            "UnsupportedColumn",
            "weights study of type VARCHAR",
        ),
        (lambda con: emcc.Study("y", columns={"Gender": "emcc_g"}, con=con), "OptionError", "names in emcc_ are taken"),
    ],
)
def test_a_study_that_cannot_be_counted_is_not_saved(drug, make, kind, message):
    drug.execute("CREATE TABLE x AS SELECT Gender, Treatment FROM trial").fetchall()
    drug.execute("CREATE TABLE y AS SELECT * EXCLUDE (Gender), Gender AS emcc_g FROM trial").fetchall()
    before = drug.execute("FROM emcc.studies ORDER BY ALL").fetchall()
    with pytest.raises(getattr(errors, kind), match=message):
        emcc.save_study(drug, "drug", make(drug))
    assert drug.execute("FROM emcc.studies ORDER BY ALL").fetchall() == before
    assert drug.execute(LOWER).fetchall() == [(0.2795,)]


@pytest.mark.parametrize("name", ["", "two words", "a-b", "a.b", " drug", 'x"', "X -> Y", "a;b", None, 3])
def test_a_model_is_called_by_one_word(name):
    con = duckdb.connect()
    with pytest.raises(errors.OptionError, match="a model's name is one word"):
        emcc.save_model(con, name, GRAPH)
    assert tables(con) == []


def test_what_is_no_model_is_not_saved():
    con = duckdb.connect()
    for model, kind in (("X -> -> Y", errors.GraphError), (3, errors.GraphError), ("X", errors.UnknownModel)):
        with pytest.raises(kind):
            emcc.save_model(con, "x", model)
    with pytest.raises(errors.OptionError, match="comment takes a text"):
        emcc.save_model(con, "x", GRAPH, comment=3)
    assert tables(con) == []


def test_another_model_or_study_of_that_name_is_replaced_only_when_told(drug):
    emcc.save_model(drug, "drug", GRAPH, comment="Table 1")  # the same again
    with pytest.raises(errors.RepeatedName, match=r"there is a model 'drug' in the catalog already; replace=True"):
        emcc.save_model(drug, "Drug", TWO)
    emcc.save_model(drug, "Drug", TWO, replace=True)
    assert (names(drug), emcc.load_model(drug, "drug")) == (["Drug"], emcc.Model.parse(TWO))
    assert [study.name for study in emcc.load_studies(drug, "drug")] == ["registry", "trial"]
    again = emcc.Study("trial", do="Treatment", weight="n", con=drug)
    emcc.save_study(drug, "drug", again)  # the same again
    with pytest.raises(errors.RepeatedName, match="the model 'Drug' has a study 'trial' already"):
        emcc.save_study(drug, "drug", emcc.Study("studies", name="Trial", con=drug))
    emcc.save_study(drug, "drug", emcc.Study("studies", name="Trial", con=drug), replace=True)
    assert [study.name for study in emcc.load_studies(drug, "drug")] == ["registry", "Trial"]


def test_a_model_is_replaced_only_by_one_that_its_studies_fit(drug):
    with pytest.raises(errors.UnknownName, match="study 'trial' intervenes on Treatment, which is no variable"):
        emcc.save_model(drug, "drug", "Gender -> Survival", replace=True)
    assert emcc.load_model(drug, "drug") == emcc.Model.parse(GRAPH)


def test_what_is_dropped_is_gone(drug):
    emcc.drop_study(drug, "drug", "TRIAL")
    assert [study.name for study in emcc.load_studies(drug, "drug")] == ["registry"]
    with pytest.raises(errors.SourceError, match="no study 'trial' is registered"):
        emcc.drop_study(drug, "drug", "trial")
    emcc.drop_model(drug, "DRUG")
    assert names(drug) == drug.execute("FROM emcc.studies").fetchall() == []
    assert drug.execute("SELECT count(*) FROM trial").fetchone() == (8,)
    for drop in (lambda: emcc.drop_model(drug, "drug"), lambda: emcc.drop_study(drug, "drug", "trial")):
        with pytest.raises(errors.UnknownModel, match="it is empty"):
            drop()


# -- who sees it -------------------------------------------------------------------------------


def test_a_save_is_seen_by_all_connections(path):
    con, other, late = duckdb.connect(path), duckdb.connect(path), duckdb.connect(path)
    emcc.register(con)
    emcc.register(other)
    emcc.save_model(con, "two", TWO)
    for each in (con, other, late, con.cursor(), duckdb.connect(path)):
        assert names(each) == ["drug", "two"]
        assert each.execute(LOWER).fetchall() == [(0.2795,)]
    emcc.drop_model(late, "two")
    for each in (con, other, late, con.cursor()):
        assert names(each) == ["drug"]


def test_a_catalog_outlives_its_process(path):
    con = duckdb.connect(path)
    emcc.register(con)
    assert con.execute(LOWER).fetchall() == [(0.2795,)]


def test_a_read_only_database_has_its_catalog_and_keeps_it(path):
    con = duckdb.connect(path, read_only=True)
    emcc.register(con)
    assert con.execute(LOWER).fetchall() == [(0.2795,)]
    assert con.cursor().execute(LOWER.replace("emcc_bounds", "duckemcc.emcc_bounds")).fetchall() == [(0.2795,)]
    assert [study.name for study in emcc.load_studies(con, "drug")] == ["registry", "trial"]
    for change in (lambda: emcc.save_model(con, "two", TWO), lambda: emcc.drop_model(con, "drug")):
        with pytest.raises(errors.NotSupported, match="the database f is read-only; open it for writing"):
            change()
    con.begin()
    emcc.register(con)
    assert con.execute(LOWER).fetchall() == [(0.2795,)]
    con.rollback()


def test_another_database_may_be_in_use(path, tmp_path):
    con = duckdb.connect(path)
    emcc.register(con)
    con.execute(f"ATTACH '{tmp_path}/g.db' AS g; USE g").fetchall()
    emcc.save_model(con, "two", TWO)
    assert names(con) == ["drug", "two"]
    assert tables(con) == ["catalog_version", "models", "studies"]
    assert con.execute(LOWER).fetchall() == [(0.2795,)]
    con.execute("CREATE TABLE registry AS FROM f.registry WHERE Gender = 'female'").fetchall()
    assert con.execute(LOWER).fetchall() == [(0.2795,)]
    emcc.save_model(con, "two", TWO)
    emcc.save_study(con, "two", emcc.Study("registry", weight="n", con=con))
    emcc.save_study(con, "two", emcc.Study("f.registry", name="all", weight="n", con=con))
    sources = con.execute("SELECT study, source FROM f.emcc.studies WHERE model = 'two' ORDER BY ALL").fetchall()
    assert sources == [("all", "registry"), ("registry", "g.main.registry")]
    con.execute("USE f").fetchall()
    found = con.execute(f"SELECT n FROM emcc_bounds('two', '{ACE}')").fetchall()
    assert found == [(4000 + con.execute("SELECT sum(n) FROM g.registry").fetchall()[0][0],)]


def test_a_statement_gives_no_other_table_to_a_registered_study(drug):
    before = drug.execute(LOWER).fetchall()
    drug.execute("CREATE TEMP TABLE trial AS FROM main.trial LIMIT 1").fetchall()
    drug.execute("CREATE SCHEMA other; CREATE TABLE other.registry AS FROM registry LIMIT 1; USE other").fetchall()
    assert drug.execute(LOWER).fetchall() == before
    assert drug.execute(f"WITH registry AS (SELECT 1 AS x) {LOWER}").fetchall() == before
    table = emcc.bounds(emcc.load_model(drug, "drug"), emcc.load_studies(drug, "drug"), ACE)
    assert [(table["lower"][0].as_py(),)] == before


def test_a_registered_study_keeps_the_schema_that_its_connection_meant(drug):
    drug.execute('CREATE SCHEMA "a b"; CREATE TABLE "a b".registry AS FROM registry; USE "a b"').fetchall()
    emcc.save_study(drug, "drug", emcc.Study("registry", weight="n", con=drug, where="Gender = 'male'"), replace=True)
    (study,) = (s for s in emcc.load_studies(drug, "drug") if s.name == "registry")
    assert study.source == '"memory"."a b"."registry"'
    assert drug.execute("SELECT source FROM memory.emcc.studies WHERE study = 'registry'").fetchall() == [
        ('"a b".registry',)
    ]
    drug.execute("USE main").fetchall()
    assert drug.execute(f"SELECT n FROM emcc_bounds('drug', '{ACE}', ['registry'])").fetchall() == [(2000,)]


@pytest.mark.parametrize("kind", ["TABLE", "VIEW"])
def test_a_temporary_source_is_not_registered(drug, kind):
    drug.execute(f"CREATE TEMP {kind} mine AS FROM trial").fetchall()
    with pytest.raises(
        errors.SourceError, match="the source 'mine' is a TEMP table or view, which no other connection"
    ):
        emcc.save_study(drug, "drug", emcc.Study("mine", con=drug))


def test_a_python_variable_is_not_registered(drug):
    frame = pl.DataFrame({"Gender": ["m"]})
    assert len(frame) == 1
    with pytest.raises(
        errors.SourceError, match=r"source 'frame' cannot be read: memory\.main has no table or view of"
    ):
        emcc.save_study(drug, "drug", emcc.Study("frame", con=drug))


def test_a_renamed_database_file_keeps_its_registered_studies(path, tmp_path):
    moved = str(tmp_path / "moved.db")
    os.rename(path, moved)
    con = duckdb.connect(moved)
    emcc.register(con)
    assert con.execute(LOWER).fetchall() == [(0.2795,)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("intervened = [NULL]", "study 'trial' of the catalog: do takes a name or a list of names"),
        ("local = [NULL]", "local takes a name or a list of names"),
        ("columns = MAP {'Treatment': NULL}", "columns maps names to names"),
        ("weight = ''", "weight takes a text that is not empty"),
        ("weight = 'Survival'", "takes its weight from Survival, which is also the column of a variable"),
        ("intervened = ['Treatment', 'Treatment']", "do names Treatment and Treatment, which are the same name"),
        ("source = 'temp.main.trial'", "is a TEMP table, which is another one for each connection"),
    ],
)
def test_a_row_that_was_written_by_hand_is_read_as_a_study(drug, change, message):
    drug.execute(f"UPDATE emcc.studies SET {change} WHERE study = 'trial'").fetchall()
    emcc.register(drug)
    with pytest.raises(duckdb.Error, match=message):
        drug.execute(LOWER)


def test_a_condition_on_types_that_are_not_known_computes_as_in_python(drug):
    drug.execute("CREATE TABLE small AS SELECT *, 3::UTINYINT AS u FROM trial").fetchall()
    study = emcc.Study("small", weight="n", do="Treatment", where="u * 200 > 500 AND -u < 0", con=drug)
    emcc.save_study(drug, "drug", study)
    drug.execute("UPDATE emcc.studies SET types = NULL").fetchall()
    emcc.register(drug)
    assert drug.execute(f"SELECT n FROM emcc_bounds('drug', '{ACE}', ['small'])").fetchall() == [(4000,)]


def test_a_table_is_registered_by_the_search_path(drug):
    drug.execute('CREATE SCHEMA s2; CREATE SCHEMA "s 3"').fetchall()
    drug.execute("CREATE TABLE \"s 3\".pat AS FROM registry WHERE Gender = 'male'").fetchall()
    drug.execute("CREATE TABLE pat AS FROM registry; SET search_path = 's2,s 3'").fetchall()
    emcc.save_study(drug, "drug", emcc.Study("pat", con=drug, weight="n"))
    assert emcc.bounds(GRAPH, emcc.Study("pat", con=drug, weight="n"), "P(Survival=dead)")["n"].to_pylist() == [2000]
    assert drug.execute(f"SELECT n FROM emcc_bounds('drug', '{ACE}', ['pat'])").fetchall() == [(2000,)]


def test_a_condition_that_was_written_by_hand_is_refused_with_the_study(drug):
    drug.execute("UPDATE emcc.studies SET \"where\" = '(SELECT 1)' WHERE study = 'trial'").fetchall()
    emcc.register(drug)
    with pytest.raises(duckdb.Error, match=r"OptionError: study 'trial': where='\(SELECT 1\)' "):
        drug.execute(LOWER)


def test_a_catalog_is_not_lost_in_memory_beside_a_file(path):
    con = duckdb.connect()
    con.execute(f"ATTACH '{path}' AS f; USE f").fetchall()
    emcc.register(con)
    with pytest.raises(errors.OptionError, match="con uses the database f, but its catalog would be in memory"):
        emcc.save_model(con, "two", TWO)


def test_saving_disturbs_no_result_and_needs_no_register():
    con = duckdb.connect()
    fill(con)
    emcc.register(con)
    assert con.execute(LOWER).fetchall() == [(0.2795,)]


def test_register_writes_nothing_that_is_so_already(path):
    con, other = duckdb.connect(path), duckdb.connect(path)
    emcc.register(con)
    con.begin()
    emcc.save_model(con, "it_s", "X -> Y", comment="it's")
    emcc.register(other)  # there is nothing to write, so nothing to conflict with
    con.commit()
    assert names(other) == ["drug", "it_s"]
    other.begin()
    emcc.register(con)
    emcc.register(other)
    other.commit()


# -- transactions ------------------------------------------------------------------------------


def test_saving_takes_part_in_a_transaction(drug):
    other = drug.cursor()
    drug.begin()
    emcc.save_model(drug, "two", TWO)
    emcc.save_study(drug, "two", emcc.Study("trial", do="Treatment", weight="n", con=drug))
    assert (names(drug), names(other)) == (["drug", "two"], ["drug"])
    assert drug.execute(f"SELECT n FROM emcc_bounds('two', '{ACE}')").fetchall() == [(4000,)]
    drug.rollback()
    assert names(drug) == names(other) == ["drug"]
    drug.begin()
    emcc.save_model(drug, "two", TWO)
    drug.commit()
    assert names(drug) == names(other) == ["drug", "two"]


def test_the_first_save_of_a_database_may_be_rolled_back():
    con = duckdb.connect()
    con.begin()
    emcc.register(con)
    fill(con)
    assert con.execute(LOWER).fetchall() == [(0.2795,)]
    con.rollback()
    assert tables(con) == []
    emcc.register(con)
    fill(con)
    assert con.execute(LOWER).fetchall() == [(0.2795,)]


def test_two_that_save_at_once_lose_nothing(drug):
    other = drug.cursor()
    drug.begin()
    emcc.save_model(drug, "two", TWO)
    with pytest.raises(
        errors.OptionError, match="another connection changes the catalog in a transaction that is open"
    ):
        emcc.save_model(other, "three", TWO)
    drug.commit()
    emcc.save_model(other, "three", TWO)
    assert names(drug) == ["drug", "three", "two"]
    other.begin()
    names(other)
    emcc.save_model(drug, "four", TWO)
    with pytest.raises(errors.OptionError, match="or newer than this one; nothing was changed"):
        emcc.save_model(other, "five", TWO)
    other.rollback()
    assert names(drug) == names(other) == ["drug", "four", "three", "two"]
    assert drug.execute("SELECT count(*) FROM emcc.models").fetchone() == (4,)


def test_a_save_after_a_change_of_another_database_is_refused_whole(drug):
    drug.execute("ATTACH ':memory:' AS g").fetchall()
    drug.begin()
    drug.execute("CREATE TABLE g.t (a INT)").fetchall()
    with pytest.raises(errors.OptionError, match="changed another database"):
        emcc.save_model(drug, "two", TWO)
    drug.rollback()
    assert names(drug) == ["drug"]


def test_register_says_which_transaction_is_in_its_way():
    con = duckdb.connect()
    other = con.cursor()
    con.begin()
    emcc.save_model(con, "two", TWO)
    with pytest.raises(emcc.DuckEmccError, match=r"open transaction that changes the catalog.*then register\(con\)"):
        emcc.register(other)
    con.commit()
    emcc.register(other)
    assert names(other) == ["two"]


# -- catalogs that others made -----------------------------------------------------------------


def test_a_newer_catalog_is_refused_and_graphs_still_work(drug):
    drug.execute("UPDATE emcc.catalog_version SET version = 2").fetchall()
    emcc.register(drug)
    message = f"the catalog of memory has version 2, and this program knows version {VERSION}; use a later duckemcc"
    for sql in (LOWER, "FROM emcc_models()"):
        with pytest.raises(duckdb.Error, match=f"NotSupported: {message}"):
            drug.execute(sql).fetchall()
    for call in (
        lambda: emcc.save_model(drug, "two", TWO),
        lambda: emcc.load_model(drug, "drug"),
        lambda: emcc.load_studies(drug, "drug"),
        lambda: emcc.drop_model(drug, "drug"),
    ):
        with pytest.raises(errors.NotSupported, match=message):
            call()
    sql = f"SELECT lower FROM emcc_bounds('{GRAPH}', '{ACE}', 'studies', weight := 'n')"
    assert drug.execute(sql).fetchall() == [(0.2795,)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("DROP TABLE emcc.studies", "is no catalog: it has no table studies"),
        ("ALTER TABLE emcc.models DROP COLUMN spec", "cannot be read: .*spec"),
        ("INSERT INTO emcc.models SELECT * REPLACE ('DRUG' AS name) FROM emcc.models", "two models are called"),
        ("INSERT INTO emcc.studies FROM emcc.studies", "two studies of drug are called"),
    ],
)
def test_tables_that_are_no_catalog_are_told(drug, change, message):
    drug.execute(change).fetchall()
    emcc.register(drug)
    for call in (lambda: drug.execute(LOWER), lambda: emcc.load_model(drug, "drug"), lambda: names(drug)):
        with pytest.raises((duckdb.Error, errors.NotSupported), match=message):
            call()


def test_a_model_that_cannot_be_read_is_told_and_hinders_no_other(drug):
    drug.execute(
        "INSERT INTO emcc.models VALUES ('bad', '{\"endogenous\": 3}', NULL, NULL, now()::TIMESTAMP)"
    ).fetchall()
    drug.execute("INSERT INTO emcc.models VALUES ('worse', '{', NULL, NULL, now()::TIMESTAMP)").fetchall()
    emcc.register(drug)
    assert drug.execute(LOWER).fetchall() == [(0.2795,)]
    for name in ("bad", "worse"):
        with pytest.raises(duckdb.Error, match=f"GraphError: the model '{name}' of the catalog cannot be read"):
            drug.execute(f"FROM emcc_bounds('{name}', 'P(X=1)', 'studies')")
        with pytest.raises(errors.GraphError, match=f"the model '{name}' of the catalog cannot be read"):
            emcc.load_model(drug, name)
    shown = ask(drug, "SELECT name, message FROM emcc_models() WHERE message IS NOT NULL ORDER BY name")
    assert [row["name"] for row in shown] == ["bad", "worse"]


def test_tables_that_were_changed_by_hand_are_not_answered_from_before(drug):
    drug.execute("UPDATE emcc.studies SET \"where\" = 'Gender = ''male''' WHERE study = 'trial'").fetchall()
    for sql in (LOWER, "FROM emcc_models()", f"FROM emcc_bounds('drug', '{ACE}', 'studies', weight := 'n')"):
        with pytest.raises(
            duckdb.Error, match=r"SourceError: the tables of the catalog .* changed by hand; .*register\(con\)"
        ):
            drug.execute(sql).fetchall()
    emcc.register(drug)
    assert drug.execute(f"SELECT n FROM emcc_bounds('drug', '{ACE}')").fetchall() == [(6000,)]


def test_rows_that_were_added_by_hand_work_after_register(drug):
    drug.execute("INSERT INTO emcc.models SELECT 'copy', spec, NULL, NULL, saved_at FROM emcc.models").fetchall()
    drug.execute("""INSERT INTO emcc.studies (model, study, source, "where", weight, saved_at)
        VALUES ('Copy', 'hand', 'registry', 'n - 1 >= 0', 'n', now()::TIMESTAMP)""").fetchall()
    emcc.register(drug)
    assert drug.execute(f"SELECT n, studies FROM emcc_bounds('copy', '{ACE}')").fetchall() == [(4000, ["hand"])]


def test_a_prepared_statement_does_not_answer_from_a_catalog_that_is_gone(drug):
    drug.execute(f"PREPARE p AS SELECT n FROM emcc_bounds('drug', '{ACE}')").fetchall()
    assert drug.execute("EXECUTE p").fetchall() == [(8000,)]
    emcc.drop_study(drug.cursor(), "drug", "trial")
    assert drug.execute("EXECUTE p").fetchall() == [(4000,)]
