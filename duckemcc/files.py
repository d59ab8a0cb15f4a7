"""Files: the plugin's own SQL, beside the package in a source tree and inside it in a wheel; and writing in one go."""

from __future__ import annotations

import glob
import os
import platform
import re
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from duckemcc.stop import undoing

_PACKAGE = Path(__file__).resolve().parent


def read_sql(name: str) -> str:
    """The text of a file of `sql/`, e.g. ``macros``."""
    for folder in (_PACKAGE / "sql", _PACKAGE.parent / "sql"):
        path = folder / f"{name}.sql"
        if path.is_file():
            return path.read_text(encoding="utf-8")
    raise FileNotFoundError(f"duckemcc's own {name}.sql is missing; install the package again")


@contextmanager
def replace_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A file beside `path` to write to, which takes its place once the block is left; the old file, or none, stays
    where the block fails or is killed. A link stays one, to the new file, and the mode that the old file has is kept.

    The file is made by `tempfile`: nobody else has its name, or can have put a link there.
    """
    whole = Path(os.path.realpath(path))
    _sweep(whole)
    made, name = tempfile.mkstemp(prefix=f"{_part_of(whole)}{os.getpid()}.", dir=whole.parent)
    os.close(made)
    part = Path(name)
    try:
        with undoing(part.unlink):
            yield part
        part.chmod(_mode_of(whole, f"{name}.new"))
        with part.open("rb+") as written:
            os.fsync(written.fileno())
        part.replace(whole)
    finally:
        part.unlink(missing_ok=True)


def _mode_of(whole: Path, unused: str) -> int:
    """The mode of a file that is there, else what the process gives to new ones. That is seen on one of an unused name:
    to ask for the mask is to change it, for all threads."""
    with suppress(FileNotFoundError):
        return stat.S_IMODE(whole.stat().st_mode)
    made = os.open(unused, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
    try:
        return stat.S_IMODE(os.fstat(made).st_mode)
    finally:
        os.close(made)
        os.unlink(unused)


def _part_of(whole: Path) -> str:
    """How the names of parts begin, before the process. The machine is named, as a folder may be shared by several."""
    node = re.sub("[^A-Za-z0-9-]", "-", platform.node())
    return f".{os.fsdecode(os.fsencode(whole.name)[:100])}.{node[:60]}."


def _sweep(whole: Path) -> None:
    """Takes away the parts that killed processes of this machine left."""
    if os.name != "posix":
        return
    for part in whole.parent.glob(f"{glob.escape(_part_of(whole))}*"):
        process = part.name.removeprefix(_part_of(whole)).partition(".")[0]
        if process.isdecimal() and not _lives(int(process)):
            with suppress(OSError):
                part.unlink()


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True
