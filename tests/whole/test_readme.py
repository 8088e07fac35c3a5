"""What the README says: its tables are those of results/, its code runs, and the demonstration reaches its floors."""

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def test_tables_are_made_from_results():
    done = subprocess.run([sys.executable, ROOT / "scripts" / "readme_tables.py", "--check"], cwd=ROOT)
    assert done.returncode == 0, "run: python scripts/readme_tables.py"


def test_every_result_names_its_command_and_that_command_exists():
    found = sorted((ROOT / "results").glob("*.json"))
    assert found
    for path in found:
        figures = json.loads(path.read_text())
        program, script = figures["command"].split()[:2]
        assert program == "python"
        assert (ROOT / script).is_file()
        assert {"machine", "date", "versions"} <= set(figures)


def test_pictures_and_commands_of_the_readme_exist():
    text = (ROOT / "README.md").read_text()
    for picture in re.findall(r"!\[.*?\]\((.*?)\)", text):
        assert (ROOT / picture).is_file()
    for target in re.findall(r"make ([\w-]+)", text):
        assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


def test_every_recipe_and_model_of_the_package_is_named_and_no_merge_is_left_half_done():
    text = (ROOT / "README.md").read_text()
    recipes = {path.stem for path in (ROOT / "convdbn" / "recipes").glob("*.yaml")}
    listed = text[text.index("- `--recipe`") : text.index("or a YAML file")]
    assert recipes == set(re.findall(r"`(\w+)`", listed))
    models = {path.stem for path in (ROOT / "convdbn" / "weights").glob("*.safetensors")}
    assert models == set(re.findall(r'create_model\("(\w+)"\)', text))
    assert not re.search(r"^(<{7}|={7}|>{7})", text, re.MULTILINE)


def test_whoever_packages_it_gets_all_that_the_tests_look_at():
    """In the source distribution is what git tracks, but for dotfiles."""
    if not (ROOT / ".git").exists():
        pytest.skip("no git checkout")
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    tops = {f"/{path.split('/')[0]}" for path in tracked.splitlines() if not path.startswith(".")}
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]
    assert {*build["sdist"]["include"], "/pyproject.toml"} == tops


@pytest.mark.slow
def test_the_python_of_the_readme_runs(tmp_path):
    code, shipped, _ = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    given = (
        "import numpy, torch\n"
        "pictures = numpy.random.default_rng(0).random((40, 64, 64))\n"
        "images = torch.rand(2, 1, 71, 71)\n"
    )
    checked = "\nassert [x.ndim for x in maps] == [4, 4]\nassert len(model.history) and model.recipe is not None\n"
    subprocess.run([sys.executable, "-c", given + code + checked], cwd=tmp_path, check=True)
    assert (tmp_path / "model.safetensors").stat().st_size > 10_000
    assert (tmp_path / "run" / "model.safetensors").is_file()
    subprocess.run([sys.executable, "-c", "import convdbn\n" + shipped], cwd=tmp_path, check=True)


@pytest.mark.slow
def test_the_demonstration_reaches_its_floors(tmp_path):
    subprocess.run(
        [sys.executable, "-m", "convdbn", "demo", "--output-dir", "demo"], cwd=tmp_path, check=True, env=os.environ
    )
    summary = json.loads((tmp_path / "demo" / "summary.json").read_text())
    accuracy = summary["digits"]
    assert accuracy["features"] >= 0.97
    assert all(accuracy["features"] > accuracy[name] for name in ("pixels", "pca", "sklearn_rbm", "random"))
    assert all((tmp_path / figure).is_file() for figure in summary["figures"])
