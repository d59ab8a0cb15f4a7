"""The files that pictures go to."""

from __future__ import annotations

import os
from pathlib import Path

from duckemcc.errors import NotSupported, OptionError

SUFFIXES = (".png", ".svg", ".pdf")


def read_format(path: str | os.PathLike[str]) -> str:
    """The format of a picture by its name, once it is known that one can be drawn.

    Raises `OptionError` for another suffix, `NotSupported` without matplotlib.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in SUFFIXES:
        raise OptionError(
            f"the picture is {str(path)!r}", remedy=f"its name ends in {', '.join(SUFFIXES)}", option="path"
        )
    if not Path(path).parent.is_dir():
        raise OptionError(
            f"the picture is {str(path)!r}, and there is no folder {str(Path(path).parent)!r}",
            remedy="create it",
            option="path",
        )
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise NotSupported("drawing needs matplotlib, of the extra `plot`: pip install 'duckemcc[plot]'") from None
    return suffix
