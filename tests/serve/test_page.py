"""The HTML report: what it says, that it is safe and the same each time, and how a real browser lays it out."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from datetime import datetime
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pytest

import duckemcc as emcc
from duckemcc.answer import closely, plan
from duckemcc.answer.api import count_studies, read_studies
from duckemcc.answer.closely import answer_closely
from duckemcc.answer.frequencies import frequencies
from duckemcc.answer.options import Clock, Options
from duckemcc.answer.schema import COLUMNS, CONFIDENCE
from duckemcc.errors import OptionError
from duckemcc.show.page import make_report, write_report
from duckemcc.show.page.answers import MOST_ROWS_SHOWN, MOST_SHOWN, REMEDIES
from duckemcc.show.page.asked import list_arcs
from duckemcc.show.page.tags import Html, join, tag
from duckemcc.show.plot.rows import WORDS

HOSTILE = "<script>alert('x')</script>\"&<img src=x onerror=alert(1)>"
TRIAL = pa.table({"X": [0, 0, 1, 1], "Y": [0, 1, 0, 1], "n": [80, 20, 30, 70]})
LOGS = pa.table({"X": [0, 0, 1, 1], "Y": [0, 1, 0, 1], "n": [10, 90, 60, 40]})
QUERIES = ["PNS(X=1, Y=1)", "ACE(X=1, Y=1)"]
_VOID = {"meta", "br", "col"}


class Reader(HTMLParser):
    """Tags with their attributes, the text between them, and whether all of them are closed in order."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.tags, self.texts, self.open = [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.texts).split())


def studies():
    return [emcc.Study(TRIAL, do="X", name="trial", weight="n"), emcc.Study(LOGS, name="logs", weight="n")]


def content(graph="X -> Y; X <-> Y", given=None, **more):
    """The arguments of a report on the two studies."""
    given = given or studies()
    model = emcc.Model.parse(graph)
    found = {
        "title": "Does X do Y?",
        "model": model,
        "studies": given,
        "bounds": emcc.bounds(model, given, QUERIES).replace_schema_metadata({"duckemcc.seconds": '{"learn": 0.125}'}),
        "compatibility": emcc.compatibility(model, given),
        "frequencies": frequencies(model, given),
        "options": Options(),
    }
    return found | more


def rows(n, status="bounded", name="region {}"):
    """A table of n segments."""
    known = status in ("bounded", "identified")
    made = dict.fromkeys(COLUMNS) | {"query": QUERIES[0], "status": status, "n": 10.0, "method": "sharp"}
    made |= {"lower": 0.2, "upper": 0.4, "lower_ci": 0.1, "upper_ci": 0.5} if known else {}
    return pa.Table.from_pylist([{"region": name.format(i)} | made for i in range(n)])


def bare(**more):
    """The least that a report takes."""
    return {"title": "T", "model": emcc.Model.parse("X -> Y"), "studies": studies(), "bounds": rows(2)} | more


# -- what it says ----------------------------------------------------------------------------------


def test_the_report_says_what_was_asked_what_came_out_and_how():
    read = Reader(make_report(**content(given=[studies()[1]], generated_at=datetime(2026, 11, 25, 20, 0))))
    for said in ("Does X do Y?", "2 answers", "Computed 2026-11-25 20:00:00", *QUERIES, "logs", "observational", "200"):
        assert said in read.text
    for said in ("bounded", "The studies agree", "dirichlet(0.03)", "learn", "0.125", emcc.__version__, "proven end"):
        assert said in read.text


def test_bounds_are_drawn_where_they_are():
    text = make_report(**bare())
    strip = text[text.index('aria-label="bounded: [0.2000, 0.4000], on a scale from 0 to 1"') :]
    bar = re.search(r'<rect x="([\d.]+)%" y="8" width="([\d.]+)%"', strip)
    left, width = float(bar[1]), float(bar[2])
    assert (left - 2) / 96 == pytest.approx(0.2, abs=1e-4)  # the strip leaves 2 % free on either side
    assert width / 96 == pytest.approx(0.2, abs=1e-4)


