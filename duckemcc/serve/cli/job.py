"""`duckemcc run`, `check` and `counts`: batch jobs from a file."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from duckemcc.errors import OptionError, hiding, masked
from duckemcc.serve.cli.terminal import show_bounds, show_report, tell_written
from duckemcc.serve.job.clash import refuse_files
from duckemcc.serve.job.file import JobFile, check_page, check_picture, read_job
from duckemcc.serve.job.formats import to_csv
from duckemcc.serve.job.output import Target, check_target, hidden, write
from duckemcc.serve.job.run import check_job, count, run_job, study_names
from duckemcc.serve.progress import show_progress
from duckemcc.study.literal import all_named

if TYPE_CHECKING:
    import pyarrow as pa

JSON = click.option(
    "--json", "as_json", is_flag=True, help="Print JSON on stdout instead, for machines; errors stay text on stderr."
)
FILE = click.Path(dir_okay=False, path_type=Path)
_OUT = click.option("--out", type=FILE, help="Write the table here: .parquet .csv .json.")
_JOB = click.argument("job", type=click.Path(dir_okay=False))
DIALECTS = ("duckdb", "postgres", "spark", "databricks", "bigquery", "snowflake", "redshift", "trino", "tsql")


@click.command()
@_JOB
@_OUT
@click.option("--report", type=FILE, help="Write a report that opens offline: .html.")
@click.option("--plot", type=FILE, help="Draw the intervals: .png .svg .pdf. Needs duckemcc[plot].")
@JSON
def run(job: str, out: Path | None, report: Path | None, plot: Path | None, as_json: bool) -> None:
    """Run the batch job of a TOML file.

    JOB names the model, the studies, the queries and where the bounds go. It is checked whole before any data are
    read, and every mistake is told with its line. Files and tables are replaced in one go: a job that is stopped
    leaves the old ones. Paths in the job are seen from its folder, those of --out, --report and --plot from yours.

    \b
    duckemcc run job.toml
    duckemcc run job.toml --out bounds.csv --report report.html

    \b
    Exit codes   0  every row is bounded or identified
                 2  the job or its data are wrong; nothing was written
                 3  some row is incompatible or undefined, or has no data
                 4  some row has no answer yet: too_large, timeout, invalid

    \b
    title = "Did the drug help?"
    queries = ["PNS(Treatment=drug, Survival=survived)"]
    [model]
    graph = "Treatment -> Survival; Treatment <-> Survival"
    [[studies]]
    source = "trial.parquet"         # or a table, with database = "clinic.duckdb"
    do = ["Treatment"]               # or connection = "${PG_URI}" for PostgreSQL
    [[studies]]
    source = "registry.csv"
    weight = "n"
    [output]
    file = "bounds.parquet"
    """
    read = read_job(job)
    with hiding(read.hidden):
        asked = _redirect(read, out, report, plot)
        with show_progress() as progress:
            ran = run_job(asked, progress)
        statuses = dict(Counter(ran.table["status"].to_pylist()))
        written = [masked(str(place)) for place in (asked.target, asked.report, asked.plot) if place is not None]
        if as_json:
            told = {"statuses": statuses, "seconds": ran.seconds, "written": written, "rows": _plain(ran.table)}
            click.echo(json.dumps(told, ensure_ascii=False, default=str))
        else:
            by = [masked(name) for name in asked.by]
            show_bounds(ran.table, masked(asked.title), by, statuses, ran.seconds, written)
    raise SystemExit(ran.exit_code)


@click.command()
@_JOB
@_OUT
@JSON
def check(job: str, out: Path | None, as_json: bool) -> None:
    """Do the studies of a job contradict the graph, or each other?

    One line for all studies together and one for each, with the misfit (the largest distance between observed and
    fitted frequencies), the p-value, and the pattern that contradicts most. Exit code 3 where something does. The job
    needs no queries.

    \b
    duckemcc check job.toml --out report.parquet
    """
    asked = read_job(job, asked=False)
    with hiding(asked.hidden):
        target = _target(asked, out)
        with show_progress() as progress:
            table = check_job(asked, progress)
        if target is not None:
            write(table, target)
    if as_json:
        click.echo(json.dumps(_plain(table), ensure_ascii=False, default=str))
    else:
        show_report(table)
        tell_written(out)
    raise SystemExit(3 if False in table["compatible"].to_pylist() else 0)


@click.command()
@_JOB
@click.option("--sql", "dialect", type=click.Choice(DIALECTS), help="Print the counting query for this engine instead.")
@_OUT
def counts(job: str, dialect: str | None, out: Path | None) -> None:
    """The count table of a job's studies, or the SQL that counts them elsewhere.

    A warehouse that duckemcc cannot reach runs the SQL itself; its small result comes back as a file, which is then a
    study's source with weight = "n". For --sql, a source that is the name of a table or a SELECT needs no database, and
    one that is a file is a comment. Without --sql and --out the table is printed as CSV. The job needs no queries.

    \b
    duckemcc counts job.toml --sql snowflake
    duckemcc counts job.toml --out counts.parquet
    """
    if dialect is not None:
        if out is not None:
            raise OptionError(
                "--out takes the counts and --sql prints the query", remedy="give one of them", option="out"
            )
        asked = read_job(job, located=False, asked=False)
        with hiding(asked.hidden):
            click.echo(masked("\n\n".join(_counting_sql(asked, dialect))))
        return
    asked = read_job(job, asked=False)
    with hiding(asked.hidden):
        target = _target(asked, out)
        table = hidden(_count_table(asked), [*asked.model.variables, *asked.by])
        if target is not None:
            write(table, target)
            tell_written(out)
        else:
            click.echo(to_csv(table), nl=False)


# -- what they need ----------------------------------------------------------------------------


def _redirect(job: JobFile, out: Path | None, report: Path | None, plot: Path | None) -> JobFile:
    """The job with what the command line says instead."""
    if report is not None:
        check_page(report)
    if plot is not None:
        check_picture(plot)
    target = _target(job, out) or job.target
    return replace(job, target=target, report=report or job.report, plot=plot or job.plot)


def _target(job: JobFile, out: Path | None) -> Target | None:
    """What --out says, which is none of the job's sources."""
    target = check_target(out, None, None, None)
    if target is not None:
        refuse_files(replace(job, target=target))
    return target


