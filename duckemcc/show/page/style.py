"""How the report looks: light and dark, wide and narrow, on paper; no font, script or picture comes from elsewhere."""

from __future__ import annotations

from duckemcc.show.plot.drawing import PALETTE

DARK = {
    "ink": "#e6e9ed",
    "muted": "#a3adb8",
    "axis": "#6b7682",
    "grid": "#333b44",
    "band": "#222930",
    "paper": "#15191e",
    "blue": "#4aa8e0",
    "orange": "#f08a3c",
    "green": "#3cc79e",
    "pink": "#e09ac0",
    "yellow": "#f0bb3f",
    "sky": "#7cc4ee",
    "fill": "#22384c",
}

_RULES = """
*{box-sizing:border-box}
html{background:var(--paper);color:var(--ink);font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans",
"Helvetica Neue",Arial,sans-serif;-webkit-text-size-adjust:100%}
body{margin:0 auto;padding:1.5rem 1.25rem 4rem;max-width:62rem;overflow-wrap:anywhere}
h1{font-size:1.7rem;line-height:1.2;margin:.4rem 0 .3rem}
h2{font-size:1.25rem;margin:2.4rem 0 .6rem;padding-top:1rem;border-top:1px solid var(--grid)}
h3{font-size:1rem;margin:1.6rem 0 .5rem}
h4{font-size:.94rem;margin:1.1rem 0 .2rem}
p{margin:.5rem 0;max-width:46rem}
a{color:var(--blue)}
code,pre{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,"Liberation Mono",monospace;font-size:.92em;
unicode-bidi:isolate}
h3 code{font-size:1em}
pre{background:var(--band);padding:.75rem 1rem;border-radius:.5rem;overflow-x:auto;white-space:pre-wrap}
.lead{font-size:1.08rem}
.quiet,figcaption,.note{color:var(--muted);font-size:.9rem}
figure{margin:.75rem 0}
.picture{overflow-x:auto;max-width:100%}
.picture svg{display:block;height:auto;max-width:100%}
table{border-collapse:collapse;width:100%;margin:.5rem 0;font-size:.94rem}
caption{text-align:left;color:var(--muted);font-size:.9rem;padding-bottom:.3rem}
th,td{text-align:left;vertical-align:top;padding:.4rem .75rem .4rem 0;border-bottom:1px solid var(--grid);
unicode-bidi:isolate}
thead th{color:var(--muted);font-weight:600;font-size:.85rem;vertical-align:bottom;overflow-wrap:normal}
tbody th{font-weight:500}
.number{font-variant-numeric:tabular-nums}
.scale{display:flex;justify-content:space-between;padding:0 2%}
.strip{display:block;width:100%;height:26px;overflow:visible}
.strip .tick{display:none;font-size:10px}
.whole{white-space:nowrap}
.chip{display:inline-block;border-radius:1rem;padding:0 .6rem;font-size:.85rem;border:1px solid var(--axis);
white-space:nowrap}
.chip.identified,.chip.agrees{border-color:var(--green)}
.chip.bounded{border-color:var(--blue)}
.chip.incompatible,.chip.contradicts,.chip.invalid{border-color:var(--orange);font-weight:600}
.todo{border-left:3px solid var(--orange);padding:.1rem 0 .1rem .9rem;margin:.8rem 0}
.todo ul{margin:.3rem 0;padding-left:1.1rem}
.legend{display:flex;flex-wrap:wrap;gap:.3rem 1.4rem;padding:0;margin:.6rem 0;list-style:none;color:var(--muted);
font-size:.88rem}
.legend li{display:flex;align-items:center;gap:.5rem}
.legend .strip{width:44px;height:18px}
details{margin:.6rem 0}
summary{cursor:pointer;color:var(--muted);font-size:.92rem}
dl{display:grid;grid-template-columns:fit-content(45%) minmax(0,1fr);gap:.25rem 1.25rem;margin:.5rem 0;font-size:.94rem}
dt{color:var(--muted)}
dd{margin:0}
dl.short{grid-template-columns:minmax(0,max-content) minmax(0,max-content)}
.columns{display:flex;flex-wrap:wrap;gap:0 3rem}
.columns>*{min-width:0;max-width:100%}
.bold{font-weight:bold}
.italic{font-style:italic}
:focus-visible{outline:2px solid var(--blue);outline-offset:2px}
@media (min-width:40.01rem){
.answers table{table-layout:fixed}
.answers th:nth-child(1){width:23%}
.answers th:nth-child(3){width:26%}
.answers th:nth-child(4){width:14%}
.bar{width:37%;min-width:11rem}
.patterns{table-layout:fixed}
.patterns th:nth-child(1){width:30%}
}
@media (max-width:40rem){
body{padding:1rem 1rem 3rem}
h1{font-size:1.4rem}
.stack,.stack tbody,.stack tr,.stack th,.stack td{display:block;width:auto}
.stack thead{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
.stack caption{display:block}
.stack tr{border-bottom:1px solid var(--grid);padding:.6rem 0}
.stack th,.stack td{border:0;padding:.12rem 0}
.stack tbody th{font-weight:600}
.stack td[data-label]::before{content:attr(data-label) ": ";color:var(--muted)}
.stack td.number{display:inline-block;margin-right:1.2rem}
.answers .stack td.number{display:block}
.dash{display:none}
.strip{height:40px}
.strip .tick{display:block}
.legend .strip{height:18px}
dl:not(.short){grid-template-columns:minmax(0,1fr)}
dl:not(.short) dd{margin-bottom:.4rem}
}
@media print{
html{font-size:10pt}
body{padding:0;max-width:none}
h1,h2,h3,h4,thead{break-after:avoid}
tr,.todo,li,dl>*{break-inside:avoid}
details::details-content{display:block;content-visibility:visible;height:auto}
summary{list-style:none}
.picture{overflow:visible}
.picture svg{min-width:0!important;max-height:24cm}
}
"""


def write_style() -> str:
    """The style sheet."""
    roles = "".join(f".f-{name}{{fill:var(--{name})}}.s-{name}{{stroke:var(--{name})}}" for name in PALETTE)
    nothing = ".f-none{fill:none}.s-none{stroke:none}"
    dark = f"@media (prefers-color-scheme:dark){{:root{{{_variables(DARK)}}}}}"
    return f":root{{color-scheme:light dark;{_variables(PALETTE)}}}{dark}{roles}{nothing}{_RULES}"


def _variables(palette: dict[str, str]) -> str:
    return "".join(f"--{name}:{colour};" for name, colour in palette.items())
