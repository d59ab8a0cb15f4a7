"""Ctrl-C for the command `duckemcc`: exit code 130 and one line, whatever it is that is being imported or run.

Within DuckDB it arrives as an error of DuckDB's, and a library may wrap that in another; so what counts is that the
signal came, not which exception it became. Where an engine's own thread does the work, Python's main thread may
wait for it without end: a thread beside it then ends the process. Nothing heavy is imported here, as the imports
themselves may be stopped.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

STOPPED = 130
PATIENCE = 2.0
"""Seconds in which Python is to see that Ctrl-C was pressed, and to put things in order."""


class Pressed:
    """Whether Ctrl-C was pressed. The first time it is a `KeyboardInterrupt`, the second time the end."""

    def __init__(self) -> None:
        self.once = False

    def __call__(self, *_: Any) -> None:
        if self.once:
            _leave()
        self.once = True
        raise KeyboardInterrupt


def is_command() -> bool:
    """Whether this process is the command, not a program that imports the package."""
    return os.path.basename(sys.argv[0] if sys.argv else "").partition(".")[0] == "duckemcc"


def end_at_once() -> None:
    """From here on Ctrl-C ends the process: while it imports, there is nothing to put in order."""
    if _is_ours():
        signal.signal(signal.SIGINT, _leave)


@contextmanager
def listening() -> Iterator[Pressed]:
    """Ctrl-C is kept in mind within the block."""
    pressed = Pressed()
    if not _is_ours():
        yield pressed
        return
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    threading.Thread(target=_watch, args=(ours,), daemon=True).start()
    before = signal.signal(signal.SIGINT, pressed)
    woken = signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)  # written to as the signal comes
    try:
        yield pressed
    finally:
        signal.set_wakeup_fd(woken)
        signal.signal(signal.SIGINT, before)
        theirs.close()


def _watch(wakes: socket.socket) -> None:
    """Ends the process where the block is not left in time, and when Ctrl-C is pressed again."""
    with wakes:
        if not wakes.recv(1):
            return  # the block was left
        wakes.settimeout(PATIENCE)
        with suppress(TimeoutError):
            if not wakes.recv(1):
                return
        _leave()


def _is_ours() -> bool:
    """Whether Ctrl-C may be taken: not in another thread than the main one, nor where the shell has it ignored."""
    given = (signal.default_int_handler, _leave)
    return threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGINT) in given


def _leave(*_: Any) -> None:
    with suppress(OSError):
        os.write(2, b"stopped\n")
    os._exit(STOPPED)
