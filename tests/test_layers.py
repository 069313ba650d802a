"""The rooms of the house: imports point one way, and never in a circle."""

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "saec"
ROOMS = """
    faults registry files documents config samples progress logs devices sound data models features tables
    objectives optimizers reduction similarity evaluation preparation upgrade session
    job preparing checkpoints runs figures gallery export training extraction inspection
    explorer sections report demo command
""".split()  # each may import those before it; a package is one room
HEAVY = ("umap", "pynndescent", "skimage", "pyarrow", "librosa", "skops", "onnx", "tensorboard")
LONGEST = 350  # lines
FILES = sorted(path for path in SOURCE.rglob("*.py") if path != SOURCE / "__init__.py")


def module_of(file: Path) -> str:
    parts = file.relative_to(SOURCE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(file): file for file in FILES}


def imported(file: Path) -> set[str]:
    """Our modules that a file imports, functions' own imports included."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: imports are written in full"
            submodules = {f"{node.module}.{alias.name}" for alias in node.names} & MODULES.keys()
            found |= submodules or {node.module}
    return {name for name in found if name == "saec" or name.startswith("saec.")}


def room(module: str) -> str:
    return module.split(".")[1]


def test_every_room_is_in_the_order_and_every_name_in_the_order_is_a_room():
    assert sorted({room(module) for module in MODULES}) == sorted(ROOMS)


@pytest.mark.parametrize("module", MODULES)
def test_a_file_imports_only_its_own_room_and_rooms_below(module):
    allowed = ROOMS[: ROOMS.index(room(module)) + 1]
    for other in imported(MODULES[module]):
        assert other != "saec", f"{module} imports the whole house: name the room"
        assert room(other) in allowed, f"{module} imports {other}, which lies above it"


def test_no_files_import_each_other_in_a_circle():
    """Of a package's own files, too; its `__init__` counts as what it collects."""
    graph = {module: imported(file) & MODULES.keys() for module, file in MODULES.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"imports in a circle: {' <- '.join(error.args[1])}")


@pytest.mark.parametrize(
    "package", [file.parent for file in FILES if file.name == "__init__.py"], ids=lambda p: p.name
)
def test_no_file_imports_the_package_it_lies_in(package):
    for file in package.glob("*.py"):
        assert module_of(package / "__init__.py") not in imported(file), (
            f"{file.name} imports its own package"
        )


def test_what_is_chosen_by_name_knows_no_session():
    """Components can be used alone, in a notebook."""
    for module, file in MODULES.items():
        if room(module) in ("data", "models", "objectives", "optimizers", "features", "evaluation"):
            assert not {"session", "runs"} & {room(other) for other in imported(file)}, module


@pytest.mark.parametrize("module", MODULES)
def test_heavy_packages_are_imported_where_they_are_needed(module):
    for node in ast.parse(MODULES[module].read_text(encoding="utf-8")).body:
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module] if isinstance(node, ast.ImportFrom) else []
        for name in names:
            assert name.split(".")[0] not in HEAVY, f"{module} imports {name} at once"


@pytest.mark.parametrize("module", MODULES)
def test_a_file_is_a_room_and_no_hall(module):
    n_lines = len(MODULES[module].read_text(encoding="utf-8").splitlines())
    assert n_lines <= LONGEST, f"{module} has {n_lines} lines: part it"


@pytest.mark.parametrize("script", sorted(ROOT.glob("main_*.py")), ids=lambda file: file.name)
def test_scripts_import_only_the_house(script):
    assert all(module in MODULES for module in imported(script))
