"""States and their labels: the text by which values of any type are told apart and matched.

``1``, ``1.0`` and ``'1'`` are one state, with the label ``1``; ``True`` is ``true``; text is itself, case and spaces kept.
"""

from __future__ import annotations

from decimal import Decimal
from numbers import Integral, Real
from typing import TypeAlias

State: TypeAlias = bool | int | str


def label(value: object) -> str:
    """The label of a value: text as it is, booleans ``true``/``false``, integral numbers without a fraction.

    Raises TypeError for anything else, a number with a fraction, NaN and None included.
    """
    if isinstance(value, str):
        return str(value)
    if isinstance(value, bool) or type(value).__name__ in ("bool_", "bool"):
        return "true" if value else "false"
    if isinstance(value, Integral):
        return str(int(value))
    if isinstance(value, (Real, Decimal)) and float(value).is_integer():
        return str(int(value))
    raise TypeError(f"{value!r} is no state: states are text, integers and booleans")