@pytest.mark.parametrize("status", [s for s in WORDS if s not in ("bounded", "identified")])
def test_a_row_without_numbers_says_why_and_what_to_do(status):
    read = Reader(make_report(**bare(bounds=rows(3, status))))
    assert WORDS[status] in read.text
    assert f"{REMEDIES[status]}." in read.text
    assert "region 0, region 1, region 2" in read.text
    assert "[0." not in read.text


def test_what_the_row_itself_advises_is_said_once():
    table = rows(5, "undefined")
    place = table.column_names.index("message")
    told = table.set_column(place, "message", pa.array(["condition on something else"] * 5))
    assert Reader(make_report(**bare(bounds=told))).text.count("condition on something else") == 1


def test_a_contradiction_names_the_fault_and_shows_the_worst_pattern():
    given = content("X -> Y")
    read = Reader(make_report(**given))
    fault = given["compatibility"].to_pylist()[0]["fault"]
    assert "The studies contradict the graph or each other." in read.text
    assert fault in read.text
    worst = next(r for r in given["frequencies"].to_pylist() if r["fault"])
    assert f"Observed and fitted {worst['study']} pattern" in read.text
    assert "trial[X=1] pattern" in read.text  # the other arm that departs from the fit
    label = f"observed {worst['observed']:.4f}, fitted {worst['fitted']:.4f}, on a scale from 0 to 1"
    assert label in [attrs.get("aria-label") for _, attrs in read.tags]


def test_studies_that_agree_have_no_picture_of_a_fault():
    assert "Observed and fitted" not in make_report(**content(given=[studies()[1]]))


def test_the_records_of_a_study_are_those_of_its_arms():
    text = Reader(make_report(**content())).text
    assert "trial X 200, 4 patterns" in text
    assert "logs nothing: observational 200, 4 patterns" in text


def test_without_a_report_on_compatibility_there_is_no_section_on_it():
    text = Reader(make_report(**bare())).text
    assert "Do the studies agree?" not in text
    assert "not counted" in text


def test_many_segments_get_an_overview_and_a_table_that_says_where_the_rest_is():
    read = Reader(make_report(**bare(bounds=rows(MOST_SHOWN + 7))))
    assert f"The first {MOST_SHOWN} of {MOST_SHOWN + 7} rows; all are in the job's output." in read.text
    labels = [attrs.get("aria-label", "") for tag, attrs in read.tags if tag == "svg"]
    assert any(label.startswith(f"All {MOST_SHOWN + 7} segments") for label in labels)
    assert "All 2 segments" not in make_report(**bare())


def queries(n, each):
    """n queries of so many segments each."""
    tables = []
    for k in range(n):
        made = rows(each)
        asked = pa.array([f"P(Y[X=1]=1 | X={k})"] * each)
        tables.append(made.set_column(made.column_names.index("query"), "query", asked))
    return pa.concat_tables(tables)


def test_many_queries_of_many_segments_make_a_page_that_a_browser_can_hold_and_the_rest_is_told():
    text = make_report(**bare(bounds=queries(30, 200)))
    read = Reader(text)
    tables = sum(tag == "tbody" for tag, _ in read.tags) - 1  # but that of the studies
    assert tables == MOST_ROWS_SHOWN // 200
    assert f"{30 - tables} more queries" in read.text
    assert f"Their {(30 - tables) * 200:,} rows are in the job's output and not on this page." in read.text
    assert "P(Y[X=1]=1 | X=29) : 200 answers, all bounded." in read.text
    assert len(text) < len(make_report(**bare(bounds=queries(10, 200)))) * 1.05


def test_messages_that_differ_in_every_row_do_not_fill_the_page():
    table = rows(40, "undefined")
    told = [f"only {k} of 100 restarts reached the maximum" for k in range(40)]
    read = Reader(make_report(**bare(bounds=table.set_column(table.column_names.index("message"), "message", [told]))))
    assert "only 11 of 100" in read.text
    assert "only 12 of 100" not in read.text
    assert "28 more messages are in the job's output." in read.text


