"""Hours of coverage-guided noise for the parsers: `python tests/benchmarks/fuzz_parsers.py graph -max_total_time=600`.

What is fuzzed: `graph`, `query` or `uai`. Further arguments are libFuzzer's: a folder of its own for the inputs found,
`-max_len=…`, `-runs=…`. Any input ends in a value that survives its way out and in, or in a DuckEmccError; all else is
a finding, and libFuzzer writes its input to a file `crash-…`, `timeout-…` or `oom-…`. The tests `test_fuzz_*.py` try
texts of the grammars, this one follows what the code does with its input.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

try:
    import atheris
except ImportError:
    sys.exit("needs atheris, for Linux and macOS: pip install atheris")

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS / "model"), str(TESTS / "query")]
LIMITS = ("-timeout=20", "-rss_limit_mb=2048", "-max_len=4096")

with atheris.instrument_imports(include=["duckemcc.model", "duckemcc.query"]):
    from duckemcc.errors import DuckEmccError
    from duckemcc.model.graph import parse as parse_graph
    from duckemcc.model.scm import Model
    from duckemcc.model.uai import read_uai, write_uai
    from duckemcc.query.language import parse as parse_query


def check_graph(text: str) -> None:
    model = parse_graph(text)
    assert Model.from_dict(model.to_dict()) == model
    model.to_dot()
    model.with_states(dict.fromkeys(model.variables, (0, 1))).to_uai()


def check_query(text: str) -> None:
    asked = parse_query(text)
    assert parse_query(str(asked)) == asked


def check_uai(text: str) -> None:
    model, chances = read_uai("CAUSAL\n" + text, normalise=True)
    again, back = read_uai(write_uai(model, chances))
    assert again == model
    assert all((back[u] == pmf).all() for u, pmf in chances.items())


CHECKS: dict[str, Callable[[str], None]] = {"graph": check_graph, "query": check_query, "uai": check_uai}


def main() -> None:
    if len(sys.argv) < 2 or sys.argv[1] not in CHECKS:
        sys.exit(f"{__doc__}\nsay what to fuzz: {', '.join(CHECKS)}")
    check = CHECKS[sys.argv.pop(1)]

    def run(noise: bytes) -> None:
        try:
            check(noise.decode("utf-8", "surrogateescape"))
        except DuckEmccError as wrong:
            assert 0 < len(str(wrong)) < 5000  # noqa: PT017 — either way out is right

    atheris.Setup([sys.argv[0], *LIMITS, *sys.argv[1:]], run)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
