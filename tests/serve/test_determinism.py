"""Same data, same seed, same answer: whatever the number of threads of the engine or of the linear algebra."""

from __future__ import annotations

import os
import subprocess
import sys

PROGRAM = """
import sys
import duckdb, duckemcc as emcc
con = duckdb.connect(config={"threads": int(sys.argv[1])})
con.execute("CREATE TABLE r AS SELECT hash(i) % 2 AS A, hash(i + 3) % 3 AS B, "
            "(hash(i * 7) // 4 + hash(i) // 4) % 2 AS C, "
            "hash(i * 11) % 2 AS D, (i % 7) / 3.0 AS w, i % 5 AS part FROM range(20000) t(i)")
study = emcc.Study(con.table("r"), weight="w")
queries = ["PNS(A=1, D=1)", "P(C=1 | B=2, D=0)"]
table = emcc.bounds("A -> B -> C -> D; A -> C; B <-> C", study, queries, by="part", restarts=5)
print([list(row.values()) for row in table.to_pylist()])
"""


def answer(threads):
    limits = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "POLARS_MAX_THREADS")
    env = os.environ | dict.fromkeys(limits, str(threads))
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(threads)], env=env, capture_output=True, text=True, timeout=120, check=True
    )
    return done.stdout


def test_the_number_of_threads_does_not_change_a_single_digit():
    one, two = answer(1), answer(2)
    assert one.startswith("[[0, 'PNS(A=1, D=1)', 0.")
    assert one == two
