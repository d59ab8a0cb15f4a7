"""Segments: the order in which people look for them, and what they are called."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from duckemcc.show.plot.drawing import clean

if TYPE_CHECKING:
    import pyarrow as pa

_NUMBER = re.compile(r"\s*[+-]?\d+(\.\d*)?\s*", re.ASCII)


def read_segments(table: pa.Table, by: Sequence[str]) -> list[tuple[Any, ...]]:
    """The values of the `by` columns in each row."""
    return list(zip(*(table[name].to_pylist() for name in by), strict=True)) if by else [()] * table.num_rows


def order_segments(segments: Sequence[tuple[Any, ...]]) -> list[int] | None:
    """Where the rows are to stand so that text that is all numbers is in the order of numbers: 2 before 10. None where
    they stand right: no such text, or a table that somebody has put into an order of his own."""
    columns = list(zip(*dict.fromkeys(segments), strict=True))
    numeric = [_is_numeric(values) for values in columns]
    if not any(numeric) or not _is_sorted(segments):
        return None

    def place(i: int) -> list[tuple[bool, Any]]:
        return [
            (value is not None, _as_number(value) if as_number and value is not None else value)
            for value, as_number in zip(segments[i], numeric, strict=True)
        ]

    return sorted(range(len(segments)), key=place)


def _is_numeric(values: Iterable[Any]) -> bool:
    told = [value for value in values if value is not None]
    return bool(told) and all(isinstance(value, str) and _NUMBER.fullmatch(value) for value in told)


def _as_number(text: str) -> tuple[float, str]:
    return float(text), text


def _is_sorted(segments: Sequence[tuple[Any, ...]]) -> bool:
    """Whether they are in the order of `emcc.bounds`: by the values of their types, NULL first."""
    keys = [[(value is not None, value) for value in segment] for segment in segments]
    try:
        return all(a <= b for a, b in pairwise(keys))
    except TypeError:  # of a kind that Python does not compare
        return False


def name_values(segment: Iterable[Any]) -> tuple[str, ...]:
    """A segment's values as its labels."""
    return tuple(map(name_value, segment))


def name_value(value: object) -> str:
    """A segment's value as its label."""
    if value is None:
        return "(NULL)"
    if isinstance(value, bool):
        return "true" if value else "false"
    return clean(str(value)) or "(empty)"
