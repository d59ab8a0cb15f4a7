"""A counted study, as an engine gives it to the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from duckemcc.study.selection import Rule

if TYPE_CHECKING:
    import polars as pl


class CountTable(NamedTuple):
    """A counted study: one row per distinct pattern.

    frame:  for each variable a String column of labels, NULL where it was not recorded, then the `by` columns in their
            own types (none if shared), then ``count`` (Float64, > 0); sorted by variables and segments
    absent: the segments without a record that counts, if any
    local:  exogenous variables with a distribution of their own. rule: which records were kept; rows without a value
            (but of `do`) stand for dropped ones. shared: its records count in every segment
    """

    name: str
    do: tuple[str, ...]
    frame: pl.DataFrame
    local: tuple[str, ...] = ()
    rule: Rule | None = None
    shared: bool = False
    absent: pl.DataFrame | None = None
