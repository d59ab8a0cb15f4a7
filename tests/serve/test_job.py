"""Batch jobs, run: from files and databases to files and tables, in one go, with an exit code for schedulers."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.compute
import pytest
from click.testing import CliRunner
from pyarrow import parquet

import duckemcc as emcc
from duckemcc.errors import SourceError
from duckemcc.serve.cli.main import cli
from duckemcc.serve.job.file import read_job
from duckemcc.serve.job.formats import to_csv, to_json
from duckemcc.serve.job.output import Target, write
from duckemcc.serve.job.run import run_job

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


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Table 1 as a Parquet file, a CSV file and a database."""
    folder = tmp_path_factory.mktemp("files")
    with duckdb.connect(str(folder / "clinic.duckdb")) as con:
        con.execute(emcc.read_sql("drug_trial"))
        con.execute(f"COPY trial TO '{folder}/trial.parquet'; COPY registry TO '{folder}/registry.csv'")
    return folder


@pytest.fixture
def folder(files, tmp_path):
    """These files and a job over them."""
    shutil.copytree(files, tmp_path, dirs_exist_ok=True)
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
        "from duckemcc.serve.cli.main import cli\n"
        f"cli(['run', {str(folder / 'job.toml')!r}])"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline().strip() == "writing"
    process.send_signal(signal.SIGKILL)
    process.wait(timeout=60)
    assert (folder / "bounds.parquet").read_text() == "old"


LEARNING = """
import sys
from duckemcc.serve.cli import main as cli
from duckemcc.answer import plan as work
sys.argv = ["duckemcc", "run", {job!r}]
learn = work.learn
work.learn = lambda *asked: (print("now", flush=True), learn(*asked))[1]
cli.take_ctrl_c()
cli.main()
"""
"""A job that says when it learns."""


@pytest.mark.skipif(os.name == "nt", reason="needs SIGINT")
def test_ctrl_c_ends_a_job_with_130_and_writes_nothing(folder):
    job = changed(
        folder, "[output]", "[options]\nmethod = 'emcc'\nrestarts = 200000\naccelerate = false\ngap = 0\n[output]"
    )
    code = LEARNING.format(job=str(job))
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "now\n"
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


def test_a_study_that_is_a_file_is_a_comment_beside_the_sql_of_the_others(folder):
    job = changed(folder, 'source = "trial.parquet"', 'source = "own.trial"')
    done = invoke("counts", job, "--sql", "duckdb")
    assert done.exit_code == 0, done.output
    assert "-- registry: the file registry.csv, counted by duckdb where duckemcc runs" in done.output
    with duckdb.connect(str(folder / "clinic.duckdb")) as con:
        con.execute("CREATE SCHEMA own; CREATE TABLE own.trial AS FROM main.trial")
        assert con.execute(done.output).fetchall()


def test_a_job_of_files_has_comments_for_sql(folder):
    done = invoke("counts", folder / "job.toml", "--sql", "snowflake")
    assert done.exit_code == 0, done.output
    lines = [line for line in done.output.splitlines() if line]
    assert len(lines) == 2
    assert all(line.startswith("-- ") for line in lines)


def test_a_relation_of_several_studies_is_not_written_as_sql(folder):
    text = JOB.replace('do = "Treatment"', "relation = true").replace("trial.parquet", "clinic.studies")
    (folder / "job.toml").write_text(text)
    assert "give each an entry of its own" in str(invoke("counts", folder / "job.toml", "--sql", "trino").exception)


def test_a_stored_job_has_no_studies_to_write_as_sql(folder):
    with duckdb.connect(str(folder / "clinic.duckdb")) as con:
        emcc.save_model(con, "drug", GRAPH)
    (folder / "job.toml").write_text('database = "clinic.duckdb"\n[model]\nname = "drug"\n')
    assert "this one lists none" in str(invoke("counts", folder / "job.toml", "--sql", "trino").exception)


def test_the_query_and_a_file_for_the_counts_exclude_each_other(folder):
    done = invoke("counts", folder / "job.toml", "--sql", "trino", "--out", folder / "c.csv")
    assert "give one of them" in str(done.exception)


@pytest.mark.parametrize("command", ["check", "counts", "explain"])
def test_what_asks_nothing_needs_no_query(folder, command):
    job = changed(folder, f'queries = ["{PNS}"]\n', "")
    done = invoke(command, job)
    assert done.exit_code == 0, done.output
    assert "there is no query" in str(invoke("run", job).exception)


