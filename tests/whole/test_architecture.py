"""The house keeps its order: imports go down only, heavy libraries come late, and nothing dangerous is called."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import convdbn
from convdbn.commands import COMMANDS

PACKAGE = Path(convdbn.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))

# What the modules of each part may import of the others.
BELOW = {
    "errors": set(),
    "ops": set(),
    "recipes": {"errors"},
    "images": {"errors"},
    "storage": {"errors"},
    "energy": {"errors", "ops"},
    "sampling": {"errors", "ops", "energy"},
    "models": {"errors", "ops", "recipes", "images", "storage", "energy", "sampling"},
}
BELOW["learning"] = {*BELOW}
BELOW["evaluation"] = {*BELOW}
BELOW["visual"] = {*BELOW}
BELOW["commands"] = {*BELOW}
BELOW["cli"] = {*BELOW}
BELOW["__main__"] = {"cli"}
BELOW["__init__"] = {"commands", "images"}


def part(path):
    """First name below the package: `energy` for energy/units.py."""
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def imported(tree, here):
    """Full names of the modules that are imported anywhere in a file, inside functions too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name
        elif isinstance(node, ast.ImportFrom):
            stem = node.module or ""
            if node.level:
                parents = [*here.relative_to(PACKAGE.parent).parts][: -node.level]
                stem = ".".join([*parents, *filter(None, [node.module])])
            for alias in node.names:
                yield f"{stem}.{alias.name}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_down_only(path):
    assert part(path) in BELOW, f"{path}: say in BELOW what it may import"
    names = [name.split(".") for name in imported(ast.parse(path.read_text()), path)]
    own = {name[1] for name in names if name[0] == "convdbn" and len(name) > 1} - {"__version__", part(path)}
    assert own <= BELOW[part(path)]


UPWARDS = "models/pictures.py"
"""The one exception: a model's own pictures call up to `visual`, once they are asked for."""


def test_nothing_below_is_imported_by_its_name_but_for_a_models_pictures():
    lower = [path for path in FILES if part(path) in ("energy", "sampling", "models")]
    named = {str(path.relative_to(PACKAGE)): path.read_text() for path in lower}
    calling = {name for name, text in named.items() if "import_module(" in text and "DeprecationWarning" not in text}
    assert calling == {UPWARDS}
    assert named[UPWARDS].count("import_module(") == 1 and "convdbn.visual." in named[UPWARDS]


def test_the_order_has_no_circle_below_the_verbs():
    order = list(BELOW)[: list(BELOW).index("commands")]
    for name in order:
        assert BELOW[name] <= {*order[: order.index(name)]}


def test_the_reading_of_imports_sees_every_kind(tmp_path):
    here = PACKAGE / "energy" / "new.py"
    source = (
        "import convdbn.cli\nfrom convdbn import recipes\nfrom ..visual import figures\nfrom . import units\n"
        "def f():\n    from convdbn.models.stack import load\n"
    )
    assert sorted(imported(ast.parse(source), here)) == [
        "convdbn.cli",
        "convdbn.energy.units",
        "convdbn.models.stack.load",
        "convdbn.recipes",
        "convdbn.visual.figures",
    ]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_pickle_and_no_slow_or_global_draws(path):
    tree = ast.parse(path.read_text())
    names = list(imported(tree, path))
    assert not [name for name in names if name.split(".")[0] in ("pickle", "dill", "joblib", "shelve", "cloudpickle")]
    calls = {ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    assert not calls & {"torch.load", "torch.save", "torch.bernoulli", "torch.manual_seed", "np.random.seed"}
    assert not [call for call in calls if call.endswith((".bernoulli", ".bernoulli_"))]


def test_no_load_that_may_unpickle():
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.keyword) and node.arg == "allow_pickle":
                assert ast.unparse(node.value) == "False", path


def loaded_by(statement, candidates):
    """Which of the candidates a fresh interpreter has loaded after the statement."""
    code = f"{statement}\nimport sys\nprint(*sorted({candidates!r} & set(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(run.stdout.split())


def test_the_core_needs_only_torch_and_numpy():
    modules = [
        ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")
        for path in FILES
        if part(path) in ("energy", "sampling", "learning", "models")
    ]
    assert len(modules) > 10
    heavy = {"matplotlib", "sklearn", "scipy", "torchvision", "PIL", "jsonargparse", "pandas"}
    assert loaded_by(f"import {', '.join(modules)}", heavy | {"torch"}) == {"torch"}


def test_the_command_line_answers_without_torch():
    heavy = {"torch", "numpy", "matplotlib", "sklearn", "torchvision", "PIL", "safetensors", "tqdm"}
    assert loaded_by("import convdbn, convdbn.cli", heavy) == set()


@pytest.mark.skipif(not (PACKAGE.parent / "CONTRIBUTING.md").exists(), reason="an installed package has no map")
@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_the_map_names_every_module(path):
    """Commands and units are one a file, and are named by their folder."""
    place = path.relative_to(PACKAGE).with_suffix("")
    if path.stem.startswith("__") or str(place.parent) == "energy/units" or path.stem in COMMANDS:
        return
    house = (PACKAGE.parent / "CONTRIBUTING.md").read_text().split("## Files to change")[0]
    row = next((line for line in house.splitlines() if f"`{place.parts[0]}/`" in line), house)
    assert f"`{path.stem}`" in row or f"`{path.stem}." in row or f"`{place}`" in house
