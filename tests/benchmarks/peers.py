"""This program beside its peers, on the same problems in one run: `python tests/benchmarks/peers.py --out peers.md`.

The peers are the authors' Java (CREDICI) and Python (bcause), and where a problem is one linear programme a bare HiGHS
call. Each runs in an environment of its own, made under --cache by pip, and each problem in a child process with a time
limit. A peer that fails or is ended is reported so, and the run goes on.

What is measured, by each child for itself: the median time of an EM iteration after some to warm up, of this program
with all restarts together and divided by them, and of one restart alone; the time from records in memory to bounds,
start-up not counted (this program counts the records within it; HiGHS gets its matrix); the most memory that the
process held, interpreter or virtual machine included. A peer whose restarts do not fit into --seconds runs fewer, and
fewer steps if not even two do; the time is then scaled up to all of them and marked ~, the bounds are those of the
restarts that ran.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from fnmatch import fnmatch
from pathlib import Path

FOLDER = Path(__file__).resolve().parent / "peers"
sys.path.insert(0, str(FOLDER))
import run_bcause  # noqa: E402
import run_credici  # noqa: E402
import run_highs  # noqa: E402
from cases import Case, all_cases, payload  # noqa: E402
from compare import OWN, make_row, render, summarise  # noqa: E402

PEERS = {"credici": run_credici.PACKAGES, "bcause": run_bcause.PACKAGES, "highs": run_highs.PACKAGES}


def read_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--cache", type=Path, help="where the environments are made and kept (default: a temporary folder)")
    add("--out", type=Path, help="a Markdown file for the table; beside it, all findings as .json")
    add("--only", default="*", help="a pattern of problems, such as 'Table 1*'")
    add("--programs", default=",".join([OWN, *PEERS]), help="which to run (default: %(default)s)")
    add("--iterations", type=int, default=20, help="EM iterations that are timed (default: %(default)s)")
    add("--restarts", type=int, default=30, help="of EM, for the bounds (default: %(default)s)")
    add("--steps", type=int, default=100, help="of the peers' EM in a restart (default: %(default)s)")
    add(
        "--seconds", type=float, default=20, help="for timing iterations, and again for learning (default: %(default)s)"
    )
    add("--limit", type=float, default=180, help="seconds for one program on one problem (default: %(default)s)")
    add("--models", type=int, default=10, help="of the authors' models (default: %(default)s)")
    return parser.parse_args(arguments)


def make_environment(program: str, cache: Path) -> str:
    """The path of an interpreter with the program's packages; RuntimeError with pip's last words if they cannot be had.

    An environment that is there with the same packages is used again.
    """
    if program == OWN:
        return sys.executable
    folder, wanted = cache / program, json.dumps(PEERS[program])
    python, made = folder / "bin" / "python", folder / "made.json"
    if not (made.exists() and made.read_text() == wanted):
        commands = [[sys.executable, "-m", "venv", "--clear", str(folder)]]
        commands += [[str(python), "-m", "pip", "install", "--quiet", *packages] for packages in PEERS[program]]
        for command in commands:
            done = subprocess.run(command, capture_output=True, text=True, timeout=1800, check=False)
            if done.returncode:
                raise RuntimeError(f"no environment: {_last_line(done.stderr)}")
        made.write_text(wanted)
    return str(python)


def run_program(program: str, python: str, job: dict, options: dict, limit: float) -> dict:
    """The findings of one program on one problem, in a child process, those of one that failed or was ended too."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / name for name in ("job.json", "options.json", "findings.json")]
        paths[0].write_text(json.dumps(job))
        paths[1].write_text(json.dumps(options))
        with (Path(folder) / "log").open("w+") as log:
            command = [python, str(FOLDER / f"run_{program}.py"), *map(str, paths)]
            child = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
            try:
                code = child.wait(limit)
            except subprocess.TimeoutExpired:
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()
                code = None
            log.seek(0)
            said = _last_line(log.read())
        found = json.loads(paths[2].read_text()) if paths[2].exists() else {}
    if code is None:
        found["ended"] = f"ended after {limit:g} s"
    elif code:
        found["failed"] = f"failed ({code}): {said}"
    return found


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:200].replace("|", "/") if lines else "it said nothing"


def measure(case: Case, pythons: dict[str, str | RuntimeError], arguments: argparse.Namespace) -> dict:
    """What every program found on one problem, one after the other, with a line on the terminal for each."""
    options = {name: getattr(arguments, name) for name in ("iterations", "restarts", "steps", "seconds")}
    job, found = payload(case), {}
    for program, python in pythons.items():
        if program == "highs" and not job["programme"]:
            continue
        begun = time.perf_counter()
        if isinstance(python, RuntimeError):
            found[program] = {"failed": str(python)}
        else:
            found[program] = run_program(program, python, job, options, arguments.limit)
        print(f"  {case.name}: {program}, {time.perf_counter() - begun:.0f} s", file=sys.stderr, flush=True)
    facts = {"exact": case.exact, "truth": case.truth, "value": job["value"], "iterations": arguments.iterations}
    return {"name": case.name, "records": case.records, "facts": facts, "found": found}


def report(results: list[dict], arguments: argparse.Namespace) -> str:
    """The table, what it says in short, and how it was measured."""
    rows = []
    for result in results:
        own = result["found"].get(OWN, {})
        name = result["name"] if "N = " in result["name"] else f"{result['name']} (N = {result['records']:,})"
        rows += [make_row(name, p, found, own, result["facts"]) for p, found in result["found"].items()]
    versions = {
        program: found["versions"]
        for result in results
        for program, found in result["found"].items()
        if "versions" in found
    }
    asked = f"{arguments.restarts} restarts, the peers' of {arguments.steps} steps each, within {arguments.seconds:g} s"
    lines = [
        render(rows),
        "",
        *(f"* {said}." for said in summarise(results, ["credici", "bcause"])),
        "",
        f"Asked of each: {asked}, or fewer (~: scaled up to all); iteration: median of {arguments.iterations}, of ours "
        f"with {arguments.restarts} restarts together, divided by them, and alone; {os.cpu_count()} cores, "
        f"{platform.machine()}.",
        *(f"* {program}: " + ", ".join(f"{k} {v}" for k, v in found.items()) for program, found in versions.items()),
    ]
    return "\n".join(lines) + "\n"


def main(arguments: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        cache = (arguments.cache or Path(temporary)).resolve()
        pythons: dict[str, str | RuntimeError] = {}
        for program in arguments.programs.split(","):
            try:
                pythons[program] = make_environment(program, cache)
            except (RuntimeError, subprocess.TimeoutExpired) as wrong:
                pythons[program] = RuntimeError(str(wrong))
        results = []
        for case in all_cases(arguments.models):
            if fnmatch(case.name, arguments.only):
                results.append(measure(case, pythons, arguments))
                if arguments.out:  # each time, so that a run that is stopped has written what it had
                    arguments.out.write_text(report(results, arguments))
                    arguments.out.with_suffix(".json").write_text(json.dumps(results, indent=1))
    print(report(results, arguments))


if __name__ == "__main__":
    main(read_arguments())