def segmented(n):
    """Two studies in n segments, of which every seventh contradicts a graph without a shared cause."""
    k = [str(i) for i in range(n) for _ in range(4)]
    trial = [c for _ in range(n) for c in (80, 20, 30, 70)]
    logs = [c for i in range(n) for c in ((10, 90, 60, 40 + i) if i % 7 == 3 else (80, 20, 30, 70))]
    made = {name: TRIAL[name].to_pylist() * n for name in ("X", "Y")} | {"k": k}
    frames = [pa.table(made | {"n": trial}), pa.table(made | {"n": logs})]
    return [emcc.Study(frames[0], do="X", name="trial", weight="n"), emcc.Study(frames[1], name="logs", weight="n")]


def counted(given, model):
    return count_studies(model, read_studies(given), Options(), ("k",))


def looked_at(given, model, most, monkeypatch):
    """The bounds of a job with a report, and what it says of at most so many segments."""
    monkeypatch.setattr(closely, "MOST_PICKED", most)
    asked = [(q, emcc.query(q)) for q in QUERIES]
    return answer_closely(model, counted(given, model), asked, ("k",), Options(), Clock(None))


@pytest.mark.parametrize("batch", [1, 3, 128])
def test_what_is_said_of_some_segments_is_what_is_said_of_all(batch, monkeypatch):
    monkeypatch.setattr(plan, "BATCH", batch)
    given, model = segmented(20), emcc.Model.parse("X -> Y")
    bounds, some, seen, late = looked_at(given, model, 5, monkeypatch)
    assert bounds.equals(emcc.bounds(model, given, QUERIES, by="k"))
    assert late is None
    picked, whole = set(some["k"].to_pylist()), emcc.compatibility(model, given, by="k").to_pylist()
    assert len(picked) == 5
    assert some.to_pylist() == [r for r in whole if r["k"] in picked]
    (worst,) = set(seen["k"].to_pylist())
    assert seen.to_pylist() == [r for r in frequencies(model, given, by="k").to_pylist() if r["k"] == worst]


@pytest.mark.parametrize("batch", [1, 3, 128])
def test_the_segments_to_look_at_are_those_that_contradict_most_and_then_the_first(batch, monkeypatch):
    monkeypatch.setattr(plan, "BATCH", batch)
    given, model = segmented(20), emcc.Model.parse("X -> Y")
    bounds, *_ = looked_at(given, model, 20, monkeypatch)
    misfit = {r["k"]: r["misfit"] for r in bounds.to_pylist() if r["status"] == "incompatible"}
    bad, names = sorted(misfit, key=lambda k: (-misfit[k], k)), sorted({r["k"] for r in bounds.to_pylist()})
    for most, wanted in ((2, bad[:2]), (5, [*bad, *names[:2]]), (20, names), (60, names)):
        found = looked_at(given, model, most, monkeypatch)
        assert list(dict.fromkeys(found.compatibility["k"].to_pylist())) == sorted(wanted)
        assert set(found.frequencies["k"].to_pylist()) == {bad[0]}


def test_of_many_segments_the_report_says_how_many_contradict_and_shows_those(monkeypatch):
    given, model = segmented(20), emcc.Model.parse("X -> Y")
    found = looked_at(given, model, 5, monkeypatch)
    some = {"compatibility": found.compatibility, "frequencies": found.frequencies}
    whole = {
        "compatibility": emcc.compatibility(model, given, by="k"),
        "frequencies": frequencies(model, given, by="k"),
    }
    told = {"title": "T", "model": model, "studies": given, "bounds": found.bounds, "counts": counted(given, model)}
    texts = [Reader(make_report(**told, **tables)).text for tables in (some, whole)]
    for text in texts:
        assert "In 3 of 20 segments the studies contradict the graph or each other." in text
        assert "trial X 4,000, 4 patterns at most in a segment" in text
    assert "5 of 20 segments, those that contradict before the others." in texts[0]
    start, end = "Observed and fitted", "What was asked"
    one, other = (text[text.index(start) : text.index(end)] for text in texts)
    assert one == other


def test_records_are_told_alike_from_counts_and_from_the_report_on_compatibility():
    given, model = segmented(4), emcc.Model.parse("X -> Y")
    found = emcc.bounds(model, given, QUERIES, by="k")
    checked = emcc.compatibility(model, given, by="k")
    told = bare(model=model, studies=given, bounds=found, compatibility=checked)
    assert make_report(**told) == make_report(**told, counts=counted(given, model))


