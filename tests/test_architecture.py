"""The house rules: imports point one way, engines stay at the edges, and `import duckemcc` is light."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "duckemcc"
ORDER = ("errors", "model", "query", "learn", "bound", "study", "serve")
ENGINES = ("duckdb", "polars", "pyarrow", "sqlglot", "pyspark")
HEAVY = ("duckdb", "polars", "pyarrow", "sqlglot", "scipy", "pandas")
PUBLIC = ("__init__", "dbt", "spark")  # names for users, and nothing else
MODULES = sorted(PACKAGE.rglob("*.py"))


def imported(tree: ast.AST, package: tuple[str, ...]) -> Iterator[str]:
    """Every module that a file in `package` imports, wherever the import stands; names imported from it included."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join((*base, *([node.module] if node.module else [])))
            yield from (f"{module}.{alias.name}" for alias in node.names)


def breaches(path: tuple[str, ...], source: str) -> list[str]:
    """The imports by which the module at `path` (its parts below the package) breaks a rule."""
    if len(path) == 1 and path[0] in PUBLIC:
        return []
    folder = path[0]
    wrong = []
    for name in imported(ast.parse(source), ("duckemcc", *path[:-1])):
        root, _, rest = name.partition(".")
        if root in ENGINES and folder not in ("study", "serve"):
            wrong.append(name)
        if root == "duckemcc":
            other = rest.partition(".")[0]
            if other not in ORDER or ORDER.index(other) > ORDER.index(folder):
                wrong.append(name)
    return wrong


@pytest.mark.parametrize("module", MODULES, ids=lambda m: str(m.relative_to(PACKAGE)))
def test_imports_point_to_the_left_and_engines_stay_in_study_and_serve(module):
    assert breaches(module.relative_to(PACKAGE).with_suffix("").parts, module.read_text()) == []


def test_every_module_lives_in_a_folder_of_the_house():
    assert {m.relative_to(PACKAGE).with_suffix("").parts[0] for m in MODULES} <= {*ORDER, *PUBLIC}


@pytest.mark.parametrize(
    ("path", "source"),
    [
        (("model", "scm"), "from duckemcc.query.language import parse"),
        (("model", "scm"), "import duckemcc.serve.ask"),
        (("model", "scm"), "from duckemcc import study"),
        (("model", "scm"), "from ..bound import bounds"),
        (("model", "__init__"), "from ..learn import counts"),
        (("errors",), "from .model import scm"),
        (("query", "event"), "def f():\n    from duckemcc import bounds"),
        (("study", "read"), "if TYPE_CHECKING:\n    from duckemcc.serve.ask import bounds"),
        (("learn", "emcc"), "def f():\n    import polars as pl"),
        (("bound", "direct"), "from pyarrow.compute import sum"),
    ],
)
def test_the_rule_catches(path, source):
    assert breaches(path, source)


@pytest.mark.parametrize(
    ("path", "source"),
    [
        (("model", "graph"), "from .scm import Model\nfrom ..errors import GraphError\nfrom duckemcc import errors"),
        (("serve", "ask"), "from duckemcc.learn.emcc import em_step\nimport duckdb"),
        (("study", "read"), "import polars.selectors, sqlglot"),
        (("__init__",), "from duckemcc.serve.duck import register"),
    ],
)
def test_the_rule_allows(path, source):
    assert breaches(path, source) == []


def test_importing_the_package_loads_no_heavy_library():
    code = f"import duckemcc, sys; print(sorted(set({HEAVY!r}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=PACKAGE.parent, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"
