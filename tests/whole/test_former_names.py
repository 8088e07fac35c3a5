"""Modules of version 0.1.0 that scripts import stay importable for one version, with a warning."""

import importlib
import inspect

import pytest

MOVED = {
    "convdbn.visual.project": "convdbn.visual.projections",
    "convdbn.models.greedy": "convdbn.learning.greedy",
    "convdbn.learning.checkpoint": "convdbn.storage.checkpoint",
}


@pytest.mark.parametrize("name", MOVED)
def test_a_module_that_moved_gives_its_names_under_the_former_one(name):
    former, present = importlib.import_module(name), importlib.import_module(MOVED[name])
    functions = [x for x, value in vars(present).items() if inspect.isfunction(value) and not x.startswith("_")]
    assert functions
    for function in functions:
        with pytest.warns(DeprecationWarning, match=f"{name} is {MOVED[name]} now"):
            assert getattr(former, function) is getattr(present, function)
    with pytest.raises(AttributeError, match="nothing"):
        former.nothing  # noqa: B018
