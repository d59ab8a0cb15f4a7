"""`attach_when_imported`: a package is told of once, whenever it is imported, and notices nothing of it."""

from __future__ import annotations

import importlib
import importlib.util
import subprocess
import sys
import threading

import pytest

from duckemcc.serve.imports import attach_when_imported


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Writes a package that can be imported; it is forgotten afterwards."""
    monkeypatch.syspath_prepend(tmp_path)
    finders, names = list(sys.meta_path), []

    def write(name, text="value = 1\n"):
        (tmp_path / name).mkdir(exist_ok=True)
        (tmp_path / name / "__init__.py").write_text(text)
        importlib.invalidate_caches()
        names.append(name)
        return name

    yield write
    sys.meta_path[:] = finders
    for name in names:
        sys.modules.pop(name, None)


def waiting():
    return [
        f for f in sys.meta_path if type(f).__name__ == "_Finder" and type(f).__module__ == "duckemcc.serve.imports"
    ]


def test_a_package_is_told_of_after_it_has_run_and_once(package):
    name, told = package("emcc_later"), []
    attach_when_imported({name: lambda module: told.append(module.value)})
    assert told == []
    module = importlib.import_module(name)
    importlib.import_module(name)
    importlib.reload(module)
    assert told == [1]


def test_a_package_that_is_there_is_told_of_at_once(package):
    name, told = package("emcc_before"), []
    importlib.import_module(name)
    before = len(waiting())
    attach_when_imported({name: lambda module: told.append(module.value)})
    assert told == [1]
    assert len(waiting()) == before


def test_the_finder_is_gone_when_nothing_is_left_to_wait_for(package):
    names, told = [package("emcc_one"), package("emcc_two")], []
    before = len(waiting())
    attach_when_imported(dict.fromkeys(names, lambda module: told.append(module.__name__)))
    for left, name in zip((1, 0), reversed(names), strict=True):
        importlib.import_module(name)
        assert len(waiting()) == before + left
    assert told == ["emcc_two", "emcc_one"]


def test_the_package_keeps_its_own_loader(package):
    name = package("emcc_loader")
    plain = type(importlib.util.find_spec(name).loader)
    attach_when_imported({name: lambda module: None})
    module = importlib.import_module(name)
    assert type(module.__loader__) is plain
    assert type(module.__spec__.loader) is plain
    assert module.__spec__.loader.get_source(name) == "value = 1\n"


def test_looking_for_a_package_does_not_import_it_and_uses_nothing_up(package):
    name, told = package("emcc_looked"), []
    attach_when_imported({name: lambda module: told.append(1)})
    spec = importlib.util.find_spec(name)
    assert spec.loader.is_package(name)
    assert name not in sys.modules
    assert told == []
    importlib.import_module(name)
    assert told == [1]


def test_a_package_that_fails_is_told_of_when_it_works(package):
    name, told = package("emcc_broken", "raise ImportError('not now')"), []
    attach_when_imported({name: lambda module: told.append(1)})
    with pytest.raises(ImportError, match="not now"):
        importlib.import_module(name)
    assert told == []
    package(name, "value = 'now it works'\n")
    importlib.import_module(name)
    assert told == [1]


def test_a_package_that_is_not_installed_stays_missing(package):
    attach_when_imported({"emcc_absent": lambda module: None})
    with pytest.raises(ModuleNotFoundError, match="emcc_absent"):
        importlib.import_module("emcc_absent")


def test_threads_that_import_at_once_all_see_what_was_attached(package):
    name = package("emcc_threads", "import time; time.sleep(0.2)\n")
    attach_when_imported({name: lambda module: setattr(module, "attached", True)})
    seen = []
    threads = [
        threading.Thread(target=lambda: seen.append(getattr(importlib.import_module(name), "attached", False)))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [True] * 8


@pytest.mark.parametrize(
    "code",
    [
        "import duckemcc; assert 'polars' not in sys.modules and 'pandas' not in sys.modules; import polars, pandas",
        "import polars, pandas; import duckemcc",
        "import polars; import duckemcc; import pandas",
        "import duckemcc; from polars import DataFrame; import pandas",
        "import duckemcc, importlib; import polars, pandas; importlib.reload(duckemcc)",
    ],
)
def test_frames_know_emcc_in_whatever_order_packages_are_imported(code):
    pytest.importorskip("pandas")
    frames = "(polars.DataFrame, polars.LazyFrame, pandas.DataFrame)"
    check = f"import polars, pandas; print(*(hasattr(f, 'emcc') for f in {frames}))"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", f"import sys; {code}; {check}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split() == ["True"] * 3, done.stderr
