"""Modules of version 0.1.0 that scripts import stay importable for one version, with a warning."""

import importlib
import sys

import pytest

MOVED = {
    "convdbn.visual.project": "convdbn.visual.projections",
    "convdbn.models.greedy": "convdbn.learning.greedy",
    "convdbn.learning.checkpoint": "convdbn.storage.checkpoint",
}


@pytest.mark.parametrize("name", MOVED)
def test_a_module_that_moved_is_found_under_its_former_name(name):
    sys.modules.pop(name, None)
    with pytest.warns(DeprecationWarning, match=f"{name} is {MOVED[name]} now"):
        found = importlib.import_module(name)
    assert found is importlib.import_module(MOVED[name])
