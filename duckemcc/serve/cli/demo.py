"""`duckemcc demo`: the paper's Table 1 in an embedded DuckDB."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from duckemcc.serve.cli.terminal import interval, new_console

if TYPE_CHECKING:
    from rich.table import Table

    from duckemcc.serve.cli.drug_trial import Answer


@click.command()
@click.option("--restarts", type=click.IntRange(min=1), default=30, show_default=True, help="Random restarts of EM.")
@click.option("--quiet", is_flag=True, help="Leave out the SQL.")
def demo(restarts: int, quiet: bool) -> None:
    """Run the main job on the paper's Table 1 and print its bounds beside the exact ones.

    A drug was tried in a randomised trial (I) and recorded in a registry (O). What is the probability that it was
    necessary and sufficient for survival (PNS)? An embedded DuckDB answers from SQL, for each study and for both
    (O+I), with and without Gender in the model. The SQL is printed as it ran.

    \b
    duckemcc demo --quiet
    """
    from rich.syntax import Syntax

    from duckemcc.serve.cli.drug_trial import run

    console = new_console()
    statements, answers = run(restarts)
    if not quiet:
        for sql in statements:
            coloured = Syntax("", "sql", theme="ansi_dark", background_color="default").highlight(sql)
            console.print(coloured, soft_wrap=True)  # the terminal wraps it, so that what is copied is still SQL
    console.print(_demo_table(answers))
    console.print(
        "O: the registry (observational). I: the trial (interventional). O+I: both.\n"
        "Without Gender the exogenous variable has 8 states, with Gender 64; the exact bounds are from closed forms.\n"
        "The paper prints .34, .43 beside the model with Gender; that is the answer of the model without it.",
        highlight=False,
        soft_wrap=True,
    )


def _demo_table(answers: list[Answer]) -> Table:
    from rich.table import Table

    table = Table(title="Table 1: was the drug necessary and sufficient for survival?", title_justify="left")
    for name in ("query", "data", "bounds", "exact", "status"):
        table.add_column(name, no_wrap=True)
    for answer in answers:
        row = answer.row
        table.add_row(
            answer.question.title if answer.data == "O" else "",
            answer.data,
            interval(row["lower"], row["upper"]),
            interval(*answer.question.exact[answer.data]),
            row["status"],
            end_section=answer.data == "O+I",
        )
    return table
