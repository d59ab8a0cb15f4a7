"""States and their labels: the text by which values of any type are told apart and matched.

``1``, ``1.0`` and ``'1'`` are one state, with the label ``1``; ``True`` is ``true``; text is itself, with case and
spaces.
"""

from __future__ import annotations

import reprlib
from collections.abc import Sequence
from decimal import Decimal
from math import isfinite
from numbers import Integral, Real
from typing import Any, TypeAlias

import numpy as np

State: TypeAlias = bool | int | str

LONGEST_INTEGER = 1024
"""Bits of an integer state at most: all of a double's range, and far below where Python refuses to print an integer."""


def label(value: object) -> str:
    """The label of a value: text as it is, booleans ``true``/``false``, integral numbers without a fraction.

    Raises TypeError for anything else, a number with a fraction, NaN and None included.
    """
    state = to_state(value)
    return ("true" if state else "false") if isinstance(state, bool) else str(state)


def to_state(value: object) -> State:
    """The value as plain text, integer or boolean. Raises TypeError as `label` does."""
    if isinstance(value, str):
        return str(value)
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    whole = _to_whole(value)
    if whole is None:
        raise TypeError(f"{show_value(value)} is no state: states are text, integers and booleans")
    return whole


def show_names(names: Sequence[str], most: int = 12) -> str:
    """The names as a message lists them: the first few, and how many more there are."""
    rest = len(names) - most
    return ", ".join(names) if rest <= 0 else f"{', '.join(names[:most])} and {rest:,} more"


def show_value(value: object) -> str:
    """The value as a message shows it: never long, and never an error of its own."""
    try:
        return reprlib.repr(value)
    except ValueError:  # an integer of more digits than Python prints
        return f"a long {type(value).__name__}"


def _to_whole(value: object) -> int | None:
    if not isinstance(value, (Integral, Real, Decimal)):
        return None
    number: Any = value
    try:
        if not isfinite(number):  # by way of a float: int() takes for ever on Decimal("1e999999999")
            return None
        whole = int(number)
    except (ValueError, OverflowError):  # a signalling NaN, or beyond a double
        return None
    return whole if whole == number and whole.bit_length() <= LONGEST_INTEGER else None
