"""A column by its name, letter for letter: `polars.col` takes `*` and ``^…$`` for patterns.

Every name that a user chose goes through here: of a source's column, a variable, a segment.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl


def named(name: str) -> pl.Expr:
    """The column of this name, and no other."""
    from polars import selectors

    return selectors.by_name(name).as_expr()


def all_named(names: Iterable[str]) -> list[pl.Expr]:
    return [named(name) for name in names]


def values(frame: pl.DataFrame, name: str) -> pl.Series:
    """The column's values without its name, by which a Series would look for itself."""
    return frame[name].alias("emcc_values")
