"""The public names are there, whatever was imported before."""

import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

import convdbn
from convdbn import recipes


@pytest.mark.parametrize("name", convdbn.__all__)
def test_every_verb_is_a_function_however_often_it_is_asked_for(name):
    """Also after all modules are loaded, of which one might have the name of a verb."""
    for module in pkgutil.walk_packages(convdbn.__path__, "convdbn."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    assert inspect.isfunction(getattr(convdbn, name))


def test_every_verb_in_a_fresh_interpreter():
    code = "import convdbn\nfor n in convdbn.__all__ * 2: assert callable(getattr(convdbn, n)), n"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_what_is_no_verb():
    with pytest.raises(AttributeError, match="no attribute 'fit'"):
        convdbn.fit  # noqa: B018


def test_the_readme_speaks_of_recipes_that_are_there():
    readme = (Path(convdbn.__file__).parents[1] / "README.md").read_text()
    assert set(re.findall(r"--recipe ([a-z]+) ", readme)) <= set(recipes.names())
