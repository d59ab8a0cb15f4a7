"""Pictures: numbers stand where the axis says, words where there is no number, nothing overlaps, and equal input is an
equal file."""

from __future__ import annotations

import itertools
import subprocess
import sys
import warnings
from collections import Counter
from collections.abc import Iterable

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import duckemcc as emcc
from duckemcc.answer.frequencies import frequencies as count_frequencies
from duckemcc.answer.schema import COLUMNS, CONFIDENCE
from duckemcc.errors import NotSupported, OptionError, QueryError, TooLarge, UnknownName
from duckemcc.show import plot
from duckemcc.show.plot.drawing import Shape, Text, clean, measure, shorten, wrap
from duckemcc.show.plot.layout import lay_out
from duckemcc.show.plot.rows import WORDS, find_range, read_rows, show_interval
from duckemcc.show.plot.spread import evaluate

pytest.importorskip("matplotlib", reason="pictures need matplotlib")

ACE = "ACE(Treatment=drug, Survival=survived)"
PNS = "PNS(Treatment=drug, Survival=survived)"
UGLY = [
    "Saint-Rémy-en-Bouzemont-Saint-Genest-et-Isson / département de la Marne",
    "<script>alert(1)</script> & $x^2$",
    "a" * 200,
    "tab\tand\nnewline",
    "\\textbf{x} _ ^ %",
]


def row(query=PNS, lower=0.2, upper=0.6, status="bounded", region=None, **more):
    made = dict.fromkeys(COLUMNS) | {"query": query, "lower": lower, "upper": upper, "status": status}
    made |= {"outer_lower": lower, "outer_upper": upper, "exact_lower": True, "exact_upper": True} | more
    return made if region is None else {"region": region} | made


def table(*rows):
    return pa.Table.from_pylist(list(rows))


def regions(n, names=None, query=ACE):
    """n segments, every sixth without numbers, some of them negative."""
    statuses = itertools.cycle([s for s in WORDS if s not in ("bounded", "identified")])
    made = []
    for i in range(n):
        name = f"region {i}" if names is None else f"{names[i % len(names)]} {i}"
        if i % 6 == 5:
            made.append(row(query, None, None, next(statuses), name))
        else:
            low = ((i * 0.37) % 1.6) - 0.9 if query == ACE else (i * 0.37) % 0.8
            limits = {"lower_ci": low - 0.05, "upper_ci": low + 0.18}
            made.append(row(query, low, low + 0.1, "bounded", name, outer_upper=low + 0.15, **limits))
    return table(*made)


def texts(picture):
    return [item for item in picture.drawing.items if isinstance(item, Text)]


def words(picture):
    return [item.text for item in texts(picture)]


def value_at(picture, x):
    """The number at a place, by the first and the last tick of the (only) axis."""
    middle = [t for t in texts(picture) if t.anchor == "middle" and t.size == 8 and len(t.text) < 8]
    ticks = [(float(t.text.replace("−", "-")), t.x) for t in middle]
    (v0, x0), (v1, x1) = min(ticks), max(ticks)
    return v0 + (v1 - v0) * (x - x0) / (x1 - x0)


def boxes(picture, fill, alpha=1.0):
    """What filled rectangles span, as numbers on the axis, those of the legend left out."""
    spans = []
    for item in picture.drawing.items:
        if isinstance(item, Shape) and item.fill == fill and item.alpha == alpha and len(item.points) == 4:
            xs = [x for x, _ in item.points]
            spans.append((value_at(picture, min(xs)), value_at(picture, max(xs))))
    return spans


def outline(text):
    """The box that a text takes up, by its estimated width."""
    width = measure(text.text, text.size, text.bold)
    left = text.x - {"start": 0.0, "middle": width / 2, "end": width}[text.anchor]
    return left, text.y - 0.76 * text.size, left + width, text.y + 0.22 * text.size


def check_layout(picture):
    """Every text is on the page, and no two texts overlap."""
    drawing = picture.drawing
    found = [(t, outline(t)) for t in texts(picture) if t.text]
    for text, (left, top, right, bottom) in found:
        assert left >= -0.5, text
        assert top >= -0.5, text
        assert right <= drawing.width + 0.5, text
        assert bottom <= drawing.height + 0.5, text
    for (a, one), (b, other) in itertools.combinations(found, 2):
        apart = one[2] <= other[0] + 0.3 or other[2] <= one[0] + 0.3 or one[3] <= other[1] or other[3] <= one[1]
        assert apart, (a, b)


