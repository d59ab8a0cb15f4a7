"""Figure 3 and the figures of Section 6.2's text, from a benchmark's table.

    shrink of I = mean of 1 − L_{O+I} / L_I   (observational data added to the interventional ones; the paper has 13 %)
    shrink of O = mean of 1 − L_{O+I} / L_O   (the opposite setup; 18 %)

L is the width of the bounds. Means are over compatible models whose query stays unidentified with all the data, L_{O+I}
> 0, as in the paper. A mean of ratios is at the mercy of a study that all but identifies the query alone (L_O = .0001
makes a ratio of 60), so the median ratio and the ratio of the mean widths stand beside it. On finite samples the
maximum-likelihood sets of O and of O+I differ by sampling error (and inner bounds by their restarts), so that bounds of
O+I may leave those of O or I: the share that does not, and by how much the worst does, are reported.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from statistics import fmean, median
from typing import TYPE_CHECKING, Any, NamedTuple

from duckemcc.errors import OptionError
from duckemcc.serve.section62.trial import DATA, Row
from duckemcc.show.picture import read_format

if TYPE_CHECKING:
    import pyarrow as pa

IDENTIFIED = 1e-6
"""Width of the bounds up to which a query counts as identified."""

SLACK = 0.01
"""By how much bounds of O+I may leave those of O or I and still count as included: sampling error, not rounding."""


class Summary(NamedTuple):
    """Shares are of the models that are done; None where there is none to take a share or mean of.

    models, done, failed: numbers. grown: models for which N had to grow. compatible: share. identified: share of
    the compatible ones. used: the others, over which the following are. ratio_to_i, ratio_to_o: mean L_{O+I}/L_I
    and L_{O+I}/L_O; shrink_of_i, shrink_of_o: 1 minus these; median_ratio_to_i, median_ratio_to_o: medians instead
    of means; width_ratio_to_i, width_ratio_to_o: ratios of the mean widths. included: share whose O+I bounds are
    inside both others but for `slack`; largest_excess: by how much the worst leaves them. truth_included: share
    whose true PNS is inside the O+I bounds but for `slack`. credibility: its mean, by data and number of restarts.
    converged: share of the fits. seconds_median, seconds_max: time of a model, that is of its three fits;
    cpu_seconds: processor time of all.
    """

    models: int
    done: int
    failed: int
    grown: int
    compatible: float | None
    identified: float | None
    used: int
    ratio_to_i: float | None
    ratio_to_o: float | None
    shrink_of_i: float | None
    shrink_of_o: float | None
    median_ratio_to_i: float | None
    median_ratio_to_o: float | None
    width_ratio_to_i: float | None
    width_ratio_to_o: float | None
    slack: float
    included: float | None
    largest_excess: float | None
    truth_included: float | None
    credibility: dict[str, dict[int, float]]
    converged: float | None
    seconds_median: float | None
    seconds_max: float | None
    cpu_seconds: float


class Trio(NamedTuple):
    """The rows of one model."""

    o: Row
    i: Row
    both: Row


def summarise(table: pa.Table) -> Summary:
    """The figures of a benchmark's table."""
    every = _group(table)
    done = [trio for trio in every if trio.both["status"] == "done"]
    compatible = [trio for trio in done if trio.both["compatible"]]
    used = _select(done)
    ratios_i, ratios_o = _ratios(used, "i"), _ratios(used, "o")
    to_i, to_o = _mean(ratios_i), _mean(ratios_o)
    o, i, both = (fmean(_width(trio[k]) for trio in used) if used else 0.0 for k in range(len(DATA)))
    excess = [_leave(trio) for trio in used]
    seconds = [sum(row["seconds"] for row in trio) for trio in done]
    return Summary(
        models=len(every),
        done=len(done),
        failed=len(every) - len(done),
        grown=sum(trio.both["grown"] for trio in done),
        compatible=_mean(trio.both["compatible"] for trio in done),
        identified=_mean(_width(trio.both) <= IDENTIFIED for trio in compatible),
        used=len(used),
        ratio_to_i=to_i,
        ratio_to_o=to_o,
        shrink_of_i=None if to_i is None else 1 - to_i,
        shrink_of_o=None if to_o is None else 1 - to_o,
        median_ratio_to_i=median(ratios_i) if ratios_i else None,
        median_ratio_to_o=median(ratios_o) if ratios_o else None,
        width_ratio_to_i=both / i if i > 0 else None,
        width_ratio_to_o=both / o if o > 0 else None,
        slack=SLACK,
        included=_mean(e <= SLACK for e in excess),
        largest_excess=max(excess, default=None),
        truth_included=_mean(_outside(trio.both["truth"], trio.both) <= SLACK for trio in used),
        credibility={data: _credibility(used, k) for k, data in enumerate(DATA)},
        converged=_mean(row["converged"] for trio in done for row in trio),
        seconds_median=median(seconds) if seconds else None,
        seconds_max=max(seconds, default=None),
        cpu_seconds=sum(row["cpu_seconds"] for trio in done for row in trio),
    )


def _group(table: pa.Table) -> list[Trio]:
    models: dict[str, dict[str, Row]] = {}
    for row in table.to_pylist():
        models.setdefault(row["model"], {})[row["data"]] = row
    return [Trio(*(rows[data] for data in DATA)) for rows in models.values()]


