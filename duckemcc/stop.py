"""Ctrl-C for the command `duckemcc`: exit code 130 and one line, whatever it is that is being imported or run.

The process ends there and then. A `KeyboardInterrupt` would do less: it is an error of DuckDB's where that is at work,
whose threads are then waited for until their scan is done; and PostgreSQL's driver does not look for signals at all.
Nothing is lost by it, as files and tables are replaced in one go and servers roll back. What else is to be put in order
says so by `undoing`. Nothing heavy is imported here, as the imports themselves may be stopped.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

STOPPED = 130
TOLD = "stopped; nothing was written"
PATIENCE = 1.0
"""Seconds that Python has to see the signal, before it is ended from beside."""

_undone: list[Callable[[], Any]] = []


@contextmanager
def undoing(undo: Callable[[], Any]) -> Iterator[None]:
    """What Ctrl-C does beforehand while the block is run: a file to take away, a text to tell."""
    _undone.append(undo)
    try:
        yield
    finally:
        _undone.remove(undo)


@contextmanager
def telling(text: str) -> Iterator[None]:
    """What Ctrl-C says while the block is run."""
    global TOLD
    before, TOLD = TOLD, text
    try:
        yield
    finally:
        TOLD = before


def is_command() -> bool:
    """Whether this process is the command, not a program that imports the package."""
    return os.path.basename(sys.argv[0] if sys.argv else "").partition(".")[0] == "duckemcc"


def take_ctrl_c() -> None:
    """From here on Ctrl-C ends the process; not where the shell has it ignored, nor in another thread."""
    ours = threading.current_thread() is threading.main_thread()
    if ours and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _leave)


def watch() -> None:
    """Ends the process also where an engine keeps Python from seeing the signal. For a process that takes Ctrl-C."""
    if signal.getsignal(signal.SIGINT) is not _leave:
        return
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    signal.set_wakeup_fd(theirs.detach(), warn_on_full_buffer=False)  # written to as the signal comes

    def wait() -> None:
        ours.recv(1)
        threading.Event().wait(PATIENCE)
        _leave()

    threading.Thread(target=wait, daemon=True).start()


def _leave(*_: Any) -> None:
    for undo in reversed(_undone):
        with suppress(Exception):
            undo()
    with suppress(OSError):
        os.write(2, f"{TOLD}\n".encode())
    os._exit(STOPPED)
