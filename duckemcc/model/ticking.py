"""The time that is left to the work at hand, for kernels that are too far down for a clock to be handed to them.

A long loop calls `tick`, which raises when the time is over; what only a library can stop is given the seconds that are
left. Outside of `ticking` there is no limit. Nothing but the end of the work depends on it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar


def _never(needed: float) -> None:
    """There is no limit."""


_current: ContextVar[Callable[[float], float | None]] = ContextVar("tick", default=_never)


def tick(needed: float = 0.0) -> float | None:
    """The seconds that are left, None if there is no limit. Raises what the clock raises when the time is over, or not
    enough for what comes next, which needs so many seconds and cannot be stopped."""
    return _current.get()(needed)


@contextmanager
def ticking(clock: Callable[[float], float | None]) -> Iterator[None]:
    """Inside, `tick` is this one: in this thread, or task of asyncio, and in no other."""
    token = _current.set(clock)
    try:
        yield
    finally:
        _current.reset(token)
