"""Tasks in parallel processes: each started anew (spawn), with one thread of linear algebra, none of them outliving us.

Each process has a pipe of its own, over which it is given one task after another. The end of a pipe tells that its
process has died (out of memory, say) and with which task; all others go on. `concurrent.futures` would not do: one
death breaks its whole pool without saying whose it was, and Ctrl-C may leave a lock taken for which it then waits.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from duckemcc.errors import OptionError

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from multiprocessing.process import BaseProcess

T = TypeVar("T")
R = TypeVar("R")

_THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS")


class Died(NamedTuple):
    """The outcome of a task whose process ended before it was done."""

    message: str = "its process ended before it was done; is there enough memory?"


class _Worker(NamedTuple):
    process: BaseProcess
    pipe: Connection[Any, Any]


def usable_cores() -> int:
    """Cores that this process may run on."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def run_all(work: Callable[[T], R], tasks: Sequence[T], processes: int) -> Generator[tuple[T, R | Died]]:
    """Each task with its outcome, as they come. With one process it is this one.

    work: a function that can be pickled and never raises. Closing the iterator ends the processes at once.
    Raises `OptionError` where no process can be started.
    """
    if processes == 1:
        yield from ((task, work(task)) for task in tasks)
        return
    workers: list[_Worker] = []
    try:
        yield from _share_out(work, deque(tasks), processes, workers)
    finally:
        for worker in workers:
            worker.process.terminate()
        for worker in workers:
            worker.process.join()


def _share_out(
    work: Callable[[T], R], waiting: deque[T], processes: int, workers: list[_Worker]
) -> Generator[tuple[T, R | Died]]:
    """Gives every free process a task while there are any. workers: all processes that were started."""
    from multiprocessing.connection import wait

    free: list[_Worker] = []
    running: dict[Any, tuple[_Worker, T]] = {}
    while waiting or running:
        while waiting and len(running) < processes:
            if not free:
                free.append(_start(work, workers))
            worker, task = free.pop(), waiting.popleft()
            with suppress(OSError):  # the pipe of a process that is gone is at its end, which is seen below
                worker.pipe.send(task)
            running[worker.pipe] = worker, task
        for pipe in wait(list(running)):
            worker, task = running.pop(pipe)
            outcome: R | Died = Died()
            with suppress(EOFError, OSError):
                outcome = worker.pipe.recv()
                free.append(worker)
            yield task, outcome


def _start(work: Callable[[T], R], workers: list[_Worker]) -> _Worker:
    """A new process that waits for its first task."""
    import multiprocessing

    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(work, theirs), daemon=True)
    with _one_thread():
        process.start()
    worker = _Worker(process, ours)
    workers.append(worker)
    theirs.close()  # so that the pipe ends with the process
    try:
        ours.recv()
    except (EOFError, OSError):
        raise OptionError(
            "no process could be started",
            remedy="in a script, call benchmark under `if __name__ == '__main__':`, or take processes=1",
            option="processes",
        ) from None
    return worker


def _serve(work: Callable[[T], R], pipe: Connection[Any, Any]) -> None:
    """What a process does. Ctrl-C is for the parent to answer, and when the parent is gone, so is this."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with suppress(EOFError, OSError):  # the parent's end is closed
        pipe.send("ready")
        while True:
            pipe.send(work(pipe.recv()))


def _end_with_parent() -> None:
    import multiprocessing

    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
    os._exit(1)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Libraries read their number of threads when they are loaded, so it must be in what a new process inherits."""
    before = {name: os.environ.get(name) for name in _THREADS}
    os.environ.update(dict.fromkeys(_THREADS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
