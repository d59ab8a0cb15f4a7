"""`duckemcc benchmark`: the paper's Section 6.2 and Figure 3."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from duckemcc.errors import OptionError
from duckemcc.stop import STOPPED, telling

if TYPE_CHECKING:
    from duckemcc.serve.section62.figure import Summary


@click.command()
@click.argument("folder", required=False)
@click.option("--models", type=click.IntRange(min=1), help="How many to generate where no folder is given.  [130]")
@click.option("--restarts", type=click.IntRange(min=1), default=100, show_default=True, help="Random restarts of EM.")
@click.option(
    "--records",
    type=click.IntRange(min=1),
    default=1000,
    show_default=True,
    help="N of O; I has 2N.",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of models, records, restarts.")
@click.option("--processes", type=click.IntRange(min=1), help="In parallel.  [one a core]")
@click.option("--max-seconds", type=click.FloatRange(min=0), help="Of a fit; a model that takes longer has failed.")
@click.option("--out", type=click.Path(dir_okay=False), help="Keep the rows in a .duckdb or .parquet file, and go on.")
@click.option("--figure", type=click.Path(dir_okay=False), help="Draw Figure 3: .png, .svg or .pdf.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON instead.")
def benchmark(folder: str | None, models: int | None, figure: str | None, as_json: bool, **options: Any) -> None:
    """Run the paper's Section 6.2 and Figure 3: what do two studies tell that one does not?

    For each model, of a FOLDER of UAI files or generated: sample an observational study (O) and an interventional one
    (I), and bound the PNS of the first variable on the last from O, from I and from both. A model takes from a second
    to some minutes; a terminal shows which are at work, and the summary comes at the end. A run with --out that was
    stopped, by Ctrl-C or otherwise, goes on where it was when the command is given again.

    \b
    duckemcc benchmark --models 2 --restarts 10 --out rows.parquet
    """
    from duckemcc.serve.job.file import check_picture
    from duckemcc.serve.section62.benchmark import benchmark as run
    from duckemcc.show.picture import read_format

    if folder is not None and models is not None:
        raise OptionError("a folder and --models exclude each other", remedy="give one of them", option="models")
    if figure is not None:  # before the work, not after it
        read_format(figure)
        check_picture(Path(figure))
    kept = f"; what is done is in {options['out']}, and the same command goes on from there"
    told = "stopped" + (kept if options["out"] else "; give --out to keep what is done")
    try:
        with telling(told):
            found = run(folder if folder is not None else models or 130, **options)
    except KeyboardInterrupt:
        click.echo(told, err=True)
        raise SystemExit(STOPPED) from None
    summary = found.summary
    if as_json:
        click.echo(json.dumps(summary._asdict()))
    else:
        _print_summary(summary)
    if figure is not None:
        found.plot(figure)
    if not as_json:
        for place in (options["out"], figure):
            if place is not None:
                click.echo(f"written: {place}")


def _print_summary(summary: Summary) -> None:
    from rich.table import Table

    from duckemcc.serve.cli.terminal import new_console

    table = Table(title="Section 6.2: PNS of the first variable on the last", title_justify="left")
    table.add_column("figure", no_wrap=True)
    table.add_column("found", no_wrap=True, justify="right")
    for k, line in enumerate(_summary_lines(summary)):
        table.add_row(*line, end_section=k in (1, 4, 9, 13))
    new_console().print(table)


def _summary_lines(s: Summary) -> list[tuple[str, str]]:
    """What the summary says, as names and texts."""
    last = [list(s.credibility[data].items())[-1:] for data in ("O", "I", "O+I")]
    return [
        ("models", f"{s.done} of {s.models}"),
        ("failed", f"{s.failed}"),
        ("compatible", _share(s.compatible)),
        ("identified with all data", _share(s.identified)),
        ("models for which N grew", f"{s.grown}"),
        ("models in what follows", f"{s.used}"),
        ("shrink of I by O: 1 − mean of L(O+I) / L(I)", _share(s.shrink_of_i)),
        ("shrink of O by I: 1 − mean of L(O+I) / L(O)", _share(s.shrink_of_o)),
        ("the same of the median ratios, I · O", _shrinks(s.median_ratio_to_i, s.median_ratio_to_o)),
        ("the same of the mean widths, I · O", _shrinks(s.width_ratio_to_i, s.width_ratio_to_o)),
        (f"bounds of O+I inside those of O and I, to {s.slack:g}", _share(s.included)),
        ("outside by at most", _number(s.largest_excess, "")),
        (f"truth inside the bounds of O+I, to {s.slack:g}", _share(s.truth_included)),
        ("credibility of O, I, O+I", " ".join(f"{value:.3f}" for pair in last for _, value in pair) or "-"),
        ("converged", _share(s.converged)),
        ("time of a model, median", _number(s.seconds_median, " s")),
        ("time of a model, largest", _number(s.seconds_max, " s")),
        ("processor time, all models", f"{s.cpu_seconds:.0f} s"),
    ]


def _shrinks(*ratios: float | None) -> str:
    return " · ".join(_share(None if ratio is None else 1 - ratio) for ratio in ratios)


def _share(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"


def _number(number: float | None, unit: str) -> str:
    return "-" if number is None else f"{number:.3g}{unit}"