# -- intervals -------------------------------------------------------------------------------------


def test_a_bar_spans_its_bounds_and_a_lighter_one_its_outer_bounds():
    picture = plot.bounds(table(row(lower=0.2, upper=0.6, outer_lower=0.1, outer_upper=0.75, exact_lower=False)))
    assert boxes(picture, "blue")[0] == pytest.approx((0.2, 0.6), abs=1e-6)
    assert boxes(picture, "blue", 0.3)[0] == pytest.approx((0.1, 0.75), abs=1e-6)
    assert "[0.2000, 0.6000]" in words(picture)


@pytest.mark.parametrize(("query", "low", "high"), [(PNS, 0, 1), (ACE, -1, 1)])
def test_an_axis_has_the_range_that_the_query_can_have(query, low, high):
    ticks = [t.text for t in texts(plot.bounds(table(row(query, 0.3, 0.31)))) if t.anchor == "middle"]
    assert ticks[0] == str(low).replace("-", "−")
    assert ticks[-1] == str(high)


@pytest.mark.parametrize(
    ("query", "low", "high"),
    [
        ("P(Y=1)", 0, 1),
        ("P(Y[X=1]=1) - P(Y[X=0]=1)", -1, 1),
        ("1 - P(Y=1)", 0, 1),
        ("2*ACE(X=1, Y=1)", -2, 2),
        ("ETT(X=1, Y=1) + P(Y=1)", -1, 2),
        ("no query at all", 0, 1),
    ],
)
def test_the_range_of_a_query_follows_from_its_terms(query, low, high):
    assert find_range(query) == (low, high)


@pytest.mark.parametrize("status", [s for s in WORDS if s not in ("bounded", "identified")])
def test_a_row_without_numbers_says_why_and_shows_none(status):
    said = words(plot.bounds(table(row(lower=None, upper=None, status=status))))
    assert WORDS[status] in said
    assert not any(text.startswith("[") for text in said)


def test_half_a_bound_is_no_number():
    said = words(plot.bounds(table(row(lower=0.2, upper=None))))
    assert "no bounds were given" in said
    assert not any("0.2000" in text for text in said)


def test_a_number_that_is_nan_is_no_number():
    assert "no bounds were given" in words(plot.bounds(table(row(lower=float("nan"), upper=0.5))))


def test_bounds_of_incompatible_data_are_marked_and_explained():
    picture = plot.bounds(table(row(status="incompatible")))
    assert "[0.2000, 0.6000] !" in words(picture)
    assert "! best fit of incompatible data" in words(picture)
    assert boxes(picture, "blue") == []


def test_the_legend_explains_what_is_shown_and_nothing_else():
    identified = words(plot.bounds(table(row(lower=0.4, upper=0.4, status="identified"))))
    assert "identified" in identified
    assert "bounds" not in identified
    bounded = words(plot.bounds(table(row(lower_ci=0.1, upper_ci=0.7))))
    assert {"bounds", "proven end", "confidence limits"} <= set(bounded)


def test_only_proven_ends_are_marked():
    def marks(**more):
        drawing = plot.bounds(table(row(**more))).drawing
        return sum(isinstance(i, Shape) and i.stroke == "ink" and i.width == 1.4 for i in drawing.items)

    assert marks(exact_lower=False, exact_upper=False) == 0
    assert marks(exact_lower=True, exact_upper=False) == 2  # the mark and its explanation
    assert marks() == 3


@pytest.mark.parametrize(
    ("ends", "shown"),
    [
        ((0.0, 0.4295), "[0, 0.4295]"),
        ((-0.5, 1.0), "[−0.5000, 1]"),
        ((0.3, 0.3), "0.3000"),
        ((0.30001, 0.30002), "[0.30001, 0.30002]"),
        ((-1e-7, 0.5), "[0.0000, 0.5000]"),
    ],
)
def test_an_interval_is_printed_with_the_digits_that_tell_its_ends_apart(ends, shown):
    assert show_interval(*ends) == shown


@pytest.mark.parametrize("n", [1, 2, 40, 300])
@pytest.mark.parametrize("names", [None, UGLY], ids=["short names", "ugly names"])
def test_segments_stay_legible_however_many_and_whatever_they_are_called(n, names):
    check_layout(plot.bounds(regions(n, names), title="A title " * 30))


