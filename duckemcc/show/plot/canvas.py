"""A drawing as a picture by matplotlib: PNG, SVG or PDF, equal drawings being equal files.

Nothing here touches pyplot or any other state that the caller's own pictures share.
"""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from duckemcc.errors import NotSupported
from duckemcc.files import replace_file
from duckemcc.show.picture import read_format
from duckemcc.show.plot.drawing import PALETTE, Drawing, Shape, Text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DOTS_PER_INCH = 200
LARGEST_SIDE = 20_000
"""Pixels of a PNG's longer side at most; a larger picture has fewer to the inch."""

_FALLBACKS = (
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",
    "Noto Sans SC",
    "Source Han Sans SC",
    "WenQuanYi Micro Hei",
    "WenQuanYi Zen Hei",
    "Microsoft YaHei",
    "PingFang SC",
    "Hiragino Sans",
    "Arial Unicode MS",
)
_STYLE = {"text.parse_math": False, "text.usetex": False, "svg.hashsalt": "duckemcc", "svg.fonttype": "path"}
_NO_DATE: dict[str, dict[str, None]] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}, "png": {"Software": None}}


@dataclass(frozen=True, eq=False)
class Picture:
    """A drawing that can be looked at. Notebooks show it; `save` writes it; `figure` is matplotlib's own."""

    drawing: Drawing

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write it as PNG, SVG or PDF, by the name, in one go.

        Raises `OptionError` for another name or a missing folder, `NotSupported` without matplotlib.
        """
        kind = read_format(path)[1:]
        data = self.render(kind)
        with replace_file(path) as part:
            part.write_bytes(data)

    def render(self, kind: str = "png") -> bytes:
        """The file's content: of a "png", "svg" or "pdf". Raises `NotSupported` without matplotlib."""
        with _drawing():
            figure = _make_figure(self.drawing)
            held = io.BytesIO()
            dpi = min(DOTS_PER_INCH, LARGEST_SIDE / max(figure.get_size_inches()))
            if kind == "svg" and _lacks_glyphs(self.drawing):
                _leave_texts()
            figure.savefig(held, format=kind, dpi=dpi, metadata=_NO_DATE[kind])
        return held.getvalue()

    @property
    def figure(self) -> Figure:
        """A matplotlib Figure of it, to go on with. Raises `NotSupported` without matplotlib."""
        with _drawing():
            return _make_figure(self.drawing)

    def _repr_png_(self) -> bytes:
        return self.render("png")


@contextmanager
def _drawing() -> Iterator[None]:
    """Our style, and the defaults whatever the caller's is. Raises `NotSupported` without matplotlib."""
    try:
        import matplotlib
    except ImportError:
        raise NotSupported("pictures need matplotlib, of the extra `plot`: pip install 'duckemcc[plot]'") from None
    with matplotlib.rc_context(), warnings.catch_warnings():
        matplotlib.rcParams.update({k: v for k, v in matplotlib.rcParamsDefault.items() if not k.startswith("backend")})
        matplotlib.rcParams.update(_STYLE | {"font.family": ["DejaVu Sans", *_installed()]})
        yield


@cache
def _installed() -> tuple[str, ...]:
    """Fonts on this machine for what DejaVu lacks."""
    from matplotlib.font_manager import fontManager

    known = set(fontManager.get_font_names())
    return tuple(name for name in _FALLBACKS if name in known)


def _lacks_glyphs(drawing: Drawing) -> bool:
    """Whether a text has a character that no font at hand can draw."""
    signs = {c for item in drawing.items if isinstance(item, Text) for c in item.text if not c.isascii()}
    return bool(signs) and not {ord(c) for c in signs} <= _glyphs()


@cache
def _glyphs() -> frozenset[int]:
    from matplotlib.font_manager import findfont, get_font

    return frozenset(code for name in ("DejaVu Sans", *_installed()) for code in get_font(findfont(name)).get_charmap())


def _leave_texts() -> None:
    """Texts stay texts in an SVG, for whoever shows it to find a font."""
    import matplotlib

    matplotlib.rcParams["svg.fonttype"] = "none"
    warnings.filterwarnings("ignore", "Glyph .* missing from font", UserWarning)


def _make_figure(drawing: Drawing) -> Figure:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(drawing.width / 72, drawing.height / 72), facecolor=PALETTE["paper"])
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set_xlim(0, drawing.width)
    axes.set_ylim(drawing.height, 0)
    for order, item in enumerate(drawing.items):
        if isinstance(item, Text):
            _write(axes, item, order)
        else:
            _draw(axes, item, order)
    return figure


def _write(axes: Any, text: Text, order: int) -> None:
    axes.text(
        text.x,
        text.y,
        text.text,
        fontsize=text.size,
        color=PALETTE[text.colour],
        ha={"start": "left", "middle": "center", "end": "right"}[text.anchor],
        va="baseline",
        weight="bold" if text.bold else "normal",
        style="italic" if text.italic else "normal",
        zorder=order,
    )


def _draw(axes: Any, shape: Shape, order: int) -> None:
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    rest = Path.CURVE4 if shape.curved else Path.LINETO
    points, codes = list(shape.points), [Path.MOVETO, *(rest for _ in shape.points[1:])]
    if shape.closed:
        points, codes = [*points, points[0]], [*codes, Path.CLOSEPOLY]
    patch = PathPatch(
        Path(points, codes),
        facecolor=PALETTE[shape.fill] if shape.fill else "none",
        edgecolor=PALETTE[shape.stroke] if shape.stroke else "none",
        linewidth=shape.width if shape.stroke else 0,
        linestyle=(0, (3, 2)) if shape.dashed else "solid",
        alpha=shape.alpha,
        zorder=order,
        clip_on=False,
        joinstyle="round",
        capstyle="butt",
    )
    axes.add_patch(patch)