def _plain(table: pa.Table) -> list[dict[str, Any]]:
    from duckemcc.serve.job.formats import to_json

    return list(json.loads(to_json(table)))


def _count_table(job: JobFile) -> pa.Table:
    """All studies' counts as one relation, laid out as `emcc_bounds` takes it."""
    import polars as pl

    parts = []
    for table in count(job):
        do = pl.lit(list(table.do), dtype=pl.List(pl.String))
        parts.append(table.frame.rename({"count": "n"}).with_columns(study=pl.lit(table.name), intervened=do))
    frame = pl.concat(parts, how="diagonal_relaxed")
    others = [c for c in frame.columns if c not in ("study", "intervened", "n")]
    return frame.select(all_named(["study", "intervened", *others, "n"])).to_arrow()


def _counting_sql(job: JobFile, dialect: str) -> list[str]:
    """A statement for each study, a comment for what is no table; no connection is opened."""
    from duckemcc.serve.warehouse import counts_sql
    from duckemcc.study.study import Study

    told = []
    for entry, name in zip(job.entries, study_names(job), strict=True):
        study = entry.open(entry.source, None)
        head = "-- " + " ".join(name.split())
        if entry.is_file:
            file = " ".join(Path(entry.source).name.split())
            told.append(f"{head}: the file {file}, counted by duckdb where duckemcc runs")
        elif isinstance(study, Study):
            told.append(f"{head}\n{counts_sql(job.model, study, dialect=dialect, by=job.by)};")
        else:
            raise OptionError("SQL is written for one study at a time: give each an entry of its own, no relation")
    if not told:
        raise OptionError("SQL is written for the studies that a job lists, and this one lists none")
    return told
