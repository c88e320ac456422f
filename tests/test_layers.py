"""The arrows of the architecture, checked from the source text: nothing is imported here."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "restore"

# Imports go only to the left, inside functions too.  A new module gets its place here, in the change that adds it.
ORDER = (
    "errors", "image", "recipe", "cpu", "ops", "device", "traits", "formats", "models", "tiling", "cover", "halo",
    "color", "curve", "resample", "bleed", "navier_stokes", "planes", "batcher", "upscale", "trust", "holes", "inpaint",
    "film", "api", "train", "batch", "reels", "report", "doctor", "cli",
)  # fmt: skip
ENTRIES = ("__init__", "__main__")  # these only point at the others

# Listing, planning, decoding and the command line's start-up: torch costs them seconds and half a gigabyte.
LIGHT = (
    "__init__.py", "__main__.py", "api.py", "errors.py", "image.py", "recipe.py", "traits/**/*.py", "bleed.py",
    "navier_stokes.py", "film/**/*.py", "doctor.py", "formats/**/*.py", "models/__init__.py", "models/catalogue.py",
    "cli/**/*.py", "batch/__init__.py", "batch/walk.py", "batch/plan.py", "batch/journal.py", "batch/fsops.py",
    "batch/publish.py", "batch/job.py",
)  # fmt: skip
HEAVY = {"torch", "torchvision", "spandrel", "basicsr", "ray", "openvino"}

MODULES = sorted(PACKAGE.rglob("*.py"))
IDS = [str(path.relative_to(PACKAGE)) for path in MODULES]


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def part_of(path: Path) -> str:
    """ "formats" for restore/formats/dds.py, "image" for restore/image.py."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(node: ast.AST, path: Path) -> Iterator[str]:
    """Full dotted names that one statement imports; `from restore import ops` gives restore.ops."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        base = node.module or ""
        if node.level:
            package = ("restore", *path.relative_to(PACKAGE).parts[:-1])
            base = ".".join([*package[: len(package) - node.level + 1], *([base] if base else [])])
        yield from (f"{base}.{alias.name}" for alias in node.names)


def at_import_time(tree: ast.Module) -> Iterator[ast.AST]:
    """Every node that runs when the module is imported: not function bodies, not `if TYPE_CHECKING`."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
                continue
            if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
                waiting.extend(child.orelse)
                continue
            waiting.append(child)


def test_every_module_has_its_place_in_the_order() -> None:
    unknown = {part_of(path) for path in MODULES} - set(ORDER) - set(ENTRIES)
    assert not unknown, f"give {sorted(unknown)} a place in ORDER, left of everything that imports it"


@pytest.mark.parametrize("path", MODULES, ids=IDS)
def test_imports_go_one_way(path: Path) -> None:
    own = part_of(path)
    if own in ENTRIES:
        return
    for node in ast.walk(tree_of(path)):
        for name in imported(node, path):
            parts = name.split(".")
            if parts[0] != "restore" or len(parts) < 2 or parts[1] not in ORDER:
                continue
            assert ORDER.index(parts[1]) <= ORDER.index(own), f"{own} must not know {name} (line {node.lineno})"


@pytest.mark.parametrize("pattern", LIGHT)
def test_light_modules_do_not_import_torch_when_they_are_imported(pattern: str) -> None:
    for path in sorted(PACKAGE.glob(pattern)):
        for node in at_import_time(tree_of(path)):
            heavy = {name.split(".")[0] for name in imported(node, path)} & HEAVY
            assert not heavy, f"{path.relative_to(ROOT)} imports {heavy} at start-up; do it inside the function"


@pytest.mark.parametrize("path", MODULES, ids=IDS)
def test_only_ops_speaks_to_the_compiled_library(path: Path) -> None:
    if part_of(path) == "ops":
        return
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Attribute):
            assert not ast.unparse(node).startswith("torch.ops.restore"), f"line {node.lineno}: use restore.ops"


@pytest.mark.parametrize("path", MODULES, ids=IDS)
def test_only_the_console_prints(path: Path) -> None:
    if path.relative_to(PACKAGE).as_posix() == "cli/console.py":
        return
    for node in ast.walk(tree_of(path)):
        is_print = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
        assert not is_print, f"line {node.lineno}: return a value, and let cli/console.py print it"


@pytest.mark.parametrize("path", MODULES, ids=IDS)
def test_every_module_says_what_it_owns_and_stays_short(path: Path) -> None:
    assert ast.get_docstring(tree_of(path)), "the module's docstring says what it owns"
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= 350, f"{lines} lines: does it hold two ideas?"
