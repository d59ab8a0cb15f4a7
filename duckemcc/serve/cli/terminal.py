"""How commands show their answers on a terminal: tables for people, with the remedy under what went wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    import pyarrow as pa
    from rich.console import Console
    from rich.table import Table

MOST_ROWS = 40
MOST_NOTES = 10
MOST_PLACES = 3
WIDE = 10_000
_WRITTEN = 40  # bits of a number of states up to which its digits are told
"""Columns where nobody looks, but a file or a program: nothing is folded there."""


def interval(lower: float | None, upper: float | None, digits: int = 4) -> str:
    """[lower, upper] in a rich table's markup."""
    return "-" if lower is None or upper is None else rf"\[{lower:.{digits}f}, {upper:.{digits}f}]"


def show_bounds(
    table: pa.Table,
    title: str,
    by: Sequence[str],
    statuses: Mapping[str, int],
    seconds: Mapping[str, float],
    written: Sequence[str],
) -> None:
    """The intervals, what to do about rows without one, and a summary."""
    from rich.markup import escape

    rows = table.slice(0, MOST_ROWS).to_pylist()
    pairs = {"outer": ("outer_lower", "outer_upper"), "limits": ("lower_ci", "upper_ci")}
    pairs = {name: ends for name, ends in pairs.items() if any(_adds(row, *ends) for row in rows)}
    first = [name for name in pairs if name == "limits"]  # before what takes the sample for exact
    names = [*first, "bounds", *(name for name in pairs if name not in first)]
    shown = _new_table(escape(title), (*by, "query", *names, "status"))
    for row in rows:
        ends = [_interval_of(row) if n == "bounds" else interval(*(row[end] for end in pairs[n])) for n in names]
        shown.add_row(*(escape(_segment(row[name])) for name in by), escape(row["query"]), *ends, row["status"])
    _print(shown)
    if table.num_rows > MOST_ROWS:
        click.echo(f"… and {table.num_rows - MOST_ROWS} more rows")
    if any(row["lower"] is not None and not (row["exact_lower"] and row["exact_upper"]) for row in rows):
        click.echo("* attained, not proven: the end may lie as far out as outer, or as the query's range")
    _show_notes(table, by)
    counted = ", ".join(f"{number} {status}" for status, number in statuses.items())
    took = ", ".join(f"{stage} {value:.2f} s" for stage, value in seconds.items())
    click.echo(f"{table.num_rows} {'row' if table.num_rows == 1 else 'rows'}: {counted} ({took})")
    tell_written(*written)


def tell_written(*places: str | Path | None) -> None:
    """What a command wrote, for people."""
    for place in places:
        if place is not None:
            click.echo(f"written: {place}")


def _show_notes(table: pa.Table, by: Sequence[str]) -> None:
    """Each message once, with the segments and queries that it is about, and the pattern that contradicts most."""
    rows = table.select([*by, "query", "message", "fault"]).to_pylist()
    queries = {row["query"] for row in rows}
    noted: dict[tuple[str, str | None], list[dict[str, Any]]] = {}
    for row in rows:
        if row["message"] is not None:
            noted.setdefault((row["message"], row["fault"]), []).append(row)
    for (message, fault), about in list(noted.items())[:MOST_NOTES]:
        places = list(dict.fromkeys(", ".join(f"{b} = {_segment(row[b])}" for b in by) for row in about)) if by else []
        if {row["query"] for row in about} != queries:
            places += dict.fromkeys(row["query"] for row in about)
        shown = "; ".join(places[:MOST_PLACES]) + (
            f" and {len(places) - MOST_PLACES} more" * (len(places) > MOST_PLACES)
        )
        click.echo(f"note: {shown + ': ' if shown else ''}{message}")
        if fault is not None:
            click.echo(f"      contradicted most by {fault}")
    if len(noted) > MOST_NOTES:
        click.echo(f"… and {len(noted) - MOST_NOTES} more notes: the table's column message has all")


def _segment(value: Any) -> str:
    return "NULL" if value is None else str(value)


def _adds(row: Mapping[str, Any], low: str, high: str) -> bool:
    """Whether an interval tells more than the bounds do."""
    return row[low] is not None and (row[low], row[high]) != (row["lower"], row["upper"])


def _interval_of(row: Mapping[str, Any]) -> str:
    """The bounds, with a star at an end that is not proven."""
    if row["lower"] is None or row["upper"] is None:
        return "-"
    stars = ["" if row[end] else "*" for end in ("exact_lower", "exact_upper")]
    return rf"\[{row['lower']:.4f}{stars[0]}, {row['upper']:.4f}{stars[1]}]"


