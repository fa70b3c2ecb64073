"""The tree keeps its order: which folder imports which, how long files are, how packages introduce themselves."""

import ast
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# The folders and modules of jaxmac, lowest first. A file imports from its own room and from rooms earlier in this
# list, never from one that stands later or beside it.
ROOMS = (
    {"envs"},
    {"errors"},
    {"arguments"},
    {"registry", "config"},
    {"hyper"},
    {"record"},
    {"networks"},
    {"mixers"},
    {"algorithms"},
    {"analysis"},
    {"processes"},
    {"runs"},
    {"training"},
    {"evaluation", "export"},
    {"bench"},
    {"cli"},
    {"statistics"},
    {"jaxmac", "__main__"},  # the public names, on top of all rooms
)
RANK = {room: rank for rank, rooms in enumerate(ROOMS) for room in rooms}
LONGEST_FILE = 350  # lines
LONGEST_FUNCTION = 60  # lines without signature and docstring
ENV_LIBRARIES = ("jax", "chex", "flax.struct", "numpy", "jaxtyping")
DRAWING_LIBRARIES = ("matplotlib", "PIL")  # inside functions only
ADAPTED_LIBRARIES = ("jaxmarl", "pettingzoo", "gymnasium")  # in envs/adapters only

# What breaks a rule today. What breaks it no longer is to be deleted here; the tests demand it.
KNOWN_ARROWS: set[tuple[str, str]] = set()
KNOWN_CIRCLES: set[tuple[str, ...]] = set()
KNOWN_LONG_FILES: set[str] = set()
KNOWN_LONG_FUNCTIONS: set[str] = set()
KNOWN_FLAX_MODULES: set[str] = set()
KNOWN_SHARED_NAMES: set[str] = set()


def python_files(folder: str) -> list[Path]:
    """The files of a folder of the repository; jaxmac/envs may be a link to envs/ and is left out."""
    found = sorted((ROOT / folder).rglob("*.py"))
    return [file for file in found if file.relative_to(ROOT).parts[:2] != ("jaxmac", "envs")]


@cache
def modules() -> dict[str, Path]:
    """Import name -> file of every module of jaxmac; the folder envs/ is imported as jaxmac.envs."""
    found = {}
    for folder, package in (("jaxmac", ["jaxmac"]), ("envs", ["jaxmac", "envs"])):
        for file in python_files(folder):
            parts = [*package, *file.relative_to(ROOT / folder).with_suffix("").parts]
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return found


@cache
def tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text())


def imported(node: ast.AST) -> Iterator[str]:
    """Every name that is imported under a node, in functions and under TYPE_CHECKING too, as `module.name`."""
    for found in ast.walk(node):
        if isinstance(found, ast.Import):
            yield from (alias.name for alias in found.names)
        elif isinstance(found, ast.ImportFrom):
            assert found.level == 0, f"relative import in line {found.lineno}"
            yield from (f"{found.module}.{alias.name}" for alias in found.names)


@cache
def arrows() -> dict[str, set[str]]:
    """Module -> the modules of jaxmac that it names in its imports."""

    def module_of(target: str) -> str:
        return target if target in modules() else target.rpartition(".")[0]

    return {
        name: {module_of(target) for target in imported(tree(file)) if target.split(".")[0] == "jaxmac"}
        for name, file in modules().items()
    }


def room(module: str) -> str:
    """`jaxmac.runs.result` -> `runs`; `jaxmac` for the package itself."""
    return module.split(".")[1] if "." in module else module


def belongs(name: str, libraries: tuple[str, ...]) -> bool:
    """Whether an imported name is one of the libraries or lies in it."""
    return any(name == library or name.startswith(library + ".") for library in libraries)


def circles(graph: dict[str, set[str]]) -> set[tuple[str, ...]]:
    """Groups of modules that import each other, directly or through others.

    They are the strongly connected components of the graph (Tarjan, "Depth-first search and linear graph
    algorithms", 1972).
    """
    index: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []
    found: set[tuple[str, ...]] = set()

    def visit(module: str) -> None:
        index[module] = lowest[module] = len(index)
        stack.append(module)
        for other in graph.get(module, ()):
            if other not in index:
                visit(other)
                lowest[module] = min(lowest[module], lowest[other])
            elif other in stack:
                lowest[module] = min(lowest[module], index[other])
        if lowest[module] == index[module]:
            start = stack.index(module)
            members, stack[start:] = stack[start:], []
            if len(members) > 1 or module in graph[module]:
                found.add(tuple(sorted(members)))

    for module in graph:
        if module not in index:
            visit(module)
    return found


