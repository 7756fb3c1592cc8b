"""The package's rooms: StyleGAN2 at the root, and each wing imports the root and lower wings only (CONTRIBUTING)."""

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# Lower first. "" is the root with `checkpoints/`: StyleGAN2, which can be read alone.
ROOMS = ("", "data", "published", "collect", "editing", "metrics", "pocket", "panels", "course", "cli")


def modules() -> dict[str, Path]:
    """Files by dotted name, without the `stylegan2.` in front; the package itself is ""."""
    found = {}
    for path in sorted((ROOT / "stylegan2").rglob("*.py")):
        parts = path.relative_to(ROOT / "stylegan2").with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(path: Path, known: set[str]) -> set[str]:
    """Our modules that a file imports, anywhere in it: also in functions, and for types only."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import, line {node.lineno}"
            both = [(f"{node.module}.{alias.name}", node.module) for alias in node.names]
            names = [name if name.removeprefix("stylegan2.") in known else module for name, module in both]
        else:
            continue
        found |= {name.partition(".")[2] for name in names if name.partition(".")[0] == "stylegan2"}
    return found


@pytest.fixture(scope="module")
def graph() -> dict[str, set[str]]:
    files = modules()
    return {name: imports(path, set(files)) - {name, ""} for name, path in files.items() if name != "__main__"}


def room(module: str) -> int:
    first = module.partition(".")[0]
    return ROOMS.index(first) if first in ROOMS else 0


def test_every_folder_is_a_room():
    folders = {path.parent.name for path in (ROOT / "stylegan2").glob("*/__init__.py")}
    assert folders == {*ROOMS[1:], "checkpoints"}


def test_nothing_imports_upward(graph):
    arrows = [f"{a} -> {b}" for a, found in graph.items() for b in sorted(found) if room(b) > room(a)]
    assert not arrows, "imports of a higher room:\n" + "\n".join(arrows)


def test_no_circles(graph):
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail("a circle of imports: " + " -> ".join(error.args[1]))