@pytest.mark.parametrize("command", ["run", "check", "counts"])
def test_no_command_writes_over_the_records_it_reads(folder, command):
    before = (folder / "registry.csv").read_bytes()
    done = invoke(command, folder / "job.toml", "--out", folder / "." / "registry.csv")
    assert "would take the place of records that a study reads" in str(done.exception)
    assert (folder / "registry.csv").read_bytes() == before


def test_an_output_table_is_none_of_those_that_are_read(folder):
    job = JOB.replace('by = "Gender"', 'by = "Gender"\ndatabase = "clinic.duckdb"').replace("trial.parquet", "trial")
    (folder / "job.toml").write_text(
        job.replace('file = "bounds.parquet"', 'database = "clinic.duckdb"\ntable = "trial"')
    )
    with pytest.raises(emcc.errors.JobError, match="is a view"):
        read_job(folder / "job.toml")


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        (
            'graph = "',
            'graph = "Age -> Survival; ',
            8,
            'Map it with columns = {Age = "…"}, or say unmeasured = ["Age"]',
        ),
        ('do = "Treatment"\nweight = "n"', 'weight = "Gender"', 8, "a weight is a number"),
        ('do = "Treatment"', "where = \"Gender = 'x'\"", 8, "that satisfy where = \"Gender = 'x'\""),
        ('by = "Gender"', 'by = "region"', 8, "shared = true"),
        ("registry.csv", 'trial.parquet"\nwhere = "Agee > 4', 12, "has no column for the name Agee"),
        ("Survival=survived", "Survival=surived", 3, "Survival has no state 'surived'"),
        ("[output]", '[options]\npopulation = "trail"\n[output]', 15, "did you mean one of these names: ['trial']"),
        (
            'source = "trial.parquet"\ndo = "Treatment"',
            'source = "studies.csv"\nrelation = true',
            8,
            "a weight is a number",
        ),
    ],
)
def test_a_mistake_that_only_the_data_show_is_told_with_the_line_of_its_study(folder, old, new, line, message):
    (folder / "studies.csv").write_text("study,Treatment,Survival,Gender,n\na,drug,dead,male,count\n")
    done = invoke("run", changed(folder, old, new))
    told = str(done.exception)
    assert told.startswith(f"job.toml, line {line}: "), told
    assert message in told
    assert not (folder / "bounds.parquet").exists()


@pytest.mark.parametrize("command", ["run", "check", "counts", "explain"])
def test_a_misspelt_table_is_told_with_those_that_there_are(folder, command):
    job = JOB.replace('by = "Gender"', 'by = "Gender"\ndatabase = "clinic.duckdb"').replace("trial.parquet", "trail")
    (folder / "job.toml").write_text(job)
    told = str(invoke(command, folder / "job.toml").exception)
    assert told.startswith("job.toml, line 9: study 'trail': clinic.duckdb has no table 'trail'; its tables are")
    assert "registry, studies, trial" in told
    assert "Hint: did you mean one of these tables: ['trial']?" in told


def test_incompatible_rows_are_told_with_their_segment_and_the_pattern_at_fault(tmp_path):
    rows = [(s, x, y, n) for s in "ab" for x in (0, 1) for y, n in ((0, 60), (1, 40))]
    pl.DataFrame(rows, ["seg", "X", "Y", "n"], orient="row").write_parquet(tmp_path / "records.parquet")
    other = [(s, 1, y, 500 if (s, y) == ("b", 0) else 1) for s in "ab" for y in (0, 1)]
    other = [(s, x, y, {"a": 50 + 10 * (1 - y), "b": n}[s]) for s, x, y, n in other]
    pl.DataFrame(other, ["seg", "X", "Y", "n"], orient="row").write_parquet(tmp_path / "trial.parquet")
    (tmp_path / "job.toml").write_text(
        'queries = ["P(Y[X=1]=1)", "ACE(X=1, Y=1)"]\nby = "seg"\n[model]\ngraph = "X -> Y"\n[[studies]]\n'
        'source = "records.parquet"\nweight = "n"\n[[studies]]\nsource = "trial.parquet"\ndo = "X"\nweight = "n"\n'
    )
    done = invoke("run", tmp_path / "job.toml")
    assert done.exit_code == 3, done.output
    notes = [line for line in done.output.splitlines() if line.startswith("note: ")]
    assert notes
    assert all(note.startswith("note: seg = b: ") for note in notes)
    found = run_job(read_job(tmp_path / "job.toml")).table.filter(pa.compute.field("seg") == "b")
    for fault in set(found["fault"].to_pylist()):
        assert f"contradicted most by {fault}" in done.output


