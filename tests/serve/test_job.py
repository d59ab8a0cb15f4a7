"""Batch jobs, run: from files and databases to files and tables, in one go, with an exit code for schedulers."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import duckdb
import polars as pl
import pyarrow as pa
import pytest
from click.testing import CliRunner
from pyarrow import parquet

import duckemcc as emcc
from duckemcc.errors import SourceError
from duckemcc.serve.cli import cli
from duckemcc.serve.job import run_job
from duckemcc.serve.jobfile import read_job
from duckemcc.serve.output import Target, to_csv, to_json, write

PNS = "PNS(Treatment=drug, Survival=survived)"
GRAPH = "Treatment -> Survival; Treatment <-> Survival"
JOB = f'''
title = "Table 1"
queries = ["{PNS}"]
by = "Gender"
[model]
graph = "{GRAPH}"
[[studies]]
source = "trial.parquet"
do = "Treatment"
weight = "n"
[[studies]]
source = "registry.csv"
weight = "n"
[output]
file = "bounds.parquet"
'''


@pytest.fixture
def folder(tmp_path):
    """Table 1 as a Parquet file, a CSV file and a database, and a job over the files."""
    with duckdb.connect(str(tmp_path / "clinic.duckdb")) as con:
        con.execute(emcc.read_sql("drug_trial"))
        con.execute(f"COPY trial TO '{tmp_path}/trial.parquet'; COPY registry TO '{tmp_path}/registry.csv'")
    (tmp_path / "job.toml").write_text(JOB)
    return tmp_path


def direct(folder, **options):
    """What Python answers."""
    studies = [
        emcc.Study(folder / "trial.parquet", do="Treatment", weight="n"),
        emcc.Study(folder / "registry.csv", weight="n"),
    ]
    return emcc.bounds(GRAPH, studies, PNS, by="Gender", **options)


def invoke(*words):
    return CliRunner().invoke(cli, list(map(str, words)))


def changed(folder, old, new):
    assert old in JOB
    (folder / "job.toml").write_text(JOB.replace(old, new))
    return folder / "job.toml"


def test_a_job_writes_what_python_answers(folder):
    done = invoke("run", folder / "job.toml")
    assert done.exit_code == 0, done.output
    assert parquet.read_table(folder / "bounds.parquet").equals(direct(folder))
    assert "female" in done.output
    assert "2 rows: 2 " in done.output
    assert f"written: {folder / 'bounds.parquet'}" in done.output


def test_tables_of_a_database_are_read_without_being_changed(folder):
    before = (folder / "clinic.duckdb").read_bytes()
    job = JOB.replace('by = "Gender"', 'by = "Gender"\ndatabase = "clinic.duckdb"')
    (folder / "job.toml").write_text(job.replace("trial.parquet", "trial").replace("registry.csv", "registry"))
    table = run_job(read_job(folder / "job.toml")).table
    assert table.equals(direct(folder))
    assert (folder / "clinic.duckdb").read_bytes() == before


def test_one_source_may_hold_several_studies(folder):
    job = JOB[: JOB.index("[[studies]]")].replace('by = "Gender"', 'by = "Gender"\ndatabase = "clinic.duckdb"')
    (folder / "job.toml").write_text(job + '[[studies]]\nsource = "studies"\nrelation = true\nweight = "n"\n')
    found = run_job(read_job(folder / "job.toml")).table
    assert found["lower"].to_pylist() == direct(folder)["lower"].to_pylist()
    assert found["studies"].to_pylist() == [["registry", "trial"]] * 2


@pytest.mark.parametrize("ending", ["parquet", "csv", "json"])
def test_a_file_holds_every_row_in_its_format(folder, ending):
    out = folder / f"b.{ending}"
    assert invoke("run", folder / "job.toml", "--out", out).exit_code == 0
    rows = direct(folder).to_pylist()
    if ending == "json":
        assert json.loads(out.read_text()) == rows
    else:
        found = duckdb.sql(f"FROM '{out}'").to_arrow_table().to_pylist()
        assert [(r["Gender"], r["lower"], r["upper"]) for r in found] == [
            (r["Gender"], r["lower"], r["upper"]) for r in rows
        ]
    assert not (folder / "bounds.parquet").exists()


def test_a_table_of_a_database_is_replaced(folder):
    job = changed(folder, 'file = "bounds.parquet"', 'database = "out.duckdb"\ntable = "bounds"')
    with duckdb.connect(str(folder / "out.duckdb")) as con:
        con.execute("CREATE TABLE bounds AS SELECT 42 AS old; CREATE TABLE other AS SELECT 1 AS kept")
    assert invoke("run", job).exit_code == 0
    with duckdb.connect(str(folder / "out.duckdb")) as con:
        assert con.sql("FROM bounds").to_arrow_table().to_pylist() == direct(folder).to_pylist()
        assert con.sql("FROM other").fetchall() == [(1,)]


def test_the_database_that_is_read_may_be_written_to(folder):
    job = JOB.replace('by = "Gender"', 'by = "Gender"\ndatabase = "clinic.duckdb"')
    job = job.replace("trial.parquet", "trial").replace("registry.csv", "registry")
    job = job.replace('file = "bounds.parquet"', 'database = "clinic.duckdb"\ntable = "main.bounds"')
    (folder / "job.toml").write_text(job)
    assert invoke("run", folder / "job.toml").exit_code == 0
    with duckdb.connect(str(folder / "clinic.duckdb")) as con:
        assert con.sql("FROM bounds").to_arrow_table().num_rows == 2


def test_incompatible_rows_have_an_exit_code_of_their_own(folder):
    job = changed(folder, "[output]", "[options]\nlevel = 0.5\ntolerance = 0\n[output]")
    duckdb.sql(
        "SELECT * EXCLUDE (n), 10 * n + 50 * (Survival = 'dead')::INT AS n FROM read_csv('"
        + str(folder / "registry.csv")
        + "')"
    )
    con = duckdb.connect()
    con.execute(f"CREATE TABLE r AS FROM '{folder}/registry.csv'")
    con.execute("UPDATE r SET n = 0 WHERE Treatment = 'no drug' AND Survival = 'survived'")
    con.execute("UPDATE r SET n = 9000 WHERE Treatment = 'drug' AND Survival = 'dead'")
    con.execute(f"COPY r TO '{folder}/registry.csv'")
    done = invoke("run", job)
    assert done.exit_code == 3
    assert "incompatible" in done.output
    assert "note: " in done.output
    checked = invoke("check", job)
    assert checked.exit_code == 3
    assert "NO" in checked.output


def test_a_segment_without_data_is_told_by_every_command(tmp_path):
    rows = [("a", 0, 0, 3), ("a", 1, 1, 4), ("b", 0, 1, 0)]
    pl.DataFrame(rows, ["seg", "X", "Y", "n"], orient="row").write_parquet(tmp_path / "records.parquet")
    (tmp_path / "job.toml").write_text(
        'queries = "P(Y[X=1]=1)"\nby = "seg"\n[model]\ngraph = "X -> Y; X <-> Y"\n[[studies]]\n'
        'source = "records.parquet"\nweight = "n"\n[output]\nfile = "bounds.csv"\nreport = "report.html"\n'
    )
    done = invoke("run", tmp_path / "job.toml")
    assert done.exit_code == 3, done.output
    assert "no_data" in done.output
    assert "not tested" in (tmp_path / "report.html").read_text()
    checked = invoke("check", tmp_path / "job.toml")
    assert checked.exit_code == 0, checked.output
    assert "seg = b, all together: no record of the segment counts" in checked.output
    assert invoke("explain", tmp_path / "job.toml").exit_code == 0


def test_limits_are_shown_where_they_are_asked_for(folder):
    assert "limits ┃" not in invoke("run", folder / "job.toml").output
    job = changed(folder, "[output]", "[options]\nconfidence = 0.9\n[output]")
    assert "limits ┃" in re.sub(" +", " ", invoke("run", job).output)


def test_unfinished_rows_have_another(folder):
    job = changed(folder, "[output]", "[options]\nmax_seconds = 0\n[output]")
    done = invoke("run", job)
    assert done.exit_code == 4
    assert "timeout" in done.output


def test_wrong_data_leave_the_old_file(folder):
    (folder / "bounds.parquet").write_text("old")
    (folder / "registry.csv").write_text("Gender,Treatment,Survival,n\nmale,drug,dead,-1\n")
    script = Path(sys.executable).parent / "duckemcc"
    done = subprocess.run(
        [script, "run", folder / "job.toml"], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 2
    assert done.stderr.startswith("InvalidWeight: ")
    assert (folder / "bounds.parquet").read_text() == "old"


def test_a_job_that_is_killed_while_it_writes_leaves_the_old_file(folder):
    (folder / "bounds.parquet").write_text("old")
    code = (
        "import sys, time; from pyarrow import parquet\n"
        "real = parquet.write_table\n"
        "def slow(table, where):\n"
        "    real(table, where); print('writing', flush=True); time.sleep(60)\n"
        "parquet.write_table = slow\n"
        "from duckemcc.serve.cli import cli\n"
        f"cli(['run', {str(folder / 'job.toml')!r}])"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline().strip() == "writing"
    process.send_signal(signal.SIGKILL)
    process.wait(timeout=60)
    assert (folder / "bounds.parquet").read_text() == "old"


@pytest.mark.skipif(os.name == "nt", reason="needs SIGINT")
def test_ctrl_c_ends_a_job_with_130_and_writes_nothing(folder):
    job = changed(
        folder, "[output]", "[options]\nmethod = 'emcc'\nrestarts = 200000\naccelerate = false\ngap = 0\n[output]"
    )
    script = Path(sys.executable).parent / "duckemcc"
    process = subprocess.Popen([script, "run", job], stderr=subprocess.PIPE, text=True)
    time.sleep(4)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130, told
    assert "nothing was written" in told
    assert not (folder / "bounds.parquet").exists()


def test_the_answer_is_json_for_machines(folder):
    done = invoke("run", folder / "job.toml", "--json")
    told = json.loads(done.stdout)
    assert told["rows"] == json.loads(to_json(direct(folder)))
    assert sum(told["statuses"].values()) == 2
    assert told["written"] == [str(folder / "bounds.parquet")]


def test_the_check_names_each_study(folder):
    done = invoke("check", folder / "job.toml")
    assert done.exit_code == 0
    for word in ("all together", "trial[Treatment=drug]", "registry", "yes"):
        assert word in done.output
    told = json.loads(invoke("check", folder / "job.toml", "--json").stdout)
    assert [row["compatible"] for row in told] == [True] * len(told)


def test_the_count_table_is_a_relation_that_gives_the_same_bounds(folder):
    assert invoke("counts", folder / "job.toml", "--out", folder / "counts.parquet").exit_code == 0
    con = duckdb.connect()
    emcc.register(con)
    found = con.sql(
        f"FROM emcc_bounds_by('{GRAPH}', '{PNS}', '{folder}/counts.parquet', 'Gender', weight := 'n')"
    ).to_arrow_table()
    assert found["lower"].to_pylist() == direct(folder)["lower"].to_pylist()
    printed = invoke("counts", folder / "job.toml").output.splitlines()
    assert printed[0].split(",") == ["study", "intervened", "Treatment", "Survival", "Gender", "n"]
    assert len(printed) == 17


def test_the_counting_query_of_a_warehouse_needs_no_connection(folder):
    job = JOB.replace("trial.parquet", "clinic.trial").replace(
        "registry.csv", "SELECT * FROM registry WHERE year > 2020"
    )
    (folder / "job.toml").write_text(job)
    done = invoke("counts", folder / "job.toml", "--sql", "postgres")
    assert done.exit_code == 0, done.output
    assert done.output.startswith("-- trial\nSELECT")
    assert "FROM clinic.trial" in done.output
    assert "year > 2020" in done.output
    assert "say in which database" in str(invoke("run", folder / "job.toml").exception)


def test_a_relation_is_not_written_as_sql(folder):
    (folder / "job.toml").write_text(JOB.replace('do = "Treatment"', "relation = true"))
    assert "give each study an entry of its own" in str(
        invoke("counts", folder / "job.toml", "--sql", "trino").exception
    )


def test_a_report_and_a_picture_are_written_beside_the_table(folder):
    pytest.importorskip("matplotlib")
    done = invoke("run", folder / "job.toml", "--report", folder / "r.html", "--plot", folder / "p.png")
    assert done.exit_code == 0, done.output
    page = (folder / "r.html").read_text(encoding="utf-8")
    assert "Table 1" in page
    assert "PNS(Treatment=drug, Survival=survived)" in page
    assert (folder / "p.png").read_bytes().startswith(b"\x89PNG")
    assert invoke("plot", folder / "bounds.parquet", folder / "q.svg").exit_code == 0
    two = invoke("plot", f"O={folder / 'bounds.parquet'}", f"I={folder / 'bounds.parquet'}", folder / "two.svg")
    assert two.exit_code == 0, two.output
    assert invoke("explain", folder / "job.toml", "--plot", folder / "graph.svg").exit_code == 0
    for name in ("q.svg", "two.svg", "graph.svg"):
        assert "<svg" in (folder / name).read_text()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("plot", "no.parquet", "x.svg"), "cannot be read as Parquet"),
        (("plot", "trial.parquet", "x.svg"), "is no table of bounds"),
        (("plot", "a=trial.parquet", "a=trial.parquet", "x.svg"), "no table of bounds|bear the same name"),
        (("run", "job.toml", "--out", "x.xls"), "is written as its name ends"),
        (("run", "job.toml", "--report", "x.pdf"), "is written as its name ends, in .html"),
        (("run", "job.toml", "--plot", "x.gif"), "is written as its name ends, in .png"),
        (("check", "job.toml", "--out", "x.xls"), "is written as its name ends"),
    ],
)
def test_what_cannot_be_written_or_drawn_is_told_before_the_work(folder, monkeypatch, words, message):
    monkeypatch.chdir(folder)
    with pytest.raises(emcc.DuckEmccError, match=message):
        raise invoke(*words).exception
    assert not (folder / "bounds.parquet").exists()


def test_a_database_that_cannot_be_opened_is_told(folder):
    (folder / "no.duckdb").write_text("no database")
    job = changed(folder, 'source = "trial.parquet"', 'source = "trial"\ndatabase = "no.duckdb"')
    with pytest.raises(SourceError, match=r"the database .*no.duckdb.* cannot be opened"):
        run_job(read_job(job))


def test_a_database_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "no.duckdb").write_text("no database")
    with pytest.raises(SourceError, match=r"the database .*no.duckdb.* cannot be written"):
        write(pa.table({"a": [1]}), Target(database=tmp_path / "no.duckdb", table="t"))


def test_a_table_needs_a_name(tmp_path):
    with pytest.raises(SourceError, match="is no name of a table"):
        write(pa.table({"a": [1]}), Target(database=tmp_path / "x.duckdb", table="t; DROP TABLE t"))
    assert not (tmp_path / "x.duckdb").exists()


def test_numbers_that_json_lacks_are_text():
    table = pa.table({"gap": [float("inf"), 0.5, None], "studies": [["a"], [], None]})
    assert json.loads(to_json(table))[0] == {"gap": "inf", "studies": ["a"]}
    assert to_csv(table).splitlines()[1] == 'inf,"[""a""]"'


def test_a_stored_model_is_asked_of_its_registered_studies(folder):
    with duckdb.connect(str(folder / "clinic.duckdb")) as con:
        emcc.save_model(con, "drug", GRAPH)
        emcc.save_study(con, "drug", emcc.Study("trial", con=con, do="Treatment", weight="n"))
        emcc.save_study(con, "drug", emcc.Study("registry", con=con, weight="n"))
    (folder / "job.toml").write_text(
        f'database = "clinic.duckdb"\nqueries = "{PNS}"\nby = "Gender"\n[model]\nname = "drug"\n'
    )
    found = run_job(read_job(folder / "job.toml")).table
    assert found["lower"].to_pylist() == direct(folder)["lower"].to_pylist()


@pytest.mark.parametrize(
    ("name", "message"),
    [("durg", r"line 4: .*durg.*drug"), ("drug", None)],
)
def test_a_model_that_is_not_stored_is_told_by_its_line(folder, name, message):
    with duckdb.connect(str(folder / "clinic.duckdb")) as con:
        emcc.save_model(con, "drug", GRAPH)
    text = JOB[JOB.index("[[studies]]") :]
    head = f'database = "clinic.duckdb"\nqueries = ["{PNS}"]\n[model]\nname = "{name}"\n'
    (folder / "job.toml").write_text(head + text)
    if message is None:
        assert read_job(folder / "job.toml").catalog == (folder / "clinic.duckdb", "drug")
    else:
        with pytest.raises(emcc.errors.JobError, match=message):
            read_job(folder / "job.toml")


@pytest.mark.parametrize(
    ("database", "message"), [("none.duckdb", "there is no database file"), ("registry.csv", "cannot be opened")]
)
def test_a_catalog_that_is_not_there_is_told(folder, database, message):
    head = f'database = "{database}"\nqueries = ["{PNS}"]\n[model]\nname = "drug"\n'
    (folder / "job.toml").write_text(head + JOB[JOB.index("[[studies]]") :])
    with pytest.raises(emcc.errors.JobError, match=message):
        read_job(folder / "job.toml")
