"""A bar on a terminal, with the time that is left; nothing where nobody looks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from duckemcc.answer.options import Progress
from duckemcc.stop import undoing

if TYPE_CHECKING:
    from rich import progress as rich_progress

TITLES = {"count": "studies counted", "answer": "segments answered", "step": "steps"}


@contextmanager
def show_bars() -> Iterator[rich_progress.Progress]:
    """Rich's bars on stderr, gone when they are done."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    left = (TextColumn("· left"), TimeRemainingColumn())
    bars = Progress(*columns, *left, console=console, transient=True, disable=not console.is_terminal)
    with bars, undoing(bars.stop):  # it hides the cursor
        yield bars


@contextmanager
def show_progress() -> Iterator[Callable[[Progress], None]]:
    """What `bounds(progress=…)` takes: a bar for each stage."""
    with show_bars() as bars:
        shown: dict[str, rich_progress.TaskID] = {}

        def show(now: Progress) -> None:
            if now.stage not in shown:
                shown[now.stage] = bars.add_task(TITLES.get(now.stage, now.stage), total=now.total)
            bars.update(shown[now.stage], completed=now.done, total=now.total)

        yield show
