"""A batch job, run: the studies opened and counted once, answered, checked, and written in one go.

job file ─► studies ─► count tables ─► learned batches ─► bounds ─► output · report · picture
                                                      └─► compatibility · frequencies ─► report
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from duckemcc.answer.api import count_studies, read_queries
from duckemcc.answer.bounds import answer, unanswered
from duckemcc.answer.closely import Closely, answer_closely
from duckemcc.answer.compatibility import report
from duckemcc.answer.options import Clock, Report
from duckemcc.errors import DuckEmccError, Timeout, hiding, masked
from duckemcc.serve.job.clash import refuse_files, refuse_remote, refuse_table, refuse_tables
from duckemcc.serve.job.file import JobFile
from duckemcc.serve.job.output import hidden, making, write
from duckemcc.serve.job.study import check_table, open_database
from duckemcc.study.count.relation import Studies
from duckemcc.study.study import Study, name_studies
from duckemcc.study.table import CountTable

if TYPE_CHECKING:
    import pyarrow as pa

ALL_BOUNDED, NOT_BOUNDED, BAD_INPUT, UNFINISHED = 0, 3, 2, 4
"""Exit codes: every row is bounded or identified; some row is incompatible, undefined or without data; the input is
wrong; some row has no answer yet (too_large, timeout, invalid). Ctrl-C ends a run with 130, as in any shell."""


class Ran(NamedTuple):
    """What a job found. table: the bounds. seconds: of each stage."""

    table: pa.Table
    seconds: dict[str, float]

    @property
    def exit_code(self) -> int:
        """The worst of its rows."""
        statuses = set(self.table["status"].to_pylist())
        if statuses <= {"bounded", "identified"}:
            return ALL_BOUNDED
        return UNFINISHED if statuses & {"too_large", "timeout", "invalid"} else NOT_BOUNDED


def run_job(job: JobFile, progress: Report | None = None) -> Ran:
    """Runs a job and writes what it is to write. Raises a `DuckEmccError` for wrong data, and where what is written is
    read; nothing is written then."""
    with hiding(job.hidden):
        return _run(job, progress)


def _run(job: JobFile, progress: Report | None) -> Ran:
    refuse_files(job)
    refuse_tables(job)
    clock = Clock(job.options.max_seconds, progress)
    tables: list[CountTable] = []
    queries = read_queries(job.queries)
    try:
        tables = count(job, clock)
        asked = job.model, tables, queries, job.by, job.options, clock
        with _told_by_line(job):
            found = answer_closely(*asked) if job.report is not None else Closely(answer(*asked))
    except Timeout as late:  # without segments it is known which rows there are
        if job.by:
            raise
        found = Closely(unanswered(queries, job.options, late), late=late)
    found = found._replace(bounds=hidden(found.bounds, job.by))
    with _told_by_line(job):
        text = _report(job, tables, found) if job.report is not None else None
        picture = _draw(job, found.bounds) if job.plot is not None else None
    with ExitStack() as whole:  # files take their places together, once the table is written as well
        if text is not None and job.report is not None:
            whole.enter_context(making(job.report)).write_text(text, encoding="utf-8", newline="\n")
        if picture is not None and job.plot is not None:
            whole.enter_context(making(job.plot)).write_bytes(picture)
        if job.target is not None:
            write(found.bounds, job.target, lambda con: _check_target(con, job))
    clock.lap("write")
    return Ran(found.bounds, clock.laps)


def _check_target(con: Any, job: JobFile) -> None:
    """Raises `OptionError` where the table that is written is one that was read, as `con` sees both."""
    assert job.target is not None
    if job.target.database is not None:
        refuse_table(con, job.target, job)
    else:
        refuse_remote(con, job.target, job.entries)


def check_job(job: JobFile, progress: Report | None = None) -> pa.Table:
    """The compatibility report of a job's studies."""
    clock = Clock(job.options.max_seconds, progress)
    with hiding(job.hidden):
        tables = count(job, clock)
        with _told_by_line(job):
            return hidden(report(job.model, tables, job.by, job.options, clock), job.by)


