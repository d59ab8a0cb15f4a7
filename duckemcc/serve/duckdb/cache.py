"""What lasts from one call of DuckDB to the next: it calls a function once per batch of rows, and maybe again.

Answers are remembered by what was asked of which counts, and the batches of a statement have one clock, which begins
with the statement. DuckDB tells when the transaction began, and calls a function when it binds the statement: it began
at the later of the two. (Only a prepared statement that is executed within a transaction is taken for older than it
is.)
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from duckemcc.answer.options import SQL_ROW, Clock

if TYPE_CHECKING:
    import pyarrow as pa

KEPT, KEPT_ROWS = 64, 10_000
"""So many answers are remembered, of so many rows at most."""

KEPT_BOUND = 256
"""So many statements may be bound before one of them is executed."""

PAUSE, FULL = 0.1, 256
"""Seconds between two batches of one statement at most; groups of a batch that may not be its last."""

_answers: OrderedDict[Any, pa.StructArray] = OrderedDict()
_batches: OrderedDict[Any, tuple[float, float]] = OrderedDict()
_bound: OrderedDict[str, float] = OrderedDict()
_lock = threading.Lock()


def recall(key: Any) -> pa.StructArray | None:
    """The answer, if it is known."""
    with _lock:
        if key in _answers:
            _answers.move_to_end(key)
        return _answers.get(key)


def keep(key: Any, answer: pa.StructArray) -> None:
    """Remembers an answer, unless it is large. One that ran out of time is not to be given."""
    if len(answer) > KEPT_ROWS:
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


def note_bound(text: str) -> None:
    """A statement is bound that will ask with this text."""
    with _lock:
        _bound[text] = time.perf_counter()
        _bound.move_to_end(text)
        while len(_bound) > KEPT_BOUND:
            _bound.popitem(last=False)


def statement_clock(text: str, moment: int, max_seconds: float | None) -> Clock:
    """A clock that began when the statement did which asks with this text. moment: when its transaction began, in
    microseconds since 1970."""
    clock = Clock(max_seconds)
    clock.row = SQL_ROW
    with _lock:
        bound = _bound.get(text, clock.begun)
    clock.begun = max(bound, clock.begun - max(0.0, time.time() - moment / 1e6))
    return clock


@contextmanager
def batch_clock(asked: Any, size: int, clock: Clock) -> Iterator[Clock]:
    """The clock for one batch of so many groups, which goes on from the batch before in the same statement.

    asked: what, and when the transaction began. DuckDB does not tell its statements apart: one of the same transaction
    that asks the same is another, where the last batch was small or is over for a while.
    """
    now = time.perf_counter()
    with _lock:
        begun, ended = _batches.pop(asked, (clock.begun, -PAUSE))
    clock.begun = begun if now - ended < PAUSE else clock.begun
    yield clock
    if size >= FULL:
        with _lock:
            _batches[asked] = clock.begun, time.perf_counter()
            while len(_batches) > KEPT:
                _batches.popitem(last=False)
