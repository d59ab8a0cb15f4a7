"""A job never writes over what it reads, by whatever name it calls either."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import duckdb
import polars as pl
import pytest

import duckemcc as emcc
from duckemcc.errors import DuckEmccError, OptionError, SourceError
from duckemcc.files import replace_file
from duckemcc.serve.job.file import read_job
from duckemcc.serve.job.output import Target, write
from duckemcc.serve.job.run import run_job

ROWS = [(x, y) for x, y, n in ((0, 0, 3), (0, 1, 2), (1, 0, 1), (1, 1, 4)) for _ in range(n)]
FRAME = pl.DataFrame(ROWS, schema=["X", "Y"], orient="row")


@pytest.fixture
def clinic(tmp_path):
    return make_clinic(tmp_path)


@pytest.fixture(scope="module")
def untouched(tmp_path_factory):
    """One clinic for the jobs that change nothing."""
    return make_clinic(tmp_path_factory.mktemp("clinic"))


def make_clinic(tmp_path):
    """A database with a table, views over it and over a file, another schema, and a catalog with a study."""
    FRAME.write_parquet(tmp_path / "records.parquet")
    con = duckdb.connect(str(tmp_path / "c.duckdb"))
    con.register("frame", FRAME.to_arrow())
    con.execute("CREATE TABLE trial AS FROM frame; CREATE TABLE other AS FROM frame; CREATE SCHEMA s")
    con.execute('CREATE TABLE s.trial AS FROM frame; CREATE TABLE " trial " AS FROM frame')
    con.execute('CREATE VIEW v AS SELECT "X", "Y" FROM main.trial; CREATE VIEW vv AS FROM v WHERE "X" >= 0')
    con.execute(f"CREATE VIEW f AS FROM read_parquet('{tmp_path}/records.parquet')")
    con.unregister("frame")
    emcc.register(con)
    emcc.save_model(con, "drug", "X -> Y; X <-> Y")
    emcc.save_study(con, "drug", emcc.Study("other", name="registered", con=con))
    con.close()
    os.symlink(tmp_path / "c.duckdb", tmp_path / "link.duckdb")
    os.link(tmp_path / "c.duckdb", tmp_path / "hard.duckdb")
    return tmp_path


def job(folder: Path, source: str, output: str, *, study: str = "", model: str = 'graph = "X -> Y; X <-> Y"'):
    (folder / "job.toml").write_text(
        f"queries = [\"P(Y=1)\"]\n[model]\n{model}\n[[studies]]\nsource = '{source}'\n{study}\n[output]\n{output}\n"
    )
    return folder / "job.toml"


def state(folder: Path):
    """All records there are, and the bytes of all files but databases."""
    with duckdb.connect(str(folder / "c.duckdb"), read_only=True) as con:
        tables = con.sql("SELECT schema_name, table_name FROM duckdb_tables() ORDER BY ALL").fetchall()
        held = {t: con.sql(f'FROM "{t[0]}"."{t[1]}"').fetchall() for t in tables}
    files = {p.name: p.read_bytes() for p in sorted(folder.iterdir()) if p.suffix != ".duckdb"}
    return held, files


SPELLINGS = [
    (source, table, database)
    for database in ("./c.duckdb", "link.duckdb", "hard.duckdb")
    for source, table in (("trial", "trial"), ("vv", "main.trial"), ("c.main.trial", '"trial"'))
]


@pytest.mark.parametrize(
    ("source", "table", "database"),
    [
        *SPELLINGS,
        ("trial", "trial", "c.duckdb"),
        ("trial", "main.trial", "c.duckdb"),
        ("main.trial", "trial", "c.duckdb"),
        ("trial", "TRIAL", "c.duckdb"),
        ("trial", '"trial"', "c.duckdb"),
        ('"trial"', "Main.Trial", "c.duckdb"),
        ("c.main.trial", "trial", "c.duckdb"),
        ("v", "trial", "c.duckdb"),
        ("vv", "main.trial", "c.duckdb"),
        ('" trial "', '" trial "', "c.duckdb"),
        ("s.trial", "S.TRIAL", "c.duckdb"),
        ("trial", "emcc.models", "c.duckdb"),
        ("trial", "emcc.studies", "c.duckdb"),
        ("trial", "other", "c.duckdb"),
        ("v", "vv", "c.duckdb"),
    ],
)
def test_a_table_that_is_read_or_registered_is_never_replaced(untouched, source, table, database):
    path = job(untouched, source, f"database = '{database}'\ntable = '{table}'", study='database = "c.duckdb"')
    before = state(untouched)
    with pytest.raises(DuckEmccError, match="name a"):
        run_job(read_job(path))
    assert state(untouched) == before


def test_a_table_that_is_the_targets_alone_is_written(clinic):
    for table in ("fresh", "s.trial"):
        path = job(clinic, "vv", f"database = 'link.duckdb'\ntable = '{table}'", study='database = "c.duckdb"')
        run_job(read_job(path))
        with duckdb.connect(str(clinic / "c.duckdb"), read_only=True) as con:
            assert con.sql(f"SELECT status FROM {table}").fetchall() == [("identified",)]


def test_a_view_that_comes_between_reading_and_writing_is_seen_in_the_transaction(clinic):
    from duckemcc.serve.job.clash import refuse_table

    path = job(clinic, "v", "database = 'c.duckdb'\ntable = 's.trial'", study='database = "c.duckdb"')
    found = read_job(path)
    with duckdb.connect(str(clinic / "c.duckdb")) as con:
        con.begin()
        refuse_table(con, found.target, found)
        con.execute("CREATE OR REPLACE VIEW v AS FROM s.trial")
        with pytest.raises(OptionError):
            refuse_table(con, found.target, found)


def test_a_stored_models_studies_are_not_replaced(clinic):
    text = "queries = [\"P(Y=1)\"]\ndatabase = 'c.duckdb'\n[model]\nname = 'drug'\n[output]\n"
    (clinic / "job.toml").write_text(text + "database = 'hard.duckdb'\ntable = 'OTHER'\n")
    before = state(clinic)
    with pytest.raises(DuckEmccError, match="registered"):
        run_job(read_job(clinic / "job.toml"))
    assert state(clinic) == before


@pytest.mark.parametrize(
    ("source", "output"),
    [
        ("records.parquet", "file = 'records.parquet'"),
        ("records.parquet", "file = 'sub/../records.parquet'"),
        ("records.parquet", "file = 'soft.parquet'"),
        ("records.parquet", "file = 'twin.parquet'"),
        ("rec*.parquet", "file = 'records.parquet'"),
        ("rec*.parquet", "file = 'recent.parquet'"),  # would be read as records by the next run
        ("records.parquet", "file = 'job.toml.json'"),
        ("records.parquet", "file = 'm.json'"),
        ("records.parquet", "report = 'a.html'\nfile = 'b.csv'"),
    ],
)
def test_a_file_that_is_read_is_never_replaced_nor_are_two_outputs_one(clinic, source, output):
    (clinic / "sub").mkdir()
    os.symlink(clinic / "records.parquet", clinic / "soft.parquet")
    os.link(clinic / "records.parquet", clinic / "twin.parquet")
    (clinic / "m.json").write_text('{"endogenous": {"X": {"parents": []}, "Y": {"parents": ["X"]}}, "exogenous": {}}')
    path = job(clinic, source, output, model="file = 'm.json'")
    os.link(path, clinic / "job.toml.json")
    (clinic / "a.html").touch()
    os.symlink(clinic / "a.html", clinic / "b.csv")
    before = state_of_files(clinic)
    with pytest.raises(DuckEmccError, match=r"another|its own"):
        run_job(read_job(path))
    assert state_of_files(clinic) == before


def state_of_files(folder: Path):
    return {p.name: p.read_bytes() for p in sorted(folder.iterdir()) if p.is_file()}


def test_a_file_that_a_view_reads_is_never_replaced(clinic):
    path = job(clinic, "f", "file = 'records.parquet'", study='database = "c.duckdb"')
    before = state(clinic)
    with pytest.raises(DuckEmccError, match="view"):
        run_job(read_job(path))
    assert state(clinic) == before


def test_what_the_command_line_says_is_compared_as_well(clinic):
    from click.testing import CliRunner

    from duckemcc.serve.cli.main import cli

    path = job(clinic, "f", "file = 'fine.parquet'", study='database = "c.duckdb"')
    before = state(clinic)
    done = CliRunner().invoke(cli, ["run", str(path), "--out", str(clinic / "records.parquet")])
    assert done.exit_code != 0
    assert state(clinic) == before


# -- PostgreSQL --------------------------------------------------------------------------------


@pytest.fixture
def server(postgres, tmp_path):
    from adbc_driver_postgresql import dbapi

    with dbapi.connect(postgres, autocommit=True) as con, con.cursor() as cursor:
        cursor.adbc_ingest("trial", FRAME.to_arrow(), mode="create")
        for text in (
            "CREATE VIEW v AS SELECT * FROM trial",
            "CREATE SCHEMA s",
            "CREATE TABLE s.trial AS SELECT * FROM trial",
            'CREATE TABLE parted ("X" bigint, "Y" bigint) PARTITION BY LIST ("X")',
            "CREATE TABLE part0 PARTITION OF parted FOR VALUES IN (0)",
            "CREATE TABLE part1 PARTITION OF parted FOR VALUES IN (1)",
            "INSERT INTO parted SELECT * FROM trial",
        ):
            cursor.execute(text)
    return postgres


@pytest.mark.parametrize(
    ("source", "table"),
    [
        ("trial", "trial"),
        ("trial", "public.trial"),
        ("public.trial", "TRIAL"),
        ("v", "trial"),
        ('SELECT "X", "Y" FROM v', '"trial"'),
        ("SELECT a.* FROM trial AS a, s.trial AS b LIMIT 10", "s.trial"),
        ("parted", "parted"),
        ("parted", "part1"),
        ("part1", "parted"),
    ],
)
def test_a_table_of_postgres_that_is_read_is_never_replaced(server, tmp_path, source, table):
    from adbc_driver_postgresql import dbapi

    def held():
        with dbapi.connect(server) as con, con.cursor() as cursor:
            return [
                cursor.execute(f"SELECT * FROM {t} ORDER BY 1, 2").fetch_arrow_table().to_pylist()
                for t in ("trial", "s.trial", "parted")
            ]

    other = server + ("&" if "?" in server else "?") + "application_name=other"  # the same server by another text
    path = tmp_path / "job.toml"
    path.write_text(
        f"queries = [\"P(Y=1)\"]\n[model]\ngraph = 'X {{0, 1}}; Y {{0, 1}}; X -> Y; X <-> Y'\n[[studies]]\n"
        f"source = '{source}'\nconnection = '{server}'\n[output]\nconnection = '{other}'\ntable = '{table}'\n"
    )
    before = held()
    with pytest.raises(OptionError, match="name another"):
        run_job(read_job(path))
    assert held() == before


# -- how files take their place ------------------------------------------------------------------


def test_the_mode_of_a_file_and_a_link_are_kept(tmp_path):
    (tmp_path / "old.csv").write_text("old")
    (tmp_path / "old.csv").chmod(0o600)
    os.symlink(tmp_path / "old.csv", tmp_path / "link.csv")
    write(FRAME.to_arrow(), Target(file=tmp_path / "link.csv"))
    assert (tmp_path / "link.csv").is_symlink()
    assert stat.S_IMODE((tmp_path / "old.csv").stat().st_mode) == 0o600
    assert (tmp_path / "old.csv").read_text().startswith("X,Y")


def test_a_new_file_has_the_mode_that_the_process_gives(tmp_path):
    mask = os.umask(0o027)
    try:
        write(FRAME.to_arrow(), Target(file=tmp_path / "new.csv"))
    finally:
        os.umask(mask)
    assert stat.S_IMODE((tmp_path / "new.csv").stat().st_mode) == 0o640


def test_many_writers_at_once_leave_one_whole_file_and_nothing_else(tmp_path):
    failed = []

    def go(k):
        try:
            with replace_file(tmp_path / "out.csv") as part:
                part.write_text(str(k) * 10_000)
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=go, args=(k,)) for k in range(10)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not failed
    assert [p.name for p in tmp_path.iterdir()] == ["out.csv"]
    assert len(set((tmp_path / "out.csv").read_text())) == 1


def test_the_longest_name_of_a_file_can_be_written_and_a_longer_one_is_refused(tmp_path):
    FRAME.write_parquet(tmp_path / "records.parquet")
    name = "b" * (255 - len(".csv")) + ".csv"
    run_job(read_job(job(tmp_path, "records.parquet", f"file = '{name}'")))
    assert (tmp_path / name).is_file()
    for wrong in ("b" + name, "a\\u0000.csv"):
        for key in ("file", "report", "plot"):
            ending = {"file": ".csv", "report": ".html", "plot": ".svg"}[key]
            path = job(tmp_path, "records.parquet", f'{key} = "{wrong.replace(".csv", ending)}"')
            with pytest.raises(DuckEmccError, match="no name of a file"):
                read_job(path)


def test_a_folder_that_cannot_be_written_to_is_told_before_the_work(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write anywhere
    FRAME.write_parquet(tmp_path / "records.parquet")
    (tmp_path / "shut").mkdir()
    with pytest.raises(DuckEmccError, match="read-only"):
        read_job(job(tmp_path, "records.parquet", "file = 'shut/b.csv'"))


@pytest.mark.parametrize("key", ["report", "plot", "file"])
def test_a_full_disk_is_told_and_leaves_what_was_there(tmp_path, monkeypatch, key):
    FRAME.write_parquet(tmp_path / "records.parquet")
    names = {"report": "r.html", "plot": "p.svg", "file": "b.csv"}
    for name in names.values():
        (tmp_path / name).write_text("old")
    path = job(tmp_path, "records.parquet", "\n".join(f"{k} = '{v}'" for k, v in names.items()))

    def full(self, *_, **__):
        raise OSError(28, "No space left on device")

    kinds = {"report": (".html", "write_text"), "plot": (".svg", "write_bytes"), "file": (".csv", "write_text")}
    ending, method = kinds[key]
    real = getattr(Path, method)

    def maybe(self, *given, **more):
        return full(self) if ending in self.name else real(self, *given, **more)

    monkeypatch.setattr(Path, method, maybe)
    with pytest.raises(SourceError, match="No space left"):
        run_job(read_job(path))
    assert {name: (tmp_path / name).read_bytes() for name in names.values()} == dict.fromkeys(names.values(), b"old")
    assert not list(tmp_path.glob(".*"))
