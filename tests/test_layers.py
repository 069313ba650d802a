"""The rooms of the house: imports point one way, and never in a circle."""

import ast
import re
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

from saec.data import DATA
from saec.data.photos import OPENED
from saec.extraction import ExtractionSession
from saec.preparation import PreparationSession
from saec.registry import Strict
from saec.report import EvaluationSession
from saec.session import TrainingSession

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "saec"
ROOMS = """
    faults processes registry files folders disk documents config samples progress devices together sound
    lowpass data models features tables similarity objectives optimizers reduction evaluation upgrade
    session preparation runs fonts figures gallery export training extraction inspection explorer sections
    report demo command __main__
""".split()  # each may import those before it; a package is one room
COMPONENTS = ("data", "models", "objectives", "optimizers", "features", "evaluation")
HEAVY = "umap pynndescent pyarrow usearch librosa skops onnx tensorboard fsspec s3fs".split()
LONGEST = 350  # lines of a file
MOST_FILES_GOAL_100 = 151
MOST_LINES_GOAL_11_000 = 25_780
FILES = sorted(path for path in SOURCE.rglob("*.py") if path != SOURCE / "__init__.py")


def module_of(file: Path) -> str:
    parts = file.relative_to(SOURCE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(file): file for file in FILES}
TREES = {module: ast.parse(file.read_text(encoding="utf-8")) for module, file in MODULES.items()}


def imported(tree: ast.Module) -> set[str]:
    """Returns the modules of ours that a file imports, those inside functions included."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"imports are written in full: {ast.unparse(node)}"
            submodules = {f"{node.module}.{alias.name}" for alias in node.names} & MODULES.keys()
            names |= submodules or {node.module}
    return {name for name in names if name == "saec" or name.startswith("saec.")}


IMPORTS = {module: imported(tree) for module, tree in TREES.items()}


def room(module: str) -> str:
    return module.partition(".")[2].partition(".")[0]


def test_every_room_is_in_the_order_and_every_name_in_the_order_is_a_room():
    assert sorted({room(module) for module in MODULES}) == sorted(ROOMS)


def test_files_import_only_their_own_room_and_rooms_below():
    """Nor does a file import the whole package."""
    height = {name: i for i, name in enumerate(ROOMS)}
    wrong = {
        module: other
        for module, others in IMPORTS.items()
        for other in others
        if other == "saec" or height[room(other)] > height[room(module)]
    }
    assert not wrong


def test_no_files_import_each_other_in_a_circle():
    """Those of one package neither; its `__init__` counts as what it collects."""
    try:
        TopologicalSorter({module: others & MODULES.keys() for module, others in IMPORTS.items()}).prepare()
    except CycleError as error:
        raise AssertionError(f"imports in a circle: {' <- '.join(error.args[1])}") from error


def test_no_file_imports_the_package_it_lies_in():
    assert not [module for module, others in IMPORTS.items() if module.rpartition(".")[0] in others]


def test_components_know_no_session_and_no_run():
    """They can be used alone, in a notebook."""
    wrong = {module: others for module, others in IMPORTS.items() if room(module) in COMPONENTS}
    assert not [m for m, others in wrong.items() if {"session", "runs"} & {room(other) for other in others}]


def test_heavy_packages_are_imported_inside_the_functions_that_need_them():
    wrong = []
    for module, tree in TREES.items():
        for node in tree.body:
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) else []
            wrong += [f"{module}: {name}" for name in names if name.split(".")[0] in HEAVY]
    assert not wrong


def test_pictures_are_opened_in_one_place():
    """Which names the formats that it takes: Pillow would take any, and start other programs for some."""
    calls = {
        module: [ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Call)]
        for module, tree in TREES.items()
    }
    opening = [
        (m, call)
        for m, of in calls.items()
        for call in of
        if re.match(r"(Image|PIL\b.*|plt|mpimg)\.(open|imread)\(", call)
    ]
    assert {*opening} == {
        ("saec.data.photos", "Image.open(io.BytesIO(content), formats=OPENED)"),
        ("saec.data.photos", "Image.open(io.BytesIO(one), formats=OPENED)"),
        ("saec.data.png", "Image.open(io.BytesIO(content), formats=['PNG'])"),
    }
    assert not {*OPENED} - {"JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF"}


def names_a_kind(node: ast.AST, kinds: set[str]) -> bool:
    """Returns whether code compares something with a data kind's name, or chooses by such names."""
    if isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.Eq | ast.NotEq):
        return any(
            isinstance(one, ast.Constant) and one.value in kinds for one in (node.left, *node.comparators)
        )
    if isinstance(node, ast.Dict):
        return len(kinds & {key.value for key in node.keys if isinstance(key, ast.Constant)}) > 1
    return False


def test_no_file_outside_data_asks_which_kind_of_data_it_has():
    kinds = set(DATA.names())
    outside = {module: tree for module, tree in TREES.items() if room(module) != "data"}
    assert not [m for m, tree in outside.items() if any(names_a_kind(node, kinds) for node in ast.walk(tree))]


def test_files_are_short_and_few_and_the_house_does_not_grow_unnoticed():
    n_lines = {m: len(file.read_text(encoding="utf-8").splitlines()) for m, file in MODULES.items()}
    assert not {module: n for module, n in n_lines.items() if n > LONGEST}
    assert len(n_lines) <= MOST_FILES_GOAL_100
    assert sum(n_lines.values()) <= MOST_LINES_GOAL_11_000


def test_scripts_import_nothing_but_the_package():
    for script in ROOT.glob("main_*.py"):
        assert imported(ast.parse(script.read_text(encoding="utf-8"))) <= MODULES.keys()


REMEDY = re.compile(r"`([a-z_]+(?:\.[a-z_0-9]+)*)(?:: ?[^`]*|=[^`]*)?`")
NO_OPTIONS = {"path_trained_models", "record"}  # a key of the reference, a part of a file


def subclasses(of: type) -> list[type]:
    return [of, *(below for one in of.__subclasses__() for below in subclasses(one))]


def messages(tree: ast.AST) -> list[str]:
    """Returns all texts that are no docstrings."""
    docstrings = [node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)]
    texts = [node for node in ast.walk(tree) if isinstance(node, ast.Constant) and node not in docstrings]
    return [node.value for node in texts if isinstance(node.value, str)]


def test_every_option_that_a_message_names_is_one_of_the_script_that_it_is_of():
    sessions = {
        "preparation": PreparationSession,
        "training": TrainingSession,
        "extraction": ExtractionSession,
        "sections": EvaluationSession,
        "report": EvaluationSession,
    }
    kinds = subclasses(Strict)
    options = {key for kind in kinds for key in kind.model_fields}
    names = {kind.model_fields["name"].default for kind in kinds if "name" in kind.model_fields}
    values = {"pt2", "onnx", "torchscript", "scratch", "crop", "resize"} | NO_OPTIONS | names
    wrong = []
    for module, tree in TREES.items():
        keys = sessions[room(module)].model_fields if room(module) in sessions else options
        for path in (path for text in messages(tree) for path in REMEDY.findall(text)):
            first, *rest = path.split(".")
            if path not in values and not (first in ({*keys} if rest else options) and {*rest} <= options):
                wrong.append(f"{module}: {path}")
    assert not wrong
