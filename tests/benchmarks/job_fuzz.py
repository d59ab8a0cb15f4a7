"""Mutants of valid job files through the reader of jobs: `python tests/benchmarks/job_fuzz.py [number] [seed]`.

Each is a job, or a JobError; all else is a finding, whose text is printed. Prints how many there were of each.
"""

from __future__ import annotations

import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from duckemcc.errors import JobError
from duckemcc.serve.job.file import read_job

JOBS = (
    'title = "T"\nqueries = ["P(Y=1)", "PNS(X=1, Y=1)"]\nby = ["g"]\n[model]\ngraph = """\nX {0, 1}; Y {0, 1}\n'
    'X -> Y; X <-> Y\n"""\n[[studies]]\nsource = "t.csv"\nname = "one"\ndo = ["X"]\nwhere = "n > 0 AND g IN (\'a\')"\n'
    'weight = "n"\ncolumns = {X = "x"}\n[[studies]]\nsource = "t.csv"\nshared = true\nselected = "Y = 1"\n'
    'local = ["U"]\n[options]\nrestarts = 3\nlevel = "exact"\nseed = 5\n[output]\nfile = "b.csv"\nreport = "r.html"\n',
    'queries = "P(Y[X=1]=1 | X=0)"\n[model]\nfile = "m.txt"\n[[studies]]\nsource = "SELECT * FROM t"\n'
    'connection = "postgresql://u:${PW}@h/d?sslmode=off"\nunmeasured = ["X"]\n[[studies]]\nrelation = true\n'
    'source = "t.csv"\n[options]\nmax_seconds = 1.5\nnulls = "drop"\n[output]\ndatabase = "o.duckdb"\ntable = "a.b"\n',
)
ODD = (
    *"\"'[]{}=,.#\\\n\0\t()|&;:@$%*?/-", "\u0085", "\u2028", "\u2029", "\ufeff", "${PW}", "${", '"""', "'''", "1e999",
    "nan", "-inf", "9" * 400, "2020-01-01", "[[", "]]", "\\ud800", "\\u0000", "true", "[" * 60, "é", "𝔛", "NULL", "--",
    "(" * 40, "NOT " * 40, "a" * 300, "SELECT ", "://", "PNS(", "<->", "~", "\r",
)  # fmt: skip


def mutate(text: str, rng: random.Random) -> str:
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(text) + 1)
        end = min(len(text), at + rng.choice((0, 1, 1, 2, 5, 20)))
        kind = rng.random()
        if kind < 0.5:
            text = text[:at] + rng.choice(ODD) + text[end:]
        elif kind < 0.7:
            text = text[:at] + text[end:]
        elif kind < 0.85:
            other = rng.randrange(len(text) + 1)
            text = text[:at] + text[other : other + rng.randint(1, 40)] + text[at:]
        else:
            lines = text.split("\n")
            lines.insert(rng.randrange(len(lines)), rng.choice(lines))
            text = "\n".join(lines)
    return text


def main(number: int = 30_000, seed: int = 1) -> int:
    rng, found, began = random.Random(seed), Counter[str](), time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        (place / "t.csv").write_text("x,Y,g,n\n0,1,a,2\n")
        (place / "m.txt").write_text("X {0, 1}; Y {0, 1}; X -> Y")
        for _ in range(number):
            text = mutate(rng.choice(JOBS), rng)
            (place / "job.toml").write_bytes(text.encode("utf-8", "surrogatepass"))
            start = time.monotonic()
            try:
                read_job(place / "job.toml", {"PW": "s3cr3t-pa55"})
                found["jobs"] += 1
            except JobError as wrong:
                found["errors"] += 1
                found["secrets"] += "s3cr3t-pa55" in str(wrong)
            except Exception as raw:  # a finding
                found["raw"] += 1
                print(f"{type(raw).__name__}: {raw}\n{text!r}")
            found["slow"] += time.monotonic() - start > 1
    print(dict(found), f"{time.monotonic() - began:.0f} s")
    return int(bool(found["raw"] or found["secrets"]))


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