def test_segments_that_are_numbers_stand_in_the_order_of_numbers():
    read = Reader(make_report(**bare(bounds=rows(12).take([0, 1, 10, 11, *range(2, 10)]))))
    assert read.text.index("region 10") < read.text.index("region 2")  # a name is no number
    table = rows(12, name="{}").take([0, 1, 10, 11, *range(2, 10)])
    heads = re.findall(r'<th scope="row">(\d+)</th>', make_report(**bare(bounds=table)))
    assert heads == [str(k) for k in range(12)]


def test_the_level_of_limits_is_said_beside_them_and_in_the_legend():
    table = rows(2).replace_schema_metadata({CONFIDENCE: "0.95"})
    text = Reader(make_report(**bare(bounds=table))).text
    assert "95 % confidence limits" in text
    assert text.count("95 % limits [0.1000, 0.5000]") == 2


def test_the_credibility_of_random_restarts_is_shown():
    found = emcc.bounds("X -> Y; X <-> Y", studies()[1], QUERIES[0], method="emcc", restarts=20)
    text = Reader(make_report(**bare(bounds=found))).text
    assert f"credibility {found['credibility'][0].as_py():.4f}" in text


def test_the_model_as_text_is_a_model():
    graph = 'A {0, 1}; A -> B; B -> "a b"; A <-> B; U: C, D, E; C -> D -> E'
    model = emcc.Model.parse(graph)
    again = emcc.Model.parse("\n".join(list_arcs(model)))
    assert {v: set(p) for v, p in again.parents.items()} == {v: set(p) for v, p in model.parents.items()}
    assert {u.children for u in again.exogenous} == {u.children for u in model.exogenous}


# -- that it is safe -------------------------------------------------------------------------------


def test_hostile_names_are_text_and_nothing_else():
    named = f'"{HOSTILE.replace(chr(34), chr(34) * 2)}"'
    given = [emcc.Study(TRIAL, name=HOSTILE, where="Y < 2 AND 'a<b' > ''", weight="n")]
    text = make_report(
        title=HOSTILE,
        model=emcc.Model.parse(f"{named} -> Y; {named} <-> Y"),
        studies=given,
        bounds=rows(2, "incompatible", HOSTILE.replace("{", "") + " {}"),
        options={"seed": HOSTILE, HOSTILE: 1},
        generated_at=HOSTILE,
    )
    read = Reader(text)
    assert not {"script", "img", "iframe", "object", "link"} & {tag for tag, _ in read.tags}
    assert not any(name.startswith("on") for _, attrs in read.tags for name in attrs)
    assert read.text.count("<script>alert('x')</script>") >= 6
    assert HOSTILE in [attrs.get("aria-label", "")[-len(HOSTILE) :] for _, attrs in read.tags] or HOSTILE in read.text


def test_nothing_is_fetched_from_elsewhere():
    text = make_report(**content("X -> Y"))
    assert not re.search(r"https?:|//\w|url\(|@import|src=|href=", text)
    policy = next(a["content"] for t, a in Reader(text).tags if t == "meta" and "http-equiv" in a)
    assert policy.startswith("default-src 'none'")


def test_a_source_is_not_named_as_it_may_hold_a_password(tmp_path):
    import pyarrow.parquet as pq

    pq.write_table(TRIAL, tmp_path / "secret-hunter2.parquet")
    study = emcc.Study(str(tmp_path / "*hunter2.parquet"), name="trial", weight="n")
    assert "hunter2" not in make_report(**content(given=[study]))


def test_markup_escapes_all_but_markup():
    assert tag("p", "a<b", Html("<b>&amp;</b>"), None, ["&", 1], class_='x"y') == (
        '<p class="x&quot;y">a&lt;b<b>&amp;</b>&amp;1</p>'
    )
    assert join("\x00\ud800") == "��"


# -- files -----------------------------------------------------------------------------------------


def test_equal_content_is_an_equal_file_and_only_the_time_differs(tmp_path):
    given = content("X -> Y")
    write_report(tmp_path / "a.html", **given, generated_at="today")
    write_report(tmp_path / "b.html", **given, generated_at="today")
    write_report(tmp_path / "c.html", **given, generated_at="later")
    a, b, c = ((tmp_path / f"{name}.html").read_bytes() for name in "abc")
    assert a == b
    assert a.replace(b"today", b"later") == c


