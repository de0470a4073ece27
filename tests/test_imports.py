"""Imports run one way, public names are few, and heavy libraries stay out until they are needed."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import evolve

ROOT = Path(evolve.__file__).resolve().parent.parent
PACKAGES = ("evolve", "populations", "fitness", "sandbox")
MAY_IMPORT = {
    "evolve": {"evolve", "populations", "fitness", "sandbox"},
    "populations": {"populations"},
    "fitness": {"fitness", "sandbox"},
    "sandbox": {"sandbox"},
}
ONE_HOME = {  # heavy or delicate libraries, and the one package part that may import them
    "ray": "evolve/cluster/connection.py",
    "docker": "sandbox/container.py",
    "litellm": "evolve/models/litellm.py",
    "aiohttp": "evolve/models/chat.py",
    "xllamacpp": "evolve/models/serving.py",
    "optuna": "evolve/operators/tune.py",
    "git": "populations/lineage.py",
}


def imports(path: Path) -> list[tuple[str, bool]]:
    """Every module that a file imports, and whether it does so at import time."""
    tree = ast.parse(path.read_text())
    top = {id(node) for node in tree.body}
    for node in tree.body:  # `if TYPE_CHECKING:` imports nothing when the program runs
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            for inner in ast.walk(node):
                inner.__dict__["skipped"] = True
    found = []
    for node in ast.walk(tree):
        if node.__dict__.get("skipped"):
            continue
        if isinstance(node, ast.Import):
            found += [(alias.name, id(node) in top) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.append((node.module, id(node) in top))
    return found


def sources(package: str) -> list[Path]:
    return [p for p in sorted((ROOT / package).rglob("*.py")) if "template" not in p.parts]


@pytest.mark.parametrize("package", PACKAGES)
def test_imports_run_one_way(package: str) -> None:
    wrong = [
        f"{path.relative_to(ROOT)} imports {module}"
        for path in sources(package)
        for module, _ in imports(path)
        if module.split(".")[0] in PACKAGES
        and module.split(".")[0] not in MAY_IMPORT[package]
        and module != "evolve.types"
    ]
    assert not wrong


def test_types_imports_nothing_of_ours() -> None:
    assert not [m for m, _ in imports(ROOT / "evolve/types.py") if m.split(".")[0] in PACKAGES]


def test_heavy_libraries_have_one_home() -> None:
    wrong = [
        f"{path.relative_to(ROOT)} imports {module}"
        for package in PACKAGES
        for path in sources(package)
        for module, _ in imports(path)
        if module.split(".")[0] in ONE_HOME and str(path.relative_to(ROOT)) != ONE_HOME[module.split(".")[0]]
    ]
    assert not wrong


def test_no_cycles() -> None:
    graph = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): {
            module for module, at_top in imports(path) if at_top and module.split(".")[0] in PACKAGES
        }
        for package in PACKAGES
        for path in sources(package)
    }
    done: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, " -> ".join((*path, module))
        if module not in done and module in graph:
            for imported in graph[module]:
                visit(imported, (*path, module))
            done.add(module)

    for module in graph:
        visit(module, ())


def test_a_worker_that_needs_a_type_loads_no_loop() -> None:
    code = "import sys, evolve; evolve.Variant; print([m for m in sys.modules if m.startswith('evolve')])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert out.stdout.strip() == "['evolve', 'evolve.types']"


def test_public_names_are_few_and_there() -> None:
    assert len(evolve.__all__) <= 10
    assert all(getattr(evolve, name).__name__ for name in evolve.__all__)
