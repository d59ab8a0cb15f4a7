"""Where the plugin's own SQL lies: beside the package in a source tree, inside it in a wheel."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]


def read_sql(name: str) -> str:
    """The text of a file of `sql/`, e.g. ``macros``."""
    for folder in (_PACKAGE / "sql", _PACKAGE.parent / "sql"):
        path = folder / f"{name}.sql"
        if path.is_file():
            return path.read_text(encoding="utf-8")
    raise FileNotFoundError(f"duckemcc's own {name}.sql is missing; install the package again")