def test_circles_are_found():
    graph = {"a": {"b"}, "b": {"c"}, "c": {"b", "d"}, "d": set(), "e": {"e"}, "f": {"a"}}
    assert circles(graph) == {("b", "c"), ("e",)}


def test_every_import_is_found():
    source = "import a.b\ndef f():\n    from c import d\nif TYPE_CHECKING:\n    from e.f import g\n"
    assert set(imported(ast.parse(source))) == {"a.b", "c.d", "e.f.g"}


def test_every_module_has_a_room():
    assert {room(module) for module in modules()} <= RANK.keys()
    assert len(modules()) > 80


def test_dependencies_point_one_way():
    broken = {
        (module, other)
        for module, others in arrows().items()
        for other in others
        if room(module) != room(other) and RANK[room(other)] >= RANK[room(module)]
    }
    assert broken == KNOWN_ARROWS


def test_no_circle_between_files():
    assert circles(arrows()) == KNOWN_CIRCLES


def test_no_file_is_too_long():
    files = [file for folder in ("jaxmac", "envs", "tests") for file in python_files(folder)]
    long = {str(file.relative_to(ROOT)) for file in files if len(file.read_text().splitlines()) > LONGEST_FILE}
    assert long == KNOWN_LONG_FILES


def test_functions_are_short():
    long = {
        f"{file.relative_to(ROOT)}: {node.name}"
        for file in modules().values()
        for node in ast.walk(tree(file))
        if isinstance(node, ast.FunctionDef) and body_lines(node) > LONGEST_FUNCTION
    }
    assert long == KNOWN_LONG_FUNCTIONS


def body_lines(function: ast.FunctionDef) -> int:
    """The lines of a function without its signature and its docstring."""
    body = function.body if ast.get_docstring(function) is None else function.body[1:]
    return function.end_lineno - body[0].lineno + 1 if body else 0


def test_only_networks_and_mixers_define_flax_modules():
    users = {
        module
        for module, file in modules().items()
        if any(belongs(name, ("flax.linen",)) for name in imported(tree(file)))
    }
    assert {module for module in users if room(module) not in ("networks", "mixers")} == KNOWN_FLAX_MODULES
    assert {room(module) for module in users} >= {"networks", "mixers"}


@pytest.mark.parametrize("module", sorted(name for name in modules() if room(name) == "envs"))
def test_environments_import_what_they_may(module):
    syntax = tree(modules()[module])
    allowed = (*ENV_LIBRARIES, "jaxmac.envs")
    if ".adapters" in module:
        allowed += ADAPTED_LIBRARIES
    names = {name for name in imported(syntax) if name.split(".")[0] not in sys.stdlib_module_names}
    others = {name for name in names if not belongs(name, allowed)}
    top = [node for node in syntax.body if not isinstance(node, ast.FunctionDef | ast.ClassDef)]
    at_import = {name for node in top for name in imported(node)}
    assert {name for name in others if name in at_import or not belongs(name, DRAWING_LIBRARIES)} == set()


def test_the_library_imports_nothing_of_its_repository_but_itself():
    for module, file in modules().items():
        names = {name.split(".")[0] for name in imported(tree(file))}
        assert not names & {"benchmarks", "experiments", "tests", "support", "conftest", "envs"}, module


def packages() -> list[Path]:
    folders = ("jaxmac", "envs", "experiments", "benchmarks")
    return sorted({file.parent for folder in folders for file in python_files(folder)})


@pytest.mark.parametrize("package", packages(), ids=lambda folder: str(folder.relative_to(ROOT)))
def test_every_package_introduces_itself(package):
    assert ast.get_docstring(tree(package / "__init__.py"))


def test_no_module_shares_its_name_with_a_function_of_its_package():
    """`jaxmac.resume` cannot be a module and a function at once."""
    shared = {
        f"{module}.{name}"
        for module, file in modules().items()
        if file.name == "__init__.py"
        for name in public_names(file)
        if f"{module}.{name}" in modules()
    }
    assert shared == KNOWN_SHARED_NAMES


def public_names(file: Path) -> Iterator[str]:
    """What the `__init__` of a package defines or imports, modules apart."""
    for node in ast.walk(tree(file)):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                if f"{node.module}.{alias.name}" not in modules():
                    yield alias.asname or alias.name
