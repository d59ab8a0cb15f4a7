"""A time limit for what only its engine can stop: while it runs, another thread waits for the end of the time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, TypeAlias

Watch: TypeAlias = Callable[[Callable[[], Any]], AbstractContextManager[None]]
"""``with watch(stop):`` calls `stop`, from another thread, if the work inside is not done in time, and raises what it
was told to raise."""

_AGAIN = 0.05  # seconds; an engine forgets to stop if it is told between two statements


def unwatched(stop: Callable[[], Any]) -> AbstractContextManager[None]:
    """There is all the time in the world."""
    return nullcontext()


@contextmanager
def watched(seconds: float, stop: Callable[[], Any], late: Callable[[], Exception]) -> Iterator[None]:
    """Calls `stop` after so many seconds, and again until the work inside has ended; then raises `late`.

    `stop` is never called after that. Work that has ended well in the meantime is not lost: nothing is raised then.
    """
    lock, done = threading.Lock(), threading.Event()
    stopped = False

    def wait() -> None:
        nonlocal stopped
        pause = max(seconds, 0.0)
        while not done.wait(pause):
            with lock:
                if not done.is_set():
                    stopped = True
                    stop()
            pause = _AGAIN

    thread = threading.Thread(target=wait, name="duckemcc time limit", daemon=True)
    thread.start()
    try:
        yield
    except Exception:
        if stopped:
            raise late() from None
        raise
    finally:
        with lock:
            done.set()