def test_a_report_that_fails_leaves_the_old_one(tmp_path, monkeypatch):
    path = tmp_path / "out.html"
    write_report(path, **bare())
    before = path.read_bytes()
    with pytest.raises(OptionError, match="lacks the column 'query'"):
        write_report(path, **bare(bounds=TRIAL))
    monkeypatch.setattr(os, "fsync", lambda handle: (_ for _ in ()).throw(OSError("no space left")))
    with pytest.raises(OSError, match="no space left"):
        write_report(path, **bare(title="another"))
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["out.html"]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"bounds": rows(1).slice(0, 0)}, "the table has no rows"),
        ({"compatibility": TRIAL}, "give the table of emcc.compatibility|Give the table of emcc.compatibility"),
        ({"compatibility": 3}, "found int"),
        ({"options": 3}, "options are a mapping or Options; found int"),
    ],
)
def test_what_is_no_report_is_refused(more, message):
    with pytest.raises(OptionError, match=message):
        make_report(**bare(**more))


def test_a_missing_folder_is_said_before_anything_is_made(tmp_path):
    with pytest.raises(OptionError, match=r"there is no folder .*none.*; create it"):
        write_report(tmp_path / "none" / "a.html", **bare())


def test_a_report_needs_no_matplotlib(tmp_path):
    code = (
        "import sys; sys.modules['matplotlib'] = None\n"
        "import pyarrow as pa, duckemcc as emcc\nfrom duckemcc.show.page import make_report\n"
        "t = pa.table({'query': ['P(Y=1)'], 'lower': [0.1], 'upper': [0.2], 'status': ['bounded']})\n"
        "s = emcc.Study(pa.table({'X': [1]}))\n"
        "print(len(make_report(title='t', model=emcc.Model.parse('X -> Y'), studies=[s], bounds=t)) > 5000)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "True", done.stderr


# -- for everyone ----------------------------------------------------------------------------------


def test_the_page_has_a_language_a_title_and_headings_in_order():
    read = Reader(make_report(**content("X -> Y")))
    assert next(attrs for tag, attrs in read.tags if tag == "html") == {"lang": "en"}
    levels = [int(tag[1]) for tag, _ in read.tags if re.fullmatch(r"h\d", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(b - a <= 1 for a, b in pairwise(levels))


def test_every_picture_has_words_for_those_who_do_not_see_it():
    read = Reader(make_report(**content("X -> Y")))
    outer = [attrs for tag, attrs in read.tags if tag == "svg" and "x" not in attrs]
    assert len(outer) == 2 + 2 + 6 + 1  # patterns of three arms and the graph; incompatible rows have words
    assert all(attrs.get("aria-label") or attrs.get("aria-hidden") for attrs in outer)
    assert all(attrs.get("scope") for tag, attrs in read.tags if tag == "th")


# -- in a browser ----------------------------------------------------------------------------------

_MEASURE = """<script>
addEventListener("load", () => {
  const wide = [...document.body.querySelectorAll("*")].filter(
    e => !e.closest("svg") && e.getBoundingClientRect().right > innerWidth + 1);
  const strip = document.querySelector(".strip[role=img]").getBoundingClientRect();
  const style = getComputedStyle(document.documentElement);
  parent.postMessage(JSON.stringify({
    inner: innerWidth, scroll: document.documentElement.scrollWidth, wide: wide.map(e => e.outerHTML.slice(0, 80)),
    text: document.body.innerText.length, strip: [strip.width, strip.height],
    head: getComputedStyle(document.querySelector("thead")).position, paper: style.backgroundColor,
    cut: [...document.querySelectorAll(".answers .picture")].filter(e => e.scrollWidth > e.clientWidth + 1).length,
    ran: window.hacked === true}), "*");
});
</script>"""
_FRAME = """<!DOCTYPE html><title>waiting</title><body style="margin:0">
<script>addEventListener("message", e => { document.title = e.data; });</script>
<iframe src="copy.html" style="width:%dpx;height:2000px;border:0"></iframe>"""


@pytest.fixture(scope="module")
def browser():
    """The path of a Chromium; the test is skipped where there is none."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if found := shutil.which(name):
            return found
    pytest.skip("needs chromium, chromium-browser or google-chrome")


def run(browser, folder, *arguments):
    """One headless run on a profile of its own."""
    quiet = ["--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run"]
    profile = folder / "profile"
    shutil.rmtree(profile, ignore_errors=True)
    done = subprocess.run(
        [browser, "--headless", "--no-sandbox", "--disable-gpu", *quiet, f"--user-data-dir={profile}", *arguments],
        capture_output=True,
        timeout=120,
        check=False,
    )
    return done.stdout.decode()


def measure(browser, folder, text, width, *more):
    """How a page is laid out at a width, by a copy of it that measures itself in a frame."""
    import json
    from html import unescape

    copy = re.sub(r"<meta http-equiv[^>]*>", "", text).replace("</head>", f"{_MEASURE}</head>")
    (folder / "copy.html").write_text(copy, encoding="utf-8")
    (folder / "frame.html").write_text(_FRAME % width, encoding="utf-8")
    page = (folder / "frame.html").as_uri()
    dom = run(browser, folder, "--window-size=1400,2200", "--virtual-time-budget=5000", *more, "--dump-dom", page)
    return json.loads(unescape(re.search(r"<title>(.*?)</title>", dom, re.DOTALL)[1]))


def plain():
    return make_report(**content("X -> Y; X <-> Y", given=[studies()[1]]))


def contradiction():
    return make_report(**content("X -> Y", bounds=rows(3)))


def ugly():
    """A report with all that is long or hostile."""
    long = "x" * 150
    graph = f'"{long}" -> Y; A -> B -> C -> D -> E -> F -> G -> H; "{long}" <-> Y'
    return make_report(
        **bare(
            title=long,
            model=emcc.Model.parse(graph),
            bounds=rows(90, "bounded", long + " {}"),
            compatibility=emcc.compatibility("X -> Y", studies()),
            frequencies=frequencies("X -> Y", studies()),
            options={long: long},
        )
    )


@pytest.mark.parametrize("width", [390, 1200])
@pytest.mark.parametrize("make", [plain, contradiction, ugly])
def test_nothing_is_wider_than_a_phone_or_a_desk(browser, tmp_path, make, width):
    found = measure(browser, tmp_path, make(), width)
    assert found["inner"] == width
    assert found["scroll"] <= width
    assert found["wide"] == []
    assert found["text"] > 800
    assert found["strip"][0] > 150
    assert found["cut"] == 0  # no picture of answers has to be scrolled sideways
    assert (found["head"] == "absolute") == (width == 390)  # tables are stacked on a phone


def test_the_page_is_dark_where_the_reader_wants_it_dark(browser, tmp_path):
    text = make_report(**bare())
    assert measure(browser, tmp_path, text, 800)["paper"] == "rgb(255, 255, 255)"
    assert measure(browser, tmp_path, text, 800, "--force-dark-mode")["paper"] == "rgb(21, 25, 30)"


def test_no_script_runs_in_a_browser(browser, tmp_path):
    attack = "<script>window.hacked=true</script><img src=x onerror='window.hacked=true'>"
    text = make_report(**bare(title=attack, bounds=rows(2, "bounded", attack + " {}")))
    assert measure(browser, tmp_path, text, 800)["ran"] is False
    assert measure(browser, tmp_path, text.replace("<main>", f"<main>{attack}"), 800)["ran"] is True  # it would be seen


def test_a_screenshot_is_not_blank(browser, tmp_path):
    image = pytest.importorskip("PIL.Image", reason="needs Pillow, which matplotlib brings along")
    write_report(tmp_path / "out.html", **content("X -> Y"))
    shot = tmp_path / "shot.png"
    run(browser, tmp_path, "--window-size=1100,1600", f"--screenshot={shot}", (tmp_path / "out.html").as_uri())
    with image.open(Path(shot)) as picture:
        colours = picture.convert("RGB").getcolors(1 << 24)
    assert len(colours) > 50
    assert max(count for count, _ in colours) < 0.99 * 1100 * 1600
