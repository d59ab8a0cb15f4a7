"""Answers remembered by what was asked of which counts: DuckDB may call a function more than once for one row."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

KEPT, KEPT_ROWS = 64, 10_000
"""So many answers are remembered, of so many rows at most."""

_answers: OrderedDict[Any, pa.StructArray] = OrderedDict()
_lock = threading.Lock()


def recall(key: Any) -> pa.StructArray | None:
    """The answer, if it is known."""
    with _lock:
        if key in _answers:
            _answers.move_to_end(key)
        return _answers.get(key)


def keep(key: Any, answer: pa.StructArray) -> None:
    """Remembers an answer, unless it is large or came too late."""
    late = answer.type.get_field_index("status") >= 0 and "timeout" in answer.field("status").to_pylist()
    if late or len(answer) > KEPT_ROWS:
        return
    with _lock:
        _answers[key] = answer
        _answers.move_to_end(key)
        while len(_answers) > KEPT:
            _answers.popitem(last=False)


def forget() -> None:
    """All of them."""
    with _lock:
        _answers.clear()
