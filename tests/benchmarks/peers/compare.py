"""What the programs found, beside each other: share of the exact width, overshoot, ratios, and the table of them."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

Bounds = Sequence[float]
OWN = "duckemcc"
POINT = 1e-9
"""An exact interval up to this wide is a point, of which no share can be found."""
AGREE = 1e-6
"""How far the query's value at given chances may differ between programs that solve the same problem."""
INSIDE = 1e-4
"""Overshoot up to this is called none."""

HEAD = (
    "problem",
    "program",
    "ms an iteration",
    "× ours",
    "× ours alone",
    "ran",
    "s to bounds",
    "× ours",
    "MB",
    "bounds",
    "of the width",
    "overshoot",
    "remark",
)


class Against(NamedTuple):
    """share: of the exact width that lies within the bounds, None for a point; overshoot: the farther end outside."""

    share: float | None
    overshoot: float


def against_exact(bounds: Bounds, exact: Bounds) -> Against:
    """How bounds compare to the exact ones. Raises ValueError if an end is not a number or they are out of order."""
    for low, high in (bounds, exact):
        if not low <= high:
            raise ValueError(f"[{low}, {high}] is no interval")
    overshoot = max(exact[0] - bounds[0], bounds[1] - exact[1], 0.0)
    width = exact[1] - exact[0]
    if width <= POINT:
        return Against(None, overshoot)
    covered = min(bounds[1], exact[1]) - max(bounds[0], exact[0])
    return Against(max(covered, 0.0) / width, overshoot)


def list_faults(found: Mapping[str, Any], facts: Mapping[str, Any]) -> list[str]:
    """What is to be said of a program's findings: that it failed, was ended, had to be scaled, or solves another
    problem than the others do."""
    faults = [str(found[key]) for key in ("failed", "ended", "remark") if found.get(key)]
    if is_scaled(found):
        faults.append(f"{found['seconds']:.1f} s measured, scaled")
    if found.get("iterations", 0) < facts.get("iterations", 0) and "iteration" in found:
        faults.append(f"the median of {found['iterations']} iterations")
    if "value" in found and not abs(found["value"] - facts["value"]) <= AGREE:
        faults.append(f"at the same chances it has {found['value']:.6f} for the query, not {facts['value']:.6f}")
    bounds, truth = found.get("bounds"), facts["truth"]
    if bounds and not is_interval(bounds):
        faults.append("no bounds")
    elif bounds and truth is not None and not bounds[0] - INSIDE <= truth <= bounds[1] + INSIDE:
        faults.append(f"the model's own {truth:.4f} is outside")
    return faults


def is_interval(bounds: Sequence[float | None] | None) -> bool:
    return bool(bounds) and None not in bounds and bounds[0] <= bounds[1]


def is_scaled(found: Mapping[str, Any]) -> bool:
    return found.get("full_seconds", 0) > 1.001 * found.get("seconds", 0)


def make_row(
    name: str, program: str, found: Mapping[str, Any], own: Mapping[str, Any], facts: Mapping[str, Any]
) -> tuple[str, ...]:
    """One line of the table.

    own: this program's findings. facts: `exact` and `truth` of the problem or None, `value` of its query at the given
    chances, and how many `iterations` were asked for.
    """
    own = own if program != OWN else {}
    iteration, seconds = found.get("iteration"), found.get("full_seconds")
    return (
        name,
        program,
        _show(iteration, 1e3) + (f" ({_show(found['alone'], 1e3)} alone)" if "alone" in found else ""),
        _ratio(iteration, own.get("iteration")),
        _ratio(iteration, own.get("alone")),
        f"{found['restarts']} × {found['steps']:.0f}" if "steps" in found else "",
        ("~" if is_scaled(found) else "") + _show(seconds),
        _ratio(seconds, own.get("full_seconds")),
        f"{found['memory']:.0f}" if "memory" in found else "",
        *_judge(found.get("bounds"), facts["exact"]),
        "; ".join(list_faults(found, facts)),
    )


def _judge(bounds: Sequence[float] | None, exact: Bounds | None) -> tuple[str, str, str]:
    """The bounds, their share of the exact width, and their overshoot, as text."""
    if not is_interval(bounds):
        return "", "", ""
    shown = f"[{bounds[0]:.4f}, {bounds[1]:.4f}]"
    if exact is None:
        return shown, "", ""
    share, overshoot = against_exact(bounds, exact)
    return (
        shown,
        "a point" if share is None else f"{share:.3f}",
        f"{overshoot:.4f}" if overshoot > INSIDE else "none",
    )


def render(rows: Sequence[Sequence[str]], head: Sequence[str] = HEAD) -> str:
    """An aligned table in Markdown."""
    widths = [max(len(str(row[i])) for row in (head, *rows)) for i in range(len(head))]
    lines = [head, ["-" * w for w in widths], *rows]
    return "\n".join("| " + " | ".join(f"{c:{w}}" for c, w in zip(line, widths, strict=True)) + " |" for line in lines)


def summarise(results: Sequence[Mapping[str, Any]], peers: Sequence[str]) -> list[str]:
    """Sentences: how many times longer an iteration takes than ours, by program and number of records."""
    said = []
    for peer in peers:
        for low, high in ((0, 1_999), (2_000, 50_000), (50_001, 10**9)):
            both = [(r["found"].get(peer, {}), r["found"].get(OWN, {})) for r in results if low <= r["records"] <= high]
            both = [(theirs["iteration"], ours) for theirs, ours in both if "iteration" in theirs and "alone" in ours]
            if both:
                among, alone = (_spread([one / ours[key] for one, ours in both]) for key in ("iteration", "alone"))
                said.append(
                    f"{peer}, {_range(low, high)}, {len(both)} problems: an iteration takes {among} times ours of a "
                    f"restart among all, {alone} times that of one restart alone"
                )
    return said


def _spread(ratios: Sequence[float]) -> str:
    return f"{min(ratios):,.0f} to {max(ratios):,.0f} (median {statistics.median(ratios):,.0f})"


def _range(low: int, high: int) -> str:
    if not low:
        return f"N < {high + 1:,}"
    return f"N from {low:,}" + (f" to {high:,}" if high < 10**9 else "")


def _show(number: float | None, scale: float = 1.0) -> str:
    return "" if number is None else f"{number * scale:.3g}" if number * scale < 1000 else f"{number * scale:,.0f}"


def _ratio(theirs: float | None, ours: float | None) -> str:
    return (
        ""
        if theirs is None or not ours
        else f"{theirs / ours:,.3g}"
        if theirs < 1000 * ours
        else f"{theirs / ours:,.0f}"
    )
