"""The house rules: imports point one way, engines stay at the edges, and `import duckemcc` is light."""

import ast
import subprocess
import sys
from collections.abc import Collection, Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "duckemcc"
ORDER = ("errors", "stop", "files", "model", "query", "learn", "bound", "study", "answer", "show", "serve")
ENGINES = ("duckdb", "polars", "pyarrow", "sqlglot", "pyspark")
HEAVY = ("duckdb", "polars", "pyarrow", "sqlglot", "scipy", "pandas")
PUBLIC = ("__init__", "dbt", "spark")  # names for users, and nothing else
MOST_FILES, MOST_LINES = 22, 3_500  # directly in a folder
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
        if root in ENGINES and folder not in ("study", "answer", "show", "serve"):
            wrong.append(name)
        if root == "duckemcc":
            other = rest.partition(".")[0]
            if other not in ORDER or ORDER.index(other) > ORDER.index(folder):
                wrong.append(name)
    return wrong


@pytest.mark.parametrize("module", MODULES, ids=lambda m: str(m.relative_to(PACKAGE)))
def test_imports_point_to_the_left_and_no_engine_is_imported_below_study(module):
    assert breaches(module.relative_to(PACKAGE).with_suffix("").parts, module.read_text()) == []


def executed(tree: ast.AST) -> ast.AST:
    """Without what stands under TYPE_CHECKING, which only types need."""
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = [ast.Pass()]
    return tree


def graph_of(sources: dict[str, str], packages: Collection[str]) -> dict[str, set[str]]:
    """The modules that each module imports when it runs. sources: texts by dotted name."""
    found: dict[str, set[str]] = {}
    for name, source in sources.items():
        package = tuple(name.split(".") if name in packages else name.split(".")[:-1])
        others = set()
        for other in imported(executed(ast.parse(source)), package):
            while other and other not in sources:
                other = other.rpartition(".")[0]
            if other and other != name and not name.startswith(f"{other}."):
                others.add(other)
        found[name] = others
    return found


def folders_of(graph: dict[str, set[str]], packages: Collection[str]) -> dict[str, set[str]]:
    def home(name: str) -> str:
        return name if name in packages else name.rpartition(".")[0]

    found: dict[str, set[str]] = {}
    for name, others in graph.items():
        if home(name) != "duckemcc":
            found.setdefault(home(name), set()).update({home(other) for other in others} - {home(name)})
    return found


def circle(graph: dict[str, set[str]]) -> list[str]:
    """Names that import each other around, or none."""
    left = {name: {other for other in others if other in graph} for name, others in graph.items()}
    while ends := [name for name, others in left.items() if not others & left.keys()]:
        for name in ends:
            del left[name]
    return sorted(left)


DOTTED = {
    ".".join(("duckemcc", *m.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__"): m for m in MODULES
}
PACKAGES = {name for name, path in DOTTED.items() if path.name == "__init__.py"}
WAYS_IN = ("graph", "storage", "uai", "dot")  # each makes or writes a Model, and is reached through it


@pytest.fixture(scope="module")
def graph():
    """Of the package."""
    found = graph_of({name: path.read_text() for name, path in DOTTED.items()}, PACKAGES)
    found["duckemcc.model.scm"] -= {f"duckemcc.model.{name}" for name in WAYS_IN}
    return found


def test_no_modules_import_each_other_around(graph):
    assert circle(graph) == []


def test_no_folders_import_each_other_around(graph):
    assert circle(folders_of(graph, PACKAGES)) == []


def test_a_circle_is_found():
    sources = {"p": "", "p.a": "from p import b", "p.b": "def f():\n    from p.c import x", "p.c": "from . import a"}
    assert circle(graph_of(sources, {"p"})) == ["p.a", "p.b", "p.c"]
    sources["p.c"] = "if TYPE_CHECKING:\n    from . import a"
    assert circle(graph_of(sources, {"p"})) == []
    apart = {"p": "", "p.q": "", "p.q.a": "from p.r import a", "p.r": "", "p.r.a": "", "p.r.b": "import p.q"}
    assert circle(folders_of(graph_of(apart, {"p", "p.q", "p.r"}), {"p", "p.q", "p.r"})) == ["p.q", "p.r"]


@pytest.mark.parametrize("folder", sorted({m.parent for m in MODULES}), ids=lambda f: str(f.relative_to(PACKAGE)))
def test_a_folder_can_be_surveyed(folder):
    files = [*folder.glob("*.py")]
    assert len(files) <= MOST_FILES
    assert sum(len(file.read_text().splitlines()) for file in files) <= MOST_LINES


def test_every_module_lives_in_a_folder_of_the_house():
    assert {m.relative_to(PACKAGE).with_suffix("").parts[0] for m in MODULES} <= {*ORDER, *PUBLIC}


@pytest.mark.parametrize(
    ("path", "source"),
    [
        (("model", "scm"), "from duckemcc.query.language import parse"),
        (("model", "scm"), "import duckemcc.answer.api"),
        (("model", "scm"), "from duckemcc import study"),
        (("model", "scm"), "from ..bound import bounds"),
        (("model", "__init__"), "from ..learn import counts"),
        (("errors",), "from .model import scm"),
        (("query", "event"), "def f():\n    from duckemcc import bounds"),
        (("study", "read"), "if TYPE_CHECKING:\n    from duckemcc.answer.api import bounds"),
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
        (("__init__",), "from duckemcc.serve.duckdb.register import register"),
    ],
)
def test_the_rule_allows(path, source):
    assert breaches(path, source) == []


def test_importing_the_package_loads_no_heavy_library():
    code = f"import duckemcc, sys; print(sorted(set({HEAVY!r}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=PACKAGE.parent, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"