def test_only_incompatible_segments_make_a_picture_too():
    many = table(*(row(ACE, None, None, "incompatible", f"r{i}") for i in range(200)))
    picture = plot.bounds(many)
    check_layout(picture)
    assert any("200 incompatible" in text for text in words(picture))


def test_long_queries_are_wrapped_and_share_a_picture():
    long = f'PNS("{"a long name of a variable, " * 4}"=1, Y=1 | Z=0)'
    picture = plot.bounds(table(row(PNS), row(long), row(ACE, -0.5, -0.2)))
    check_layout(picture)
    assert len({t.text for t in texts(picture) if t.text == "−1"}) == 1


def test_hundreds_of_segments_are_sorted_and_none_is_left_out():
    picture = plot.bounds(regions(300))
    bars = boxes(picture, "blue")[:250]
    middles = [low + high for low, high in bars]
    assert middles == sorted(middles)
    assert any("300 segments by region" in text for text in words(picture))
    told = [text for text in words(picture) if text[:2].strip().isdigit() and ":" in text]
    assert sum(int(text.split()[0]) for text in told if "region" in text) == 50


def test_of_thousands_of_segments_one_in_so_many_is_drawn_and_the_picture_says_so():
    picture = plot.bounds(regions(4000))  # 3 334 of them with numbers
    check = [text for text in words(picture) if "4,000 segments" in text]
    assert check == ["4,000 segments by region, sorted; 666 of them without bounds are below; one in 3 is drawn"]
    assert len(boxes(picture, "blue")) == 1112 + 1  # and the legend's
    assert picture.drawing.height < 1500


def test_sort_orders_segments_and_leaves_those_without_numbers_for_the_end():
    picture = plot.bounds(regions(12), sort="lower")
    labels = [text for text in words(picture) if text.startswith("region ")]
    known = [label for label in labels if int(label.split()[1]) % 6 != 5]
    assert labels[: len(known)] == known
    lows = [low for low, _ in boxes(picture, "blue")[: len(known)]]
    assert lows == sorted(lows)


def segments_shown(rows_of):
    made = pa.Table.from_pylist([row(region=value) for value in rows_of])
    known = {str(value) for value in rows_of}
    return [t.text for t in texts(plot.bounds(made)) if t.anchor == "start" and t.text in known]


def test_text_that_is_all_numbers_is_in_the_order_of_numbers():
    assert segments_shown(["0", "1", "10", "11", "2"]) == ["0", "1", "2", "10", "11"]
    assert segments_shown(["-1", "-2", "0.5", "10", "9"]) == ["-2", "-1", "0.5", "9", "10"]
    assert segments_shown([1, 2, 10]) == ["1", "2", "10"]


@pytest.mark.parametrize("given", [["0", "1", "10", "2", "x"], ["2", "10", "1"], ["9", "10", "2"]])
def test_text_that_is_not_all_numbers_and_an_order_of_ones_own_stay(given):
    assert segments_shown(given) == given


def test_numbers_as_text_are_ordered_within_the_other_columns_and_queries_stay_together():
    by = [{"site": site, "k": k} for site in ("a", "b") for k in (None, "1", "10", "9")]
    found = read_rows(pa.Table.from_pylist([one | row(query) for one in by for query in (PNS, ACE)]))
    assert [r.segment[1] for r in found.rows[::2]] == ["(NULL)", "1", "9", "10"] * 2
    assert [r.query for r in found.rows] == [PNS, ACE] * 8


@pytest.mark.parametrize("n", [4, 12, 30, 300])
def test_a_tall_picture_has_its_axis_on_both_sides(n):
    picture = plot.bounds(regions(n, query=PNS))
    ends = [t.y for t in texts(picture) if t.text == "0.2" and t.anchor == "middle"]
    assert len(ends) == (1 if n < 14 else 2)
    bars = [y for i in picture.drawing.items if isinstance(i, Shape) and i.fill == "blue" for _, y in i.points]
    assert n < 14 or min(ends) < min(bars) < max(ends)


def test_a_long_name_of_a_result_is_shown_whole_where_there_is_room():
    names = ["registry of all hospitals, 2019", "trial", "both"]
    picture = plot.compare({name: table(row(), row(ACE, -0.1, 0.2)) for name in names})
    check_layout(picture)
    assert set(names) <= set(words(picture))


