"""A small run, a classifier made of it, and the figures that are saved."""

import pytest
from tiny import save_pictures, write_recipe

import convdbn
from convdbn.visual import figures


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Two convolutional layers on the 8 x 8 digits, three updates each."""
    folder = tmp_path_factory.mktemp("run")
    options = {"filters": [4, 5], "kernel": [3, 2], "pool": [2, 1], "updates": 3, "batch": 4, "held_out": 0}
    recipe = folder / "tiny.yaml"
    recipe.write_text(str(options))
    convdbn.train(recipe=recipe, data="digits", output_dir=folder, device="cpu", log_every=1)
    return folder


@pytest.fixture(scope="module")
def tuned(run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tuned")
    found = convdbn.finetune(
        model=run, data="digits", output_dir=folder, labels=100, epochs=1, distort=0, device="cpu"
    )
    return folder, found["error"]


@pytest.fixture
def drawn(monkeypatch):
    """The figures that are saved."""
    found, save = [], figures.save
    monkeypatch.setattr(figures, "save", lambda figure, path: [found.append(figure), save(figure, path)][1])
    return found


@pytest.fixture
def pictures(tmp_path):
    return save_pictures(tmp_path / "pictures")


@pytest.fixture
def recipe(tmp_path):
    return write_recipe(tmp_path / "tiny.yaml")


@pytest.fixture
def finished(tmp_path, pictures, recipe):
    """A finished run folder, of two classes of pictures."""
    folder = tmp_path / "run"
    convdbn.train(recipe=recipe, data=pictures, output_dir=folder)
    return folder
