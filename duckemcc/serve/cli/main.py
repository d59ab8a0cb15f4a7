"""The command line: `duckemcc`, a group of commands. Each lives in a file of its own beside this one.

    demo, benchmark     demo.py, benchmark.py
    run, check, counts  job.py
    explain, plot       look.py

Exit codes: those of `serve.job.run`; 2 for bad input, whose message is on stderr; 130 after Ctrl-C.
"""

from __future__ import annotations

import click

from duckemcc.errors import DuckEmccError, Timeout
from duckemcc.serve.cli.benchmark import benchmark
from duckemcc.serve.cli.demo import demo
from duckemcc.serve.cli.job import check, counts, run
from duckemcc.serve.cli.look import explain, plot
from duckemcc.serve.job.run import BAD_INPUT, UNFINISHED
from duckemcc.stop import STOPPED, TOLD, take_ctrl_c, watch


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="duckemcc")
def cli() -> None:
    """Bounds on counterfactuals where the data live: DuckDB, Parquet, polars and SQL.

    \b
    Begin with        duckemcc demo
    see a question    duckemcc explain 'X {0, 1}; Y {0, 1}; X -> Y; X <-> Y' -q 'PNS(X=1, Y=1)'
    run a batch job   duckemcc run job.toml --report report.html
    why incompatible  duckemcc check job.toml
    count elsewhere   duckemcc counts job.toml --sql snowflake
    """


for command in (demo, run, check, counts, explain, plot, benchmark):
    cli.add_command(command)


def main() -> None:
    """The entry point: errors of the input are told in words, with exit code 2."""
    watch()
    try:
        raise SystemExit(cli(standalone_mode=False))
    except DuckEmccError as wrong:
        click.echo(f"{type(wrong).__name__}: {wrong}", err=True)
        raise SystemExit(UNFINISHED if isinstance(wrong, Timeout) else BAD_INPUT) from None
    except click.ClickException as wrong:
        wrong.show()
        raise SystemExit(wrong.exit_code) from None
    except (click.Abort, KeyboardInterrupt):  # where Ctrl-C is not ours, as in a program that calls this
        click.echo(TOLD, err=True)
        raise SystemExit(STOPPED) from None


if __name__ == "__main__":
    take_ctrl_c()
    main()
