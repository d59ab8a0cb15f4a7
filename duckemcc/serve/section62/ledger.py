"""Where a benchmark's rows are kept, model by model, so that a killed run goes on where it stopped.

    .duckdb    table `emcc_benchmark`, each model's rows in one transaction; `emcc_benchmark_settings` beside it
    .parquet   written anew beside the old file after each model and put in its place at once (rename), so that the
               name always holds a whole file; the settings are in its metadata

A file made with other settings, or of other models by the same names, is refused. Failed models are tried again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from duckemcc.errors import OptionError, SourceError
from duckemcc.files import replace_file
from duckemcc.serve.section62.trial import DATA, Row, Task

if TYPE_CHECKING:
    import pyarrow as pa

TABLE = "emcc_benchmark"
_KEY = b"duckemcc.benchmark"

SUFFIXES = (".duckdb", ".parquet")


class Ledger:
    """Rows in memory: what a benchmark without a file uses, and the base of the others."""

    def __init__(self) -> None:
        self.rows: dict[str, list[Row]] = {}

    def add(self, rows: Sequence[Row]) -> None:
        """Keeps the rows of one model, in place of those that it had."""
        self.rows[rows[0]["model"]] = list(rows)
        self._save(rows)

    def of(self, tasks: Iterable[Task]) -> list[Row]:
        """The rows of these models, as far as there are."""
        return [row for task in tasks for row in self.rows.get(task.name, ())]

    def left(self, tasks: Iterable[Task]) -> list[Task]:
        """The models without rows, and those that failed. Raises `OptionError` for rows of another model so named."""
        wanted = []
        for task in tasks:
            rows = self.rows.get(task.name)
            if not rows or rows[0]["status"] == "failed":
                wanted.append(task)
            elif rows[0]["source"] != task.source:
                raise OptionError(
                    f"out has rows of another model named {task.name}: its source was {rows[0]['source']} and is now "
                    f"{task.source}",
                    remedy="give another out, or rename the model",
                    option="out",
                )
        return wanted

    def close(self) -> None:
        """Lets go of the file."""

    def _save(self, rows: Sequence[Row]) -> None:
        """Makes the rows of one model last."""

    def _load(self, rows: Iterable[Row]) -> None:
        for row in rows:
            self.rows.setdefault(row["model"], []).append(row)


def open_ledger(out: str | os.PathLike[str] | None, settings: Mapping[str, Any]) -> Ledger:
    """The ledger of a file, with the rows that are in it, or one in memory.

    Raises `OptionError` for another suffix or other settings, `SourceError` for a file that is no benchmark's.
    """
    if out is None:
        return Ledger()
    path = Path(out)
    if path.suffix.lower() not in SUFFIXES:
        raise OptionError(f"out is {str(out)!r}", remedy=f"its name ends in {' or '.join(SUFFIXES)}", option="out")
    if not path.parent.is_dir():
        raise SourceError(
            f"out is {str(out)!r}, and there is no folder {str(path.parent)!r}", remedy="create it", option="out"
        )
    return (DuckLedger if path.suffix.lower() == ".duckdb" else ParquetLedger)(path, dict(settings))


class ParquetLedger(Ledger):
    """Rows in a Parquet file."""

    def __init__(self, path: Path, settings: dict[str, Any]) -> None:
        super().__init__()
        self.path, self.settings = path, settings
        if path.exists():
            self._read()

    def _read(self) -> None:
        import pyarrow as pa
        from pyarrow import parquet

        try:
            table = parquet.read_table(self.path)
        except (pa.ArrowException, OSError) as wrong:
            raise SourceError(
                f"{self.path} cannot be read as a Parquet file ({wrong})", remedy="give another out", option="out"
            ) from None
        _check(self.path, (table.schema.metadata or {}).get(_KEY), self.settings)
        self._load(table.to_pylist())

    def _save(self, rows: Sequence[Row]) -> None:
        from pyarrow import parquet

        table = make_table([row for own in self.rows.values() for row in own])
        table = table.replace_schema_metadata({_KEY: json.dumps(self.settings)})
        with replace_file(self.path) as part:
            parquet.write_table(table, part)


class DuckLedger(Ledger):
    """Rows in a table of a DuckDB database, which may hold other tables too."""

    def __init__(self, path: Path, settings: dict[str, Any]) -> None:
        super().__init__()
        import duckdb

        try:
            self.con = duckdb.connect(path)
        except duckdb.Error as wrong:
            raise SourceError(
                f"{path} cannot be opened as a DuckDB database ({wrong})",
                remedy="close what else uses it, or give another out",
                option="out",
            ) from None
        try:
            with _ctrl_c():
                self._begin(path, settings)
        except BaseException:
            self.con.close()
            raise

    def _begin(self, path: Path, settings: dict[str, Any]) -> None:
        kept = f"{TABLE}_settings"
        tables = {name for (name,) in self.con.execute("SELECT table_name FROM duckdb_tables()").fetchall()}
        if TABLE not in tables:
            self.con.execute("BEGIN")
            self.con.register("emcc_rows", make_schema().empty_table())
            self.con.execute(f"CREATE TABLE {TABLE} AS FROM emcc_rows")
            self.con.execute(
                f"CREATE OR REPLACE TABLE {kept} AS SELECT $1::VARCHAR AS settings", [json.dumps(settings)]
            )
            self.con.execute("COMMIT")
            return
        found = self.con.execute(f"FROM {kept}").fetchall() if kept in tables else []
        _check(path, found[0][0] if found else None, settings)
        self._load(self.con.sql(f"FROM {TABLE}").to_arrow_table().to_pylist())

    def _save(self, rows: Sequence[Row]) -> None:
        with _ctrl_c():
            self.con.register("emcc_rows", make_table(rows))
            self.con.execute("BEGIN")
            self.con.execute(f"DELETE FROM {TABLE} WHERE model = $1", [rows[0]["model"]])
            self.con.execute(f"INSERT INTO {TABLE} BY NAME FROM emcc_rows")
            self.con.execute("COMMIT")

    def close(self) -> None:
        """Closes the database, so that others can open it."""
        self.con.close()


@contextmanager
def _ctrl_c() -> Iterator[None]:
    """Ctrl-C as what it is: within DuckDB it arrives as an error of DuckDB's."""
    try:
        yield
    except RuntimeError as wrong:
        if "interrupted" in str(wrong).lower():
            raise KeyboardInterrupt from None
        raise