def _select(done: Sequence[Trio]) -> list[Trio]:
    """Compatible models whose query no data identify."""
    return [trio for trio in done if trio.both["compatible"] and _width(trio.both) > IDENTIFIED]


def _width(row: Row) -> float:
    return float(row["upper"] - row["lower"])


def _ratios(used: Sequence[Trio], data: str) -> list[float]:
    """L_{O+I} / L of "o" or "i"; not where that is identified by itself, which happens by sampling error alone."""
    alone = [(_width(trio.both), _width(getattr(trio, data))) for trio in used]
    return [both / own for both, own in alone if own > IDENTIFIED]


def _leave(trio: Trio) -> float:
    """By how much the O+I bounds leave those of O or those of I."""
    return max(max(_outside(end, alone) for end in _ends(trio.both)) for alone in (trio.o, trio.i))


def _ends(row: Row) -> tuple[float, float]:
    return row["lower"], row["upper"]


def _outside(value: float, row: Row) -> float:
    return float(max(row["lower"] - value, value - row["upper"], 0.0))


def _credibility(used: Sequence[Trio], k: int) -> dict[int, float]:
    """Mean credibility of the k-th of `DATA`, by restarts, where that one is unidentified itself."""
    found: dict[int, list[float]] = {}
    for trio in used:
        for run in trio[k]["runs"] if _width(trio[k]) > IDENTIFIED else ():
            if run["credibility"] is not None:
                found.setdefault(run["restarts"], []).append(run["credibility"])
    return {r: fmean(values) for r, values in sorted(found.items())}


def _mean(values: Iterable[float]) -> float | None:
    listed = [float(v) for v in values]
    return fmean(listed) if listed else None


# -- the picture -----------------------------------------------------------------------------------

_COLOURS = {"O": "#3b6fb6", "I": "#c8762b", "O+I": "#3d8f5f"}
_SPREAD = 0.16  # of the points beside a box


def draw(table: pa.Table, path: str | os.PathLike[str]) -> None:
    """Both panels of Figure 3 as a picture: the widths of the bounds, and credibility against restarts."""
    suffix = read_format(path)
    from matplotlib.figure import Figure

    summary, used = summarise(table), _select([t for t in _group(table) if t.both["status"] == "done"])
    if not used:
        raise OptionError(
            "there is nothing to draw: no model is compatible with its query unidentified", remedy="run more"
        )
    figure = Figure(figsize=(9.6, 4.0), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.15, 1))
    _draw_widths(left, used, summary)
    _draw_credibility(right, summary)
    # no date and no random ids, so that equal tables are equal files
    from matplotlib import rc_context

    with rc_context({"svg.hashsalt": "duckemcc"}):
        figure.savefig(path, format=suffix[1:], dpi=300, metadata={"Date": None} if suffix == ".svg" else None)


def _draw_widths(axes: Any, used: Sequence[Trio], summary: Summary) -> None:
    for k, data in enumerate(DATA):
        widths = [_width(trio[k]) for trio in used]
        colour = _COLOURS[data]
        places = [k + _SPREAD * (2 * ((n * 0.618034) % 1) - 1) for n in range(len(widths))]
        axes.plot(places, widths, "o", color=colour, alpha=0.35, markersize=3.5, markeredgewidth=0)
        axes.boxplot(
            widths,
            positions=[k],
            widths=0.5,
            showfliers=False,
            medianprops={"color": colour, "linewidth": 2},
            **{f"{part}props": {"color": colour} for part in ("box", "whisker", "cap")},
        )
        axes.plot(k, fmean(widths), "D", color=colour, markersize=6, markeredgecolor="white", zorder=5)
    axes.set_xticks(range(len(DATA)), ("O\nobservational", "I\ninterventional", "O+I\nboth"))
    axes.set_xlabel(f"{summary.used} models; diamonds are means")
    axes.set_ylim(bottom=0)
    axes.set_ylabel("width L of the PNS bounds (probability)")
    change_i, change_o = _change(summary.width_ratio_to_i), _change(summary.width_ratio_to_o)
    axes.set_title(f"(a) Mean width of O+I: {change_i} against I, {change_o} against O", fontsize=11)
    _tidy(axes)


def _change(ratio: float | None) -> str:
    return "–" if ratio is None else f"{ratio - 1:+.0%}".replace("-", "−")


def _draw_credibility(axes: Any, summary: Summary) -> None:
    rounds = sorted({r for by_runs in summary.credibility.values() for r in by_runs})
    for data, style in zip(DATA, ("o--", "s:", "D-"), strict=True):
        by_runs = summary.credibility[data]
        axes.plot(list(by_runs), list(by_runs.values()), style, color=_COLOURS[data], label=data, markersize=5)
    axes.set_xticks(rounds)
    axes.set_ylim(0, 1.02)
    axes.set_xlabel("restarts r")
    axes.set_ylabel("mean credibility (probability)")
    axes.set_title("(b) Credibility: true ends within L/10 of these", fontsize=11)
    axes.legend(loc="lower right", frameon=False)
    _tidy(axes)


def _tidy(axes: Any) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="0.9", linewidth=0.8)
    axes.set_axisbelow(True)
