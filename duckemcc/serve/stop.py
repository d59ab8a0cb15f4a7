"""Ctrl-C for the command `duckemcc`: exit code 130 and one line, whatever it is that is being imported or run.

Within DuckDB it arrives as an error of DuckDB's, and a library may wrap that in another; so what counts is that the
signal came, not which exception it became. Nothing heavy is imported here, as the imports themselves may be stopped.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

STOPPED = 130
TOLD = "stopped; nothing was written"


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
    before = signal.signal(signal.SIGINT, pressed)
    try:
        yield pressed
    finally:
        signal.signal(signal.SIGINT, before)


def _is_ours() -> bool:
    """Whether Ctrl-C may be taken: not in another thread than the main one, nor where the shell has it ignored."""
    given = (signal.default_int_handler, _leave)
    return threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGINT) in given


def _leave(*_: Any) -> None:
    with suppress(OSError):
        os.write(2, f"{TOLD}\n".encode())
    os._exit(STOPPED)