def show_report(table: pa.Table) -> None:
    """The compatibility report, and the pattern that contradicts most."""
    from rich.markup import escape

    from duckemcc.answer.schema import was_untested

    by = table.column_names[: table.column_names.index("study")]
    shown = _new_table("Compatibility", (*by, "study", "records", "misfit", "p-value", "compatible"))
    for row in table.to_pylist():
        name = "all together" if row["study"] is None else escape(row["study"])
        told = ("-", "-", "-")
        if row["compatible"] and was_untested(row):
            told = f"{row['misfit']:.4f}", "-", "not tested"
        elif row["compatible"] is not None:  # else there is no record
            told = f"{row['misfit']:.4f}", f"{row['p_value']:.3g}", "yes" if row["compatible"] else "NO"
        shown.add_row(*(escape(_segment(row[b])) for b in by), name, f"{row['n']:g}", *told)
    _print(shown)
    for row in table.to_pylist():
        place = "".join(f"{b} = {_segment(row[b])}, " for b in by) + (row["study"] or "all together")
        for told in (row["fault"], row["message"]):
            if told is not None:
                click.echo(f"{place}: {told}")


def show_explained(told: Mapping[str, Any]) -> None:
    """The variables, the unmeasured causes and the components; then studies, groups and queries where there are."""
    from rich.markup import escape

    latent = not all(v["measured"] for v in told["variables"])
    variables = _new_table("Variables", ("name", "states", "parents", *(["measured"] if latent else [])))
    for v in told["variables"]:
        states = "learned from the data" if v["states"] is None else ", ".join(v["states"])
        measured = ["yes" if v["measured"] else "no"] if latent else []
        variables.add_row(*map(escape, (v["name"], states, ", ".join(v["parents"]), *measured)))
    _print(variables)
    causes = _new_table("Unmeasured causes", ("name", "of", "states"))
    for u in told["causes"]:
        size = "depends on the states of its children" if u["states"] is None else f"{u['states']:,}"
        if u["bits"] is not None and (u["states"] is None or u["bits"] > _WRITTEN):
            size = f"about 2^{u['bits']:.0f}"
        causes.add_row(*map(escape, (u["name"], ", ".join(u["children"]), size)))
    _print(causes)
    if "studies" in told:
        studies = _new_table("Studies", ("name", "set by design", "records", "distinct patterns"))
        for s in told["studies"]:
            studies.add_row(escape(s["study"]), escape(", ".join(s["do"])), f"{s['records']:g}", f"{s['patterns']:,}")
        _print(studies)
        work = _new_table("What is learned together", ("causes", "patterns", "classes of states", "one maximum"))
        for g in told["groups"] if not told["pieces"] else ():
            work.add_row(
                escape(", ".join(g["causes"])),
                f"{g['patterns']:,}",
                f"{g['classes']:,}",
                "yes" if g["concave"] else "no",
            )
        _print(work if not told["pieces"] else _new_pieces(told["pieces"]))
        click.echo(f"segments: {told['segments']:,}; memory of the likelihood: {told['megabytes']:g} MB")
        click.echo(
            f"an EM step of {told['restarts']} restarts: {told['operations_per_em_step']:,} multiplications a segment"
        )
    for note in told["merged"]:
        click.echo(f"note: {note}")
    for assumed in told["assumptions"]:
        click.echo(f"assumed: P({assumed}) = 0")
    for q in told.get("queries", ()):
        click.echo(f"\n{q['query']}\n  is       {q['is']}")
        click.echo(f"  on       {', '.join(q['causes']) or 'nothing unmeasured'}\n  its ends {q['ends']}")
        if q.get("pieces"):
            _print(_new_pieces(q["pieces"]))


def _new_pieces(pieces: Sequence[Mapping[str, Any]]) -> Table:
    """Causes that are not listed: what is read of each, and how large that is."""
    from rich.markup import escape

    columns = ("cause", "pieces", "numbers of the largest", "cliques", "of the largest")
    table = _new_table("What is read of causes that are too large to be listed", columns)
    for p in pieces:
        sizes = (p["pieces"], p["largest"], p["cliques"], p["largest_clique"])
        table.add_row(escape(p["cause"]), *(f"{size:,}" for size in sizes))
    return table


def _new_table(title: str, columns: Sequence[str]) -> Table:
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for name in columns:
        table.add_column(name, no_wrap=name in ("bounds", "outer", "limits", "status", "p-value"), overflow="fold")
    return table


def new_console() -> Console:
    """As wide as the terminal, or as the text where there is none."""
    from rich.console import Console

    console = Console()
    if not console.is_terminal:
        console.width = WIDE
    return console


def _print(table: Table) -> None:
    new_console().print(table)