def test_a_segment_of_null_is_called_so(tmp_path):
    rows = [(None, 0, 0), (None, 1, 1), ("a", 0, 1), ("a", 1, 1)]
    pl.DataFrame(rows, ["seg", "X", "Y"], orient="row").write_parquet(tmp_path / "records.parquet")
    (tmp_path / "job.toml").write_text(
        'queries = "P(Y[X=1]=1)"\nby = "seg"\n[model]\ngraph = "X -> Y; X <-> Y"\n[[studies]]\n'
        'source = "records.parquet"\n'
    )
    for command in ("run", "check"):
        output = invoke(command, tmp_path / "job.toml").output
        assert "│ NULL" in output
        assert "None" not in output


def test_many_notes_are_not_all_printed(capsys):
    from duckemcc.serve.cli.terminal import MOST_NOTES, _show_notes

    rows = [{"s": k, "query": "q", "message": f"m{k % 20}", "fault": None} for k in range(100)]
    _show_notes(pa.Table.from_pylist(rows), ["s"])
    told = capsys.readouterr().out.splitlines()
    assert len(told) == MOST_NOTES + 1
    assert told[0] == "note: s = 0; s = 20; s = 40 and 2 more: m0"
    assert "10 more notes" in told[-1]


def test_a_note_names_its_query_where_others_have_none(capsys):
    from duckemcc.serve.cli.terminal import _show_notes

    rows = [{"query": q, "message": m, "fault": None} for q, m in (("P(X=1)", None), ("P(Y=1)", "why"))]
    _show_notes(pa.Table.from_pylist(rows), [])
    assert capsys.readouterr().out == "note: P(Y=1): why\n"


def test_where_nobody_looks_tables_are_as_wide_as_their_texts(folder):
    long = f"{PNS} - P(Survival=survived) + P(Survival=dead) - P(Treatment=drug) + P(Survival[Treatment=drug]=dead)"
    done = invoke("run", changed(folder, f'["{PNS}"]', f'["{long}"]'))
    assert done.exit_code == 0, done.output
    assert any(long in line and "female" in line for line in done.output.splitlines())
    lines = invoke("check", folder / "job.toml").output.splitlines()
    assert any("trial[Treatment=no drug]" in line for line in lines)


def test_every_command_says_what_it_wrote(folder, monkeypatch):
    pytest.importorskip("matplotlib")
    monkeypatch.chdir(folder)
    assert "2 rows: " in invoke("run", "job.toml").output
    assert "1 row: " in invoke("run", changed(folder, 'by = "Gender"\n', "")).output
    for words in (
        ("check", "job.toml", "--out", "c.csv"),
        ("counts", "job.toml", "--out", "n.csv"),
        ("explain", "job.toml", "--plot", "g.svg"),
        ("plot", "bounds.parquet", "p.png"),
    ):
        done = invoke(*words)
        assert done.exit_code == 0, done.output
        assert f"written: {words[-1]}" in done.output
        assert (folder / words[-1]).is_file()


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX processes")
def test_parts_that_killed_processes_left_are_swept_and_those_of_living_ones_kept(tmp_path):
    from duckemcc.files import _part_of, replace_file

    whole = tmp_path / "b[1].parquet"
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait(timeout=60)
    dead, living = (tmp_path / f"{_part_of(whole)}{process}" for process in (gone.pid, os.getppid()))
    other = tmp_path / f".{whole.name}.elsewhere.{gone.pid}"
    for part in (dead, living, other):
        part.write_text("part")
    with replace_file(whole) as part:
        part.write_text("whole")
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(p.name for p in (whole, living, other))


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
        (("plot", "no.parquet", "x.svg"), "cannot be read: No such file"),
        (("plot", "trial.parquet", "x.svg"), "is no table of bounds"),
        (("plot", "a=trial.parquet", "a=trial.parquet", "x.svg"), "no table of bounds|bear the same name"),
        (("run", "job.toml", "--out", "x.xls"), "is written as its name ends"),
        (("run", "job.toml", "--report", "x.pdf"), "is written as its name ends, in .html"),
        (("run", "job.toml", "--plot", "x.gif"), "is written as its name ends, in .png"),
        (("check", "job.toml", "--out", "x.xls"), "is written as its name ends"),
        (("counts", "job.toml", "--out", "x.xls"), "is written as its name ends"),
        (("explain", "job.toml", "--plot", "x.gif"), "is written as its name ends, in .png"),
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
