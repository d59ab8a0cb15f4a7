"""Where a job's table goes: a file, or a table of DuckDB or PostgreSQL. The old one stays until the new is whole."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from duckemcc.errors import OptionError, SourceError, engine_reason, is_hiding, masked, masked_all
from duckemcc.files import replace_file
from duckemcc.model.tokens import cut
from duckemcc.serve.job.formats import to_csv, to_json

if TYPE_CHECKING:
    import pyarrow as pa

_log = logging.getLogger(__name__)

LONGEST_NAME = 255
"""Bytes of a file's name that file systems take."""


class Target(NamedTuple):
    """One of: a file; a table of a DuckDB database; a table of a PostgreSQL server."""

    file: Path | None = None
    database: Path | None = None
    connection: str | None = None
    table: str | None = None

    def __repr__(self) -> str:
        """Without the connection, which may hold a password."""
        return f"Target({str(self)!r})"

    def __str__(self) -> str:
        if self.file is not None:
            return str(self.file)
        return f"{self.table} of {self.database if self.database is not None else 'the PostgreSQL connection'}"


def check_target(file: Path | None, database: Path | None, connection: str | None, table: str | None) -> Target | None:
    """The target that these make, None where all are missing. Raises `OptionError` for what is no target."""
    places = [p for p in (file, database, connection) if p is not None]
    if not places and table is None:
        return None
    if len(places) != 1 or (table is None) != (file is not None):
        raise OptionError(
            "an output is a file = …, or a database = … or connection = … with table = …", remedy="give one of them"
        )
    if file is not None:
        check_place(file, ENDINGS)
    elif database is not None:
        check_folder(database)
    return Target(file, database, connection, table)


def check_place(path: Path, endings: Sequence[str]) -> None:
    """Raises `OptionError` where no file of that name can be written, which ends in one of these."""
    if not path.name.lower().endswith(tuple(endings)):
        raise OptionError(f"{path.name!r} is written as its name ends, in {', '.join(endings)}")
    check_folder(path)


def check_folder(path: Path) -> None:
    """Raises `OptionError` where there is no folder for it, one that cannot be written to, or one of its name."""
    if "\0" in str(path) or len(os.fsencode(path.name)) > LONGEST_NAME:
        shown = cut(path.name)
        raise OptionError(f"{shown!r} is no name of a file: it has a NUL character, or more than {LONGEST_NAME} bytes")
    if not os.path.isdir(path.parent):
        raise OptionError(f"there is no folder {str(path.parent)!r}", remedy="create it")
    if os.path.isdir(path):
        raise OptionError(f"{str(path)!r} is a folder", remedy="name a file")
    if os.path.exists(path) and not os.path.isfile(path):
        raise OptionError(f"{str(path)!r} is a device or the like", remedy="name a file")
    folder = Path(os.path.realpath(path)).parent
    if not os.access(folder, os.W_OK):
        raise OptionError(
            f"no file can be written in the folder {str(folder)!r}: it is read-only", remedy="name another"
        )


Check: TypeAlias = Callable[[Any], None]
"""Called with the connection that writes, in its transaction, before anything is changed; may raise."""


def write(table: pa.Table, target: Target, check: Check = lambda con: None) -> None:
    """Writes the table, in place of what was there: the old or the new one is found there, never a part.

    Raises `SourceError` where it cannot be written, and what `check` raises for a table of a database.
    """
    begun = time.monotonic()
    _write(table, target, check)
    place = "a file" if target.file is not None else "a table"
    told = table.num_rows, table.num_columns, place, time.monotonic() - begun
    _log.info("written %d rows of %d columns to %s, %.3f s", *told)


def _write(table: pa.Table, target: Target, check: Check) -> None:
    if target.file is not None:
        with making(target.file) as part:
            fill(part, table, target.file.suffix.lower())
    elif target.database is not None:
        assert target.table is not None
        _write_duckdb(table, target.database, target.table, check)
    else:
        from duckemcc.study.count.remote import write_table

        assert target.connection is not None
        assert target.table is not None
        write_table(target.connection, target.table, table, check)


@contextmanager
def making(path: Path) -> Iterator[Path]:
    """As `replace_file`. Raises `SourceError` where the file cannot be written."""
    try:
        with replace_file(path) as part:
            yield part
    except OSError as wrong:
        reason = wrong.strerror or str(wrong)
        raise SourceError(f"{str(path)!r} cannot be written: {reason}; what was there before is still there") from wrong


def fill(part: Path, table: pa.Table, kind: str) -> None:
    """Writes a table to a file, as the ending `kind`, one of `ENDINGS`, says."""
    _WRITERS[kind](part, table)


def _write_parquet(part: Path, table: pa.Table) -> None:
    from pyarrow import parquet

    parquet.write_table(table, part)


_WRITERS: dict[str, Callable[[Path, Any], object]] = {
    ".parquet": _write_parquet,
    ".csv": lambda part, table: part.write_text(to_csv(table), encoding="utf-8"),
    ".json": lambda part, table: part.write_text(to_json(table), encoding="utf-8"),
}
ENDINGS = tuple(_WRITERS)


def hidden(table: pa.Table, by: Sequence[str]) -> pa.Table:
    """The table without what is hidden: in its text but the segments `by`, which are records, and in its names."""
    import pyarrow as pa

    if not is_hiding():
        return table
    for i, column in enumerate(table.schema):
        kind = column.type
        listed = pa.types.is_list(kind) or pa.types.is_large_list(kind)
        if column.name in by or not (listed or pa.types.is_string(kind) or pa.types.is_large_string(kind)):
            continue
        if listed:
            table = table.set_column(i, column, pa.array(masked_all(table[i].to_pylist()), kind))
            continue
        values = table[i].combine_chunks().dictionary_encode()
        told = [v if v is None else masked(v) for v in values.dictionary.to_pylist()]
        if told != values.dictionary.to_pylist():
            table = table.set_column(i, column, pa.array(told, kind).take(values.indices))
    return table.rename_columns([masked(name) for name in table.column_names])


def _write_duckdb(table: pa.Table, database: Path, name: str, check: Check) -> None:
    import duckdb

    from duckemcc.serve.duckdb.sources import table_sql

    target = table_sql(name)
    try:
        con = duckdb.connect(str(database))
    except duckdb.Error as wrong:
        raise SourceError(f"the database {str(database)!r} cannot be written: {engine_reason(wrong)}") from wrong
    try:
        con.register("emcc_result", table)
        con.begin()
        check(con)
        con.execute(f"CREATE OR REPLACE TABLE {target} AS FROM emcc_result")
        con.commit()
    except duckdb.Error as wrong:
        raise SourceError(f"the table {name} of {str(database)!r} cannot be written: {engine_reason(wrong)}") from wrong
    finally:
        con.close()