@pytest.mark.parametrize("names", [("O", "I"), ("O", "I", "O+I"), ("a longer name", "and another, longer one")])
@pytest.mark.parametrize("times", [1, 2, 3, 5, 12])
def test_results_of_long_queries_side_by_side_do_not_overlap(names, times):
    asked = f"P({', '.join(f'Variable{k}=value{k}' for k in range(times))})"
    made = table(row(asked), row(asked.replace("value", "v")), row(PNS, None, None, "undefined"))
    check_layout(plot.compare(dict.fromkeys(names, made)))


def test_a_strip_says_what_a_blank_in_it_is():
    said = words(plot.compare({"O": regions(90), "I": regions(30)}))
    assert any(text.endswith("blank where that result alone has none") for text in said)
    assert not any("blank" in text for text in words(plot.compare({"O": regions(90), "I": regions(90)})))


def limits(level, region="n"):
    found = table(row(region=region, lower_ci=0.1, upper_ci=0.7))
    return found.replace_schema_metadata({CONFIDENCE: level}) if level else found


@pytest.mark.parametrize(
    ("levels", "said"),
    [
        (["0.95"], "95 % confidence limits"),
        (["0.999"], "99.9 % confidence limits"),
        (["0.95", "0.9"], "90 and 95 % confidence limits"),
        ([None], "confidence limits"),
        (["of another's"], "confidence limits"),
    ],
)
def test_the_legend_says_of_what_level_the_limits_are(levels, said):
    assert said in words(plot.compare({str(k): limits(level) for k, level in enumerate(levels)}))


def test_bounds_with_limits_say_of_what_level_they_are():
    study = emcc.Study(RECORDS, weight="n")
    found = emcc.bounds("X -> Y; X <-> Y", study, "PNS(X=1, Y=1)", confidence=0.9)
    assert "90 % confidence limits" in words(plot.bounds(found))
    assert CONFIDENCE.encode() not in emcc.bounds("X -> Y; X <-> Y", study, "PNS(X=1, Y=1)").schema.metadata


def test_results_side_by_side_are_matched_by_segment_and_query():
    o = table(row(PNS, 0.0, 0.4, region="n"), row(PNS, 0.1, 0.5, region="s"))
    both = table(row(PNS, 0.3, 0.35, region="s"))
    picture = plot.compare({"O": o, "O+I": both})
    check_layout(picture)
    assert words(picture).count("O+I") == 2
    assert "not asked" in words(picture)  # the north, of O+I
    assert boxes(picture, "orange")[0] == pytest.approx((0.3, 0.35), abs=1e-6)


@pytest.mark.parametrize("n", [20, 300])
def test_results_side_by_side_stay_legible(n):
    picture = plot.compare({"O": regions(n), "I": regions(n, UGLY), "a very long name of a result": regions(n)})
    check_layout(picture)


def test_a_polars_frame_is_a_table_too():
    frame = pl.DataFrame(regions(4))
    assert words(plot.bounds(frame)) == words(plot.bounds(regions(4)))


def test_the_paper_s_table_1_comes_out_in_the_picture():
    import duckdb

    con = duckdb.connect()
    con.execute(emcc.read_sql("drug_trial"))
    model = "Treatment -> Survival; Treatment <-> Survival"
    o = emcc.Study(con.table("registry"), weight="n")
    i = emcc.Study(con.table("trial"), do="Treatment", weight="n")
    results = {name: emcc.bounds(model, studies, PNS) for name, studies in {"O": [o], "I": [i], "O+I": [o, i]}.items()}
    said = words(plot.compare(results))
    for interval in ("[0, 0.4295]", "[0.2795, 0.4895]", "[0.3395, 0.4295]"):
        assert interval in said


# -- what is refused -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: plot.bounds(pa.table({"query": ["P(Y=1)"]})), "lacks the column 'lower', 'upper', 'status'"),
        (lambda: plot.bounds([1, 2]), "found list"),
        (lambda: plot.bounds(table(row()).slice(0, 0)), "the table has no rows"),
        (lambda: plot.bounds(pa.concat_tables([regions(3)] * 66_667)), "a picture shows 200,000 at most"),
        (lambda: plot.bounds(table(row()), sort="name"), "sort is 'name'; it may be 'lower', 'upper', 'width'"),
        (lambda: plot.compare({}), "compare takes 1 to 6 results by name"),
        (lambda: plot.compare({str(k): table(row()) for k in range(7)}), "found 7"),
        (lambda: plot.compare(table(row())), "found Table"),
        (lambda: plot.compare({"O": table(row()), "I": regions(2)}), r"different columns: \[\], \['region'\]"),
        (lambda: plot.frequencies(table(row())), "lacks the column 'study'"),
    ],
)  # fmt: skip
def test_what_cannot_be_drawn_is_refused_with_what_to_do(call, message):
    with pytest.raises(OptionError, match=message):
        call()


