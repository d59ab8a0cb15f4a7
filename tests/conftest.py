"""Shared by all tests: the --slow switch, what hypothesis draws, and where the reference problems lie if they do."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"
for folder in ("", "learn", "query", "bound"):  # tests of other folders use their problems
    sys.path.insert(0, str(Path(__file__).parent / folder))

from sizes import DEFAULT, THOROUGH  # noqa: E402

# the same examples in every run; others with --hypothesis-profile=fresh, four times as many with thorough
settings.register_profile("fresh", deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=DEFAULT)
settings.register_profile("duckemcc", settings.get_profile("fresh"), derandomize=True)
settings.register_profile("thorough", settings.get_profile("duckemcc"), max_examples=THOROUGH)
settings.load_profile("duckemcc")

from postgres import postgres, postgres_server  # noqa: E402, F401


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="run the tests that take minutes as well")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--slow"):
        for item in items:
            if "slow" in item.keywords:
                item.add_marker(pytest.mark.skip(reason="takes minutes; run with --slow"))


@pytest.fixture(scope="session", autouse=True)
def one_engine():
    """Studies that bring no connection are read by cursors of one DuckDB: a new one takes longer than a few records."""
    import duckdb

    from duckemcc.study.count import duckdb as counting

    con = duckdb.connect(config={"enable_external_file_cache": "false"})  # a file is often written anew
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(counting, "_connect", con.cursor)
        yield


@pytest.fixture
def gold() -> Path:
    """The folder of problems with exact answers; the test is skipped where it is absent."""
    folder = SHARED / "gold"
    if not folder.is_dir():
        pytest.skip("needs ../shared/gold")
    return folder
