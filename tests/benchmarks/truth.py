"""Is the truth within the bounds of observed and randomised records together? Tables on the authors' hybrid models."""

from __future__ import annotations

import time
from collections.abc import Sequence
from math import prod
from typing import Any

from authors import IDENTIFIED, Hybrid, give_all, sample

import duckemcc as emcc


def tell_hybrid(models: Sequence[Hybrid], options: dict[str, Any]) -> list[str]:
    """Infinite data: the bounds of O, I and O+I beside the truth, and how they were reached."""
    rows = [["model", "size", "truth", "O", "I", "O+I", "truth in O+I", "kept", "converged", "seconds"]]
    for m in models:
        found = {name: look(m, studies, options, level=None) for name, studies in give_all(m.full).items()}
        assert all(row["compatible"] for row in found.values()), f"{m.name}: its own distribution contradicts it"
        rows.append(
            [m.name, size(m), f"{m.truth:.5f}", *map(show_row, found.values()), where(m, found), *effort(found)]
        )
    return table(rows)


def tell_sampled(models: Sequence[Hybrid], options: dict[str, Any], n: int) -> list[str]:
    """Sampled records: the same, with the verdict."""
    rows = [["model", "truth", "O", "I", "O+I", "compatible", "truth in O+I", "kept", "converged", "seconds"]]
    for m in models:
        found = {name: look(m, studies, options) for name, studies in sample(m.full, n, 0).items()}
        verdict = "yes" if found["O+I"]["compatible"] else f"no, p = {found['O+I']['p_value']:.0e}"
        rows.append(
            [m.name, f"{m.truth:.5f}", *map(show_row, found.values()), verdict, where(m, found), *effort(found)]
        )
    return table(rows)


def look(m: Hybrid, studies: list[emcc.Study], options: dict[str, Any], **more: Any) -> dict[str, Any]:
    begun = time.process_time()
    row = emcc.bounds(m.full.model, studies, m.query, incompatible="report", **options, **more).to_pylist()[0]
    return row | {"seconds": time.process_time() - begun}


def where(m: Hybrid, found: dict[str, dict[str, Any]]) -> str:
    """Whether the truth is within the bounds of O+I: beyond them by how much, or a point that is how far from it."""
    row = found["O+I"]
    beyond = max(row["lower"] - m.truth, m.truth - row["upper"])
    if row["upper"] - row["lower"] < IDENTIFIED:
        return f"a point, off by {beyond:.0e}" if beyond > 1e-9 else "a point, the truth"
    return "yes" if beyond <= 0 else f"out by {beyond:.0e}"


def effort(found: dict[str, dict[str, Any]]) -> list[str]:
    """Restarts kept, whether these have converged, and seconds, of O, I and O+I."""
    kept = " · ".join(str(row["kept"]) for row in found.values())
    converged = "yes" if all(row["converged"] for row in found.values()) else "no"
    return [kept, converged, " · ".join(f"{row['seconds']:.2f}" for row in found.values())]


def size(m: Hybrid) -> str:
    """Variables, most causes of a component, and most joint states of these."""
    own = [c.exogenous for c in m.full.model.components()]
    states = max(prod(map(m.full.model.card, causes)) for causes in own)
    return f"{len(m.full.model.variables)} · {max(map(len, own))} · {states:,}"


def show_row(row: dict[str, Any]) -> str:
    return f"[{row['lower']:.5f}, {row['upper']:.5f}]"


def table(rows: list[list[str]]) -> list[str]:
    head, *body = [f"| {' | '.join(row)} |" for row in rows]
    return [head, "|" + "---|" * len(rows[0]), *body]
