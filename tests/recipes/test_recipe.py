"""What a recipe says of itself."""

import json

import pytest

from convdbn import recipes
from convdbn.errors import UsageError
from convdbn.recipes import LayerSettings, Recipe


def layered(*layers, **general):
    return Recipe(layers=[LayerSettings(**layer) for layer in layers], **general)


class TestResolved:
    @pytest.mark.parametrize(
        ("epochs", "batch", "pictures", "updates"),
        [(3, 20, 600, 90), (0.5, 20, 600, 15), (1, 7, 100, 14), (1, 1000, 100, 1), (2, 100, 60_000, 1200)],
    )
    def test_epochs_become_updates(self, epochs, batch, pictures, updates):
        (layer,) = layered({"epochs": epochs, "batch": batch}).resolved(pictures).layers
        assert (layer.epochs, layer.updates) == (0, updates)

    def test_mirror_images_are_pictures_too(self):
        assert layered({"epochs": 3, "batch": 10}, mirror=True).resolved(50).layers[0].updates == 30

    def test_layers_with_updates_stay(self):
        plan = layered({"epochs": 2, "batch": 10}, {"updates": 7})
        assert [layer.updates for layer in plan.resolved(40).layers] == [8, 7]
        assert plan.resolved(40).resolved(3) == plan.resolved(40)


class TestMachines:
    def test_one_for_each_layer_with_the_settings_that_have_an_effect(self):
        plan = layered({"kernel": 5, "pool": 3, "noise_free": True}, {"pool": 3, "noise_free": True, "phase": "pcd"})
        assert plan.machines == (
            LayerSettings(kernel=5, pool=3, noise_free=True),
            LayerSettings(phase="pcd"),
        )

    def test_joint_training_has_one_with_the_labels_of_the_highest_layer(self):
        plan = layered({"rate": 0.1, "mean_field": 3}, {"filters": 3, "labels": True}, joint=True)
        assert plan.machines == (LayerSettings(rate=0.1, mean_field=3, labels=True),)


def test_differences_are_a_line_for_each_layer():
    plan = layered({"filters": 3, "kernel": 5, "temperatures": 3}, {"rate": 0.1, "phase": "pcd"}, {})
    assert plan.differences() == ["filters=3, kernel=5", "phase=pcd, rate=0.1", ""]


def test_the_effective_recipe_is_its_own():
    for name in recipes.names():
        effective = recipes.load(name).effective()
        assert effective.effective() == effective
        assert effective.machines == recipes.load(name).machines


def test_old_metadata_is_read_and_written_as_today():
    old = {
        "layers": [{"filters": 3, "centring": "data", "labelled": 0}],
        "transform": [{"kind": "pad", "size": 2}],
        "colour": True,
    }
    recipe = Recipe.from_dict(json.loads(json.dumps(old)))
    assert recipe == Recipe(
        transform=[{"kind": "pad", "size": 2}], layers=[LayerSettings(filters=3, centering="data")], color=True
    )
    assert recipe.as_dict()["sizes"] == "error" and recipe.as_dict()["layers"][0]["centering"] == "data"


def test_metadata_of_a_later_version_names_what_is_not_known():
    for later in ({"layers": [{"stride": 2}]}, {"layers": [{}], "stride": 2}):
        with pytest.raises(UsageError, match="stride=2: no such setting"):
            Recipe.from_dict(later)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"sizes": "crop"}, "sizes='crop': choose from error, trim, pad"),
        ({"layers": []}, r"layers=\[\]: is no list of layers"),
        ({"transform": ["pad"]}, r"transform=\['pad'\]: is no list of steps"),
        ({"seed": -1}, "seed=-1: must be at least 0"),
    ],
    ids=str,
)
def test_the_constructor_checks_its_values(fields, message):
    with pytest.raises(UsageError, match=message):
        Recipe(**fields)