def _check(path: Path, found: str | bytes | None, settings: Mapping[str, Any]) -> None:
    """Raises where the file's settings are not those of this run."""
    if found is None:
        raise SourceError(
            f"{path} holds something else than a benchmark's rows", remedy="give another out", option="out"
        )
    had = json.loads(found)
    wrong = [name for name in {**had, **settings} if had.get(name) != settings.get(name)]
    if wrong:
        was = ", ".join(f"{name}={had.get(name)!r}" for name in wrong)
        now = ", ".join(f"{name}={settings.get(name)!r}" for name in wrong)
        raise OptionError(
            f"{path} was made with {was}, and this run has {now}",
            remedy="give the same options, or another out",
            option="out",
        )


# -- the table -------------------------------------------------------------------------------------

_KINDS = {
    "model": "string",
    "data": "string",
    "source": "string",
    "status": "string",
    "message": "string",
    "query": "string",
    "endogenous": "int64",
    "exogenous": "int64",
    "n": "int64",
    "grown": "bool",
    "truth": "double",
    "lower": "double",
    "upper": "double",
    "credibility": "double",
    "compatible": "bool",
    "misfit": "double",
    "loglik_gap": "double",
    "p_value": "double",
    "optimality_gap": "double",
    "restarts": "int64",
    "kept": "int64",
    "converged": "bool",
    "steps": "int64",
    "seconds": "double",
    "cpu_seconds": "double",
}


def make_schema() -> pa.Schema:
    """The columns of a benchmark's table. runs: the bounds over the first 10, 20, 30, 50, 100, … restarts."""
    import pyarrow as pa

    scalar = {"string": pa.string(), "double": pa.float64(), "bool": pa.bool_(), "int64": pa.int64()}
    names = ("restarts", "kept", "lower", "upper", "credibility")
    run = pa.struct([(name, scalar["int64" if name in names[:2] else "double"]) for name in names])
    return pa.schema([*((name, scalar[kind]) for name, kind in _KINDS.items()), ("runs", pa.list_(run))])


def make_table(rows: Sequence[Row]) -> pa.Table:
    """Rows as Arrow, sorted by model, then O, I, O+I: the same table in whatever order they came."""
    import pyarrow as pa

    ordered = sorted(rows, key=lambda row: (row["model"], DATA.index(row["data"])))
    return pa.Table.from_pylist(ordered, schema=make_schema())
