"""Long work shows itself on a terminal, and is silent elsewhere."""

from __future__ import annotations

import io

from rich.console import Console

from duckemcc.answer.options import Progress
from duckemcc.serve.progress import show_progress


def show(monkeypatch, *, terminal):
    written = io.StringIO()

    def console(**_):
        return Console(file=written, force_terminal=terminal, width=100)

    monkeypatch.setattr("rich.console.Console", console)
    with show_progress() as progress:
        progress(Progress("count", 1, 2))
        progress(Progress("step", 700, None))
        progress(Progress("answer", 3, 10))
    return written.getvalue()


def test_a_terminal_shows_a_bar_for_each_stage_and_the_time_left(monkeypatch):
    shown = show(monkeypatch, terminal=True)
    for word in ("studies counted", "1/2", "steps", "700", "segments answered", "3/10", "left"):
        assert word in shown


def test_where_nobody_looks_nothing_is_written(monkeypatch):
    assert show(monkeypatch, terminal=False) == ""
