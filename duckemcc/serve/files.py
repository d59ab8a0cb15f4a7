"""Files: the plugin's own SQL, beside the package in a source tree and inside it in a wheel; and writing in one go."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]


def read_sql(name: str) -> str:
    """The text of a file of `sql/`, e.g. ``macros``."""
    for folder in (_PACKAGE / "sql", _PACKAGE.parent / "sql"):
        path = folder / f"{name}.sql"
        if path.is_file():
            return path.read_text(encoding="utf-8")
    raise FileNotFoundError(f"duckemcc's own {name}.sql is missing; install the package again")


@contextmanager
def replace_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A name beside `path` to write to, which takes its place once the block is left; the old file, or none, stays
    where the block fails or is killed."""
    whole = Path(path)
    part = whole.with_name(f".{whole.name}.{os.getpid()}")
    try:
        yield part
        with part.open("rb+") as written:
            os.fsync(written.fileno())
        part.replace(whole)
    finally:
        part.unlink(missing_ok=True)
