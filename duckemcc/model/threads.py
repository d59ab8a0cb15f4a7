"""One thread of linear algebra inside the kernels.

Their matrices are small, and a product of small matrices gains nothing from threads: on a busy machine threads that
wait for each other made one call take 200 s instead of 18. With one thread a sum is also rounded in one way only,
whatever the machine has.

The libraries' thread counts belong to the process, so that while a kernel runs, in whichever Python thread, other code
has one thread as well. The last kernel to end gives back what the first one found.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from contextlib import ContextDecorator
from functools import cache
from types import TracebackType
from typing import Any


class _OneThread(ContextDecorator):
    """Entered as often as one likes, also at once in several threads, each of which leaves as often."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._before: list[int] = []

    def __enter__(self) -> None:
        with self._lock:
            if not self._inside:  # 25 µs; to enter once more takes .5
                libraries = _find_libraries().lib_controllers
                self._before = [library.num_threads for library in libraries]
                _set_threads([1] * len(libraries))
            self._inside += 1

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                _set_threads(self._before)

    def _begin_anew(self) -> None:
        """In a forked child, where only the thread that forked lives on; it has one thread from then on if a kernel
        ran."""
        self._lock, self._inside = threading.Lock(), 0


one_thread = _OneThread()
"""As a context, ``with one_thread:``, or a decorator of a kernel, ``@one_thread``."""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=one_thread._begin_anew)


def _set_threads(numbers: Sequence[int]) -> None:
    """Gives each library its number of threads. A limit that another thread holds by threadpoolctl stays."""
    controller = _find_libraries()
    for library, number in zip(controller.lib_controllers, numbers, strict=True):
        library.set_num_threads(number)
    # From 3.7 on, a Python thread that has set a number is from then on the only one that can, until it leaves a limit
    # of its own. Another thread may have to set it back.
    with controller.limit(limits=None):
        pass


@cache
def _find_libraries() -> Any:
    """The controller of the libraries that are loaded: it takes 2 ms to build, as every library of the process is
    looked at. scipy brings one of its own, which the test of compatibility loads in any case."""
    import scipy.linalg  # noqa: F401
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController().select(user_api="blas")
