"""What lasts from one call of DuckDB to the next: it calls a function once per batch of rows, and maybe again.

Answers are remembered by what was asked of which counts, and the batches of a statement have one clock.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from duckemcc.serve.options import Clock

if TYPE_CHECKING:
    import pyarrow as pa

KEPT, KEPT_ROWS = 64, 10_000
"""So many answers are remembered, of so many rows at most."""

PAUSE, FULL = 0.1, 256
"""Seconds between two batches of one statement at most; groups of a batch that may not be its last."""

_answers: OrderedDict[Any, pa.StructArray] = OrderedDict()
_batches: OrderedDict[Any, tuple[float, float]] = OrderedDict()
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


@contextmanager
def batch_clock(asked: Any, size: int, max_seconds: float | None) -> Iterator[Clock]:
    """A clock for one batch of so many groups, which goes on from the batch before in the same statement.

    asked: what, and when the transaction began. DuckDB does not tell its statements apart: one of the same transaction
    that asks the same is another, where the last batch was small or is over for a while.
    """
    clock = Clock(max_seconds)
    with _lock:
        begun, ended = _batches.pop(asked, (clock.begun, clock.begun))
    clock.begun = begun if clock.begun - ended < PAUSE else clock.begun
    yield clock
    if size >= FULL:
        with _lock:
            _batches[asked] = clock.begun, time.perf_counter()
            while len(_batches) > KEPT:
                _batches.popitem(last=False)