def test_a_picture_is_png_svg_or_pdf_by_its_name(tmp_path):
    picture = plot.bounds(table(row()))
    for name, magic in {"a.png": b"\x89PNG", "a.svg": b"<?xml", "a.PDF": b"%PDF"}.items():
        picture.save(tmp_path / name)
        assert (tmp_path / name).read_bytes().startswith(magic)
    with pytest.raises(OptionError, match=r"its name ends in \.png, \.svg, \.pdf"):
        picture.save(tmp_path / "a.jpg")
    with pytest.raises(OptionError, match="there is no folder"):
        picture.save(tmp_path / "none" / "a.png")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.PDF", "a.png", "a.svg"]


def test_without_matplotlib_saving_names_the_extra(tmp_path, monkeypatch):
    picture = plot.bounds(table(row()))
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(NotSupported, match=r"pip install 'duckemcc\[plot\]'"):
        picture.save(tmp_path / "a.png")
    with pytest.raises(NotSupported, match=r"pip install 'duckemcc\[plot\]'"):
        picture.render()
    assert list(tmp_path.iterdir()) == []


# -- files -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["png", "svg", "pdf"])
def test_equal_tables_are_equal_files_whatever_the_caller_has_set(kind):
    import matplotlib

    first = plot.bounds(regions(8, UGLY)).render(kind)
    with matplotlib.rc_context({"font.size": 30, "text.usetex": True, "axes.facecolor": "red", "savefig.dpi": 30}):
        assert plot.bounds(regions(8, UGLY)).render(kind) == first
        assert matplotlib.rcParams["font.size"] == 30


def test_what_no_font_here_can_draw_is_left_to_the_reader_of_an_svg(monkeypatch):
    from duckemcc.show.plot import canvas

    monkeypatch.setattr(canvas, "_glyphs", lambda: frozenset(map(ord, "é−…·")))
    name = "北京市海淀区"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        drawn = plot.bounds(table(row(region=name))).render("svg").decode()
        assert name in drawn
        assert plot.bounds(table(row(region="Besançon"))).render("svg").decode().count("<text") > 0
        assert "<text" not in plot.bounds(table(row(region="Orléans"))).render("svg").decode()