def count(job: JobFile, clock: Clock | None = None) -> list[CountTable]:
    """The count tables of a job's studies."""
    with hiding(job.hidden), _told_by_line(job), open_studies(job) as studies:
        tables = count_studies(job.model, studies, job.options, job.by, clock)
    if clock is not None:
        clock.lap("count")
    return tables


# -- the report and the picture ----------------------------------------------------------------


def _report(job: JobFile, tables: Sequence[CountTable], found: Closely) -> str:
    """The HTML text; it says what there was no time for."""
    from duckemcc.show.page import make_report

    return make_report(
        title=job.title,
        model=job.model,
        studies=_describe(job, tables),
        bounds=found.bounds,
        compatibility=found.compatibility,
        frequencies=found.frequencies,
        late=None if found.late is None else str(found.late),
        counts=tables,
        options=job.options,
        generated_at=datetime.now(UTC).replace(microsecond=0),
    )


def _describe(job: JobFile, tables: Sequence[CountTable]) -> list[Study]:
    """The studies as they were counted, without their sources."""
    if len(job.entries) == len(tables) and not any(entry.relation for entry in job.entries):
        pairs = zip(job.entries, tables, strict=True)
        return [Study("study.parquet", **{**entry.options, "name": table.name}) for entry, table in pairs]
    return [Study("study.parquet", name=t.name, do=t.do, local=tuple(t.local), shared=t.shared) for t in tables]


def _draw(job: JobFile, table: pa.Table) -> bytes:
    from duckemcc.show.picture import read_format
    from duckemcc.show.plot import bounds

    assert job.plot is not None
    return bounds(table, title=masked(job.title)).render(read_format(job.plot)[1:])


# -- sources -----------------------------------------------------------------------------------


@contextmanager
def open_studies(job: JobFile) -> Iterator[Sequence[Study | Studies]]:
    """The job's studies with their connections, which are closed afterwards; databases are opened read-only.

    Raises `SourceError` where one cannot be opened.
    """
    opened: dict[Path, Any] = {}

    def connect(path: Path) -> Any:
        if path not in opened:
            opened[path] = open_database(path)
        return opened[path]

    try:
        if job.catalog is not None and not job.entries:
            from duckemcc.serve.duckdb.catalog import load_studies

            database, name = job.catalog
            yield load_studies(connect(database), name)
        else:
            for entry, name in zip(job.entries, study_names(job), strict=True):
                if entry.database is not None:
                    check_table(connect(entry.database), entry, name)
            yield [e.open(e.source, connect(e.database) if e.database else e.connection) for e in job.entries]
    finally:
        for con in opened.values():
            con.close()


# -- mistakes that only the data show ----------------------------------------------------------


def study_names(job: JobFile) -> list[str]:
    """What messages call each study of a job."""
    opened = [entry.open(entry.source, None) for entry in job.entries]
    names = iter(name_studies([study for study in opened if isinstance(study, Study)]))
    return [next(names) if isinstance(study, Study) else "studies" for study in opened]


@contextmanager
def _told_by_line(job: JobFile) -> Iterator[None]:
    """What is wrong with the data is told in the job's words, with the line on which the study that it names stands,
    or the query."""
    try:
        yield
    except DuckEmccError as wrong:
        lines = _lines_of(job, wrong)
        file, line = (job.path.name, lines[0]) if len(lines) == 1 else (None, None)
        raise wrong.placed(spelling="toml", file=file, line=line) from wrong.__cause__


def _lines_of(job: JobFile, wrong: DuckEmccError) -> list[int]:
    """The lines of what an error is about: a query, a study, or an option."""
    if wrong.query is not None:
        return [job.lines[text] for text in job.queries if masked(text) == wrong.query]
    if wrong.study is not None:
        named = zip(job.entries, study_names(job), strict=True)
        found = [entry.line for entry, name in named if masked(name) == wrong.study]
        return found or [entry.line for entry in job.entries if entry.relation]  # one of the studies in it
    return [job.lines[wrong.option]] if wrong.option is not None and wrong.option in job.lines else []