def test_pictures_leave_pyplot_alone():
    code = (
        "import sys, pyarrow as pa; from duckemcc.show import plot; "
        "t = pa.table({'query': ['P(Y=1)'], 'lower': [0.1], 'upper': [0.2], 'status': ['bounded']}); "
        "print('matplotlib' in sys.modules); plot.bounds(t).render('svg'); print('matplotlib.pyplot' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["False", "False"], done.stderr


def test_a_notebook_shows_the_picture_and_matplotlib_can_go_on_with_it():
    picture = plot.bounds(table(row()))
    assert picture._repr_png_() == picture.render("png")
    width, height = picture.figure.get_size_inches()
    assert (width * 72, height * 72) == pytest.approx((picture.drawing.width, picture.drawing.height))


# -- texts -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["PNS(Treatment=drug, Survival=survived)", "WWWWW", "illicit", "Größe", "0.4295"])
@pytest.mark.parametrize("bold", [False, True])
def test_texts_are_measured_as_wide_as_they_are(text, bold):
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    face = FontProperties(family="DejaVu Sans", size=10, weight="bold" if bold else "normal")
    width, _, _ = text_to_path.get_text_width_height_descent(text, face, ismath=False)
    assert width * 0.97 <= measure(text, 10, bold) <= width * 1.18


@given(st.text(min_size=1, max_size=120), st.integers(30, 200), st.integers(1, 4))
def test_wrapped_lines_fit_and_lose_nothing_but_what_the_last_one_must(text, width, most):
    lines = wrap(text, 9, width, most)
    assert 1 <= len(lines) <= most
    assert all(measure(line, 9) <= width or len(line) <= 2 for line in lines)
    if "…" not in "".join(lines):
        assert "".join("".join(lines).split()) == "".join(text.split())


@given(st.text(max_size=60), st.integers(20, 300))
def test_a_shortened_name_keeps_both_ends(text, width):
    short = shorten(text, 9, width)
    if short != text:
        assert short[0] == text[0]
        head, _, tail = short.partition("…")
        assert text.startswith(head)
        assert text.endswith(tail)


def test_texts_have_one_line_and_no_control_characters():
    assert clean("a\nb\x00c\x9b\ud800") == "a b�c��"


# -- restarts --------------------------------------------------------------------------------------

RECORDS = pa.table({"X": [0, 0, 1, 1], "Y": [0, 1, 0, 1], "n": [40, 60, 30, 70]})


def fit(graph="X -> Y; X <-> Y", restarts=7):
    return emcc.fit(graph, emcc.Study(RECORDS, weight="n"), method="emcc", restarts=restarts)


def test_the_values_of_restarts_are_those_of_their_models_and_span_the_bounds():
    learned = fit()
    values, undefined = evaluate(learned, emcc.query("PNS(X=1, Y=1)"))
    assert undefined == 0
    assert values == pytest.approx(sorted(m.evaluate("PNS(X=1, Y=1)") for m in learned.models), abs=1e-9)
    found = emcc.bounds("X -> Y; X <-> Y", emcc.Study(RECORDS, weight="n"), "PNS(X=1, Y=1)", method="emcc", restarts=7)
    assert (values[0], values[-1]) == pytest.approx((found["lower"][0].as_py(), found["upper"][0].as_py()), abs=1e-9)


def test_every_restart_has_a_dot_on_its_value():
    learned = fit()
    picture = plot.restarts(learned, "PNS(X=1, Y=1)", within=(0.0, 0.7))
    dots = [i for i in picture.drawing.items if isinstance(i, Shape) and i.curved]
    values, _ = evaluate(learned, emcc.query("PNS(X=1, Y=1)"))
    centres = [value_at(picture, sum(x for x, _ in d.points[:-1:3]) / 4) for d in dots]
    assert centres == pytest.approx(values, abs=1e-6)
    check_layout(picture)
    assert any("7 restarts, 7 of 7 at the maximum" in text for text in words(picture))


@pytest.mark.parametrize("n", [1, 30, 60])
def test_no_dot_hides_another(n):
    picture = plot.restarts(fit(restarts=n), "PNS(X=1, Y=1)")
    dots = [i for i in picture.drawing.items if isinstance(i, Shape) and i.curved]
    assert len(dots) == n
    centres = [(d.points[0][0] - r, d.points[0][1], r) for d in dots for r in [(d.points[0][0] - d.points[6][0]) / 2]]
    for (x, y, r), (u, v, _) in itertools.combinations(centres, 2):
        assert (x - u) ** 2 + (y - v) ** 2 >= (2 * r) ** 2 - 1e-6


def test_restarts_too_many_for_dots_are_counted_in_columns():
    learned = fit(restarts=400)
    picture = plot.restarts(learned, "PNS(X=1, Y=1)")
    check_layout(picture)
    assert not any(isinstance(i, Shape) and i.curved for i in picture.drawing.items)
    columns = [i for i in picture.drawing.items if isinstance(i, Shape) and i.fill == "blue"]
    heights = [max(y for _, y in c.points) - min(y for _, y in c.points) for c in columns]
    values, _ = evaluate(learned, emcc.query("PNS(X=1, Y=1)"))
    counts = Counter(round(100 * round(v, 6)) for v in values)
    assert len(columns) == len(counts)
    tallest = heights.index(max(heights))
    assert f"{max(counts.values())}" in words(picture)
    middle = sum(x for x, _ in columns[tallest].points) / 4
    assert round(100 * value_at(picture, middle)) == counts.most_common(1)[0][0]


def test_an_identified_query_is_one_value():
    picture = plot.restarts(fit("X -> Y"), "ACE(X=1, Y=1)")
    assert any("values 0.1000" in text for text in words(picture))


def test_a_query_that_no_restart_defines_is_an_error():
    with pytest.raises(QueryError, match="its condition has probability zero in every restart"):
        plot.restarts(fit("X {0, 1, 2}; X -> Y"), "P(Y=1 | X=2)")


# -- frequencies -----------------------------------------------------------------------------------

OTHER = pa.table({"X": [0, 0, 1, 1], "Y": [0, 1, 0, 1], "n": [400, 100, 300, 200]})


def test_a_study_that_agrees_with_the_fit_is_not_shown_beside_those_that_do_not():
    found = contradiction()
    study = found["study"].to_pylist()
    fitted = [
        o if s == "logs" else f
        for s, o, f in zip(study, *(found[c].to_pylist() for c in ("observed", "fitted")), strict=True)
    ]
    picture = plot.frequencies(found.set_column(found.column_names.index("fitted"), "fitted", pa.array(fitted)))
    assert "trial[X=1]" in words(picture)
    assert "logs" not in words(picture)
    assert "1 more arm is closer to its fit" in words(picture)


def contradiction():
    trial = emcc.Study(RECORDS, do="X", name="trial", weight="n")
    return count_frequencies("X -> Y", [trial, emcc.Study(OTHER, name="logs", weight="n")])


def test_the_study_at_fault_is_shown_and_its_worst_pattern_named():
    found = contradiction()
    fault = next(r for r in found.to_pylist() if r["fault"])
    picture = plot.frequencies(found)
    check_layout(picture)
    said = " ".join(words(picture))
    arms = [text for text in words(picture) if text in {"trial[X=0]", "trial[X=1]", "logs"}]
    assert arms[0] == fault["study"]
    assert sorted(arms) == ["logs", "trial[X=0]", "trial[X=1]"]  # each departs from the fit
    assert f"worst: {fault['pattern']}" in said
    orange = [i for i in picture.drawing.items if isinstance(i, Shape) and i.fill == "orange"]
    middle = sum(x for x, _ in orange[0].points[:-1:3]) / 4
    assert value_at(picture, middle) == pytest.approx(fault["observed"], abs=1e-6)


def test_another_study_can_be_named_and_an_unknown_one_is_refused():
    picture = plot.frequencies(contradiction(), study="logs")
    assert "logs, observed and fitted" in words(picture)
    with pytest.raises(
        OptionError, match=r"study is 'log', of which .* it may be 'trial\[X=0\]', 'trial\[X=1\]', 'logs'"
    ):
        plot.frequencies(contradiction(), study="log")


def test_no_pattern_stands_out_where_all_fit():
    found = count_frequencies("X -> Y; X <-> Y", emcc.Study(RECORDS, weight="n"))
    picture = plot.frequencies(found)
    assert "every pattern is observed as often as it is fitted" in words(picture)
    assert not any(isinstance(i, Shape) and i.fill == "orange" for i in picture.drawing.items)


@pytest.mark.parametrize("size", [3, 9])
def test_every_arm_is_shown_or_counted_where_all_fit(size):
    arms = [f"trial[X={k}]" for k in range(size)]
    rows = [
        {"study": arm, "pattern": f"P(Y={y})", "observed": 0.5, "fitted": 0.5, "difference": 0.0, "n": 9.0}
        | {"worst": y == 0, "fault": False}
        for arm in arms
        for y in (0, 1)
    ]
    picture = plot.frequencies(pa.Table.from_pylist(rows))
    check_layout(picture)
    shown = [text for text in words(picture) if text in arms]
    said = [int(text.split()[0]) for text in words(picture) if "more arm" in text]
    assert len(shown) + sum(said) == size
    assert len(shown) == min(size, 6)
    assert "more arm" not in " ".join(words(plot.frequencies(pa.Table.from_pylist(rows), study=arms[0])))


def test_many_patterns_with_long_names_fit():
    numbers = {"observed": 0.5, "fitted": 0.4, "difference": 0.1, "n": 9.0}
    rows = [
        {"study": UGLY[0] * 2, "pattern": f"P({UGLY[k % 5]}={k} | {UGLY[(k + 1) % 5]}=1)"}
        | numbers
        | {"worst": k == 0, "fault": k == 0}
        for k in range(60)
    ]
    picture = plot.frequencies(pa.Table.from_pylist(rows))
    check_layout(picture)
    assert any("36 more patterns are closer to their fit" in text for text in words(picture))


# -- graphs ----------------------------------------------------------------------------------------

LONG = '"a very long name of a variable that nobody reads in one go, 100 % sure"'
GRAPHS = [
    "X {0, 1}",
    "X -> Y",
    "Gender -> Treatment -> Survival; Gender -> Survival; Treatment <-> Survival",
    "X -> M -> Y; X <-> Y",
    f"{LONG} -> Y; Y -> Z; U: A, B, C; A -> B; A -> C; B -> Z; C -> Z; A -> Z; unmeasured M; M {{0, 1}}; M -> C",
    "; ".join(f"V{i} -> V{j}" for i in range(40) for j in range(i + 1, 40) if (i * 7 + j * 5) % 11 == 0 and j < i + 9),
]


def overlap(a, b):
    return abs(a.x - b.x) < (a.width + b.width) / 2 and abs(a.y - b.y) < (a.height + b.height) / 2


def check_nodes(nodes: Iterable):
    for a, b in itertools.combinations(nodes, 2):
        assert not overlap(a, b), (a.name, b.name)


@pytest.mark.parametrize("graph", GRAPHS)
def test_boxes_hold_their_names_and_do_not_overlap(graph):
    picture = plot.graph(graph, title="A graph " * 20)
    check_layout(picture)
    layout = lay_out(emcc.Model.parse(graph))
    check_nodes(layout.nodes.values())
    for node in layout.nodes.values():
        assert all(measure(line, 9.5) <= node.width for line in node.lines)


@pytest.mark.parametrize("graph", GRAPHS)
def test_arcs_lead_from_left_to_right(graph):
    model = emcc.Model.parse(graph)
    layout = lay_out(model)
    shown = {(a.tail, a.head) for a in layout.arcs if not layout.nodes[a.tail].cause}
    assert shown == {(p, v) for v, parents in model.parents.items() for p in parents}
    assert all(b[0] > a[0] for arc in layout.arcs for a, b in itertools.pairwise(arc.points))


@given(st.integers(2, 12), st.integers(0, 2**32))
def test_any_graph_has_a_layout_without_overlaps(n, seed):
    import random

    draw = random.Random(seed)
    names = [f"V{'x' * draw.randrange(30)}{i}" for i in range(n)]
    arcs = [f"{a} -> {b}" for a, b in itertools.combinations(names, 2) if draw.random() < 0.3]
    pairs = [f"{names[i]} <-> {names[i + 1]}" for i in range(0, n - 1, 2) if draw.random() < 0.4]
    text = "; ".join([f"{name} {{0, 1}}" for name in names] + arcs + pairs)
    layout = lay_out(emcc.Model.parse(text))
    check_nodes(layout.nodes.values())
    assert set(layout.nodes) == set(names)
    assert layout == lay_out(emcc.Model.parse(text))


def heads(picture):
    return sum(isinstance(i, Shape) and i.closed and len(i.points) == 3 for i in picture.drawing.items)


def test_an_intervention_takes_the_arcs_into_its_variable_away_and_frames_it_twice():
    graph = "Z -> X -> Y; X <-> Y"
    assert heads(plot.graph(graph)) == 4
    assert heads(plot.graph(graph, do="X")) == 1
    assert "double frame: set by design" in words(plot.graph(graph, do="X"))
    with pytest.raises(UnknownName, match="the intervention sets"):
        plot.graph(graph, do="W")


def test_a_graph_of_hundreds_of_variables_is_refused():
    with pytest.raises(TooLarge, match=r"the graph has 201 variables; a picture shows 200 at most\. Model\.to_dot"):
        plot.graph("; ".join(f"V{i} {{0, 1}}" for i in range(201)))


def test_shared_causes_are_dashed_and_unmeasured_variables_too():
    def dashed(graph):
        return sum(isinstance(i, Shape) and i.dashed for i in plot.graph(graph).drawing.items)

    assert dashed("X -> Y") == 0
    assert dashed("X -> Y; X <-> Y") == 1
    assert dashed("U: X, Y, Z; X -> Y -> Z") == 4  # the cause and its three arcs
    assert dashed("unmeasured X; X {0, 1}; X -> Y") == 1


def test_the_front_door_s_arc_passes_beside_the_mediator():
    picture = plot.graph("X -> M -> Y; X <-> Y")
    (arc,) = (i for i in picture.drawing.items if isinstance(i, Shape) and i.dashed)
    (label,) = (t for t in texts(picture) if t.text == "M")
    assert all(abs(y - label.y) > 15 for x, y in arc.points if abs(x - label.x) < 12)


def test_every_kind_of_picture_can_be_written(tmp_path):
    pictures = {
        "bounds": plot.bounds(regions(300, UGLY)),
        "compare": plot.compare({"O": regions(3), "I": regions(3)}),
        "restarts": plot.restarts(fit(), "PNS(X=1, Y=1)"),
        "frequencies": plot.frequencies(contradiction()),
        "graph": plot.graph(GRAPHS[4]),
    }
    for name, picture in pictures.items():
        picture.save(tmp_path / f"{name}.png")
        assert (tmp_path / f"{name}.png").stat().st_size > 5000
