"""Rules that need no picture: all layers are looked at when a recipe is loaded."""

import logging

import pytest

from convdbn import recipes
from convdbn.errors import UsageError
from convdbn.recipes import LayerSettings, Recipe, check, describe

CONV = {"filters": 4, "kernel": 3}
ON_GAUSSIAN = {"visible": "gaussian"}
LABELED = {"labels": True, "discriminative": 1.0}


def layered(*layers, **general):
    return Recipe(layers=[LayerSettings(**layer) for layer in layers], **general)


BROKEN = {
    "kernel above a connected layer": (layered({}, CONV), r"kernel=\[0, 3\]: layer 1 is fully connected"),
    "probabilities above counts": (
        layered({"hidden": "noisy_relu"}, {}),
        "visible='bernoulli': layer 2 is above noisy_relu units.*take gaussian",
    ),
    "probabilities above a code": (layered({"hidden": "gaussian"}, {}), "layer 2 is above gaussian units"),
    "crop of a connected layer": (layered(CONV, {"crop": 5}), "crop=5: layer 2 is fully connected"),
    "crop of joint layers": (layered(CONV | {"crop": 8}, CONV, joint=True), "crop=8: joint training takes whole"),
    "crop that the blocks do not divide": (
        layered(CONV | {"crop": 9}),
        "crop=9: does not fit kernel=3 and pool=2 of layer 1; take 8 or 10",
    ),
    "crop smaller than the filters": (layered(CONV, CONV | {"crop": 2}), "crop=2: .* of layer 2; take 4$"),
    "crop far smaller than the filters": (layered({"kernel": 9, "crop": 2, "pool": 1}), "crop=2: .*; take 9$"),
    "border of the whole crop": (
        layered(CONV | {"crop": 8, "border": 4}),
        "border=4: covers the crops of 8 of layer 1; take less than half",
    ),
    "sizes of cropped pictures": (layered(CONV | {"crop": 8}, sizes="pad"), "sizes='pad': has no effect with crop"),
    "sizes of connected layers": (layered({}, sizes="trim"), "sizes='trim': has no effect on fully connected layers"),
    "variance without noise": (
        layered(ON_GAUSSIAN | {"variance": "unit", "noise_free": True}),
        "variance='unit': cannot be learned in layer 1 from the noise_free",
    ),
    "joint denoising": (
        layered({"objective": "denoising"}, {}, joint=True),
        "objective='denoising': cannot be learned with joint=True",
    ),
    "doubled denoising": (
        layered({"objective": "denoising"}, {}, doubled=True),
        "objective='denoising': cannot be learned with doubled=True",
    ),
    "denoising with labels": (
        layered({}, {"objective": "denoising", "labels": True}),
        "objective='denoising': cannot be learned with labels=True",
    ),
    "nothing to learn": (layered({"generative": 0}), "generative=0: leaves layer 1 nothing to learn"),
    "nothing to learn below the labels": (
        layered({"generative": 0}, LABELED | {"generative": 0}),
        "generative=0: leaves layer 1 nothing to learn",
    ),
    "centering on a model that is not drawn": (
        layered(LABELED | {"generative": 0, "centering": "both"}),
        "centering='both': needs states of the model.*take data",
    ),
    "labels below the top": (layered({"labels": True}, {}), "labels=True: only for the highest layer"),
    "labels of a convolutional layer": (layered(CONV | {"labels": True}), "labels=True: only for the highest layer"),
    "patches of labels": (
        layered({"labels": True, "init": "kmeans"}),
        "init='kmeans': cannot take patches of labels",
    ),
    "joint patches of labels": (
        layered({"init": "spherical"}, {"labels": True}, joint=True),
        "init='spherical': cannot take patches of labels",
    ),
    "joint layers with few labels": (
        layered({}, {"labels": True, "labeled": 5}, joint=True),
        "joint=True: learns all labels, and only by the likelihood",
    ),
    "nothing below to transpose": (layered({"init": "transposed"}), "init='transposed': needs a trained layer below"),
    "joint layers have none below": (
        layered({"init": "transposed"}, {}, joint=True, initial="rbm500_mnist"),
        "init='transposed': needs a trained layer below",
    ),
    "filters transposed": (
        layered(CONV, {"init": "transposed"}),
        "init='transposed': layer 2 and the one below",
    ),
    "too few units for the transposed weights": (
        layered({"filters": 9}, {}, {"filters": 8, "init": "transposed"}),
        "init='transposed': layer 3 has 8 filters, the layer below 9 inputs; take at least 9",
    ),
    "other units than those transposed": (
        layered(ON_GAUSSIAN, {"init": "transposed"}),
        "init='transposed': layer 2 has bernoulli hidden units, the layer below gaussian inputs",
    ),
    "joint layers of two kinds": (layered(CONV, {}, joint=True), "joint=True: layers are convolutional and fully"),
    "doubled layers of two kinds": (layered(CONV, {}, doubled=True), "doubled=True: layers are convolutional and"),
    "one doubled layer": (layered({}, doubled=True), "doubled=True: needs two layers or more"),
    "doubled and joint": (layered({}, {}, doubled=True, joint=True), "doubled=True: .*without joint and initial"),
    "doubled on a trained model": (
        layered({}, {}, doubled=True, initial="rbm500_mnist"),
        "doubled=True: .*without joint and initial",
    ),
    "doubled labels": (layered({}, {"labels": True}, doubled=True), "doubled=True: learns no labels"),
    "doubled real values": (layered({}, ON_GAUSSIAN, doubled=True), "doubled=True: .* must have Bernoulli inputs"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_recipe_that_breaks_a_rule(name):
    recipe, message = BROKEN[name]
    with pytest.raises(UsageError, match=message):
        check(recipe)
    with pytest.raises(UsageError, match=message):
        recipes.load(recipe)


@pytest.mark.parametrize(
    "recipe",
    [
        layered({"hidden": "noisy_relu"}, ON_GAUSSIAN | {"hidden": "gaussian"}),
        layered(CONV | {"crop": 8, "border": 3}, {}),
        layered({"filters": 9}, {}, {"filters": 9, "init": "transposed"}),
        layered({"init": "transposed"}, {"init": "transposed"}, initial="rbm500_mnist"),
        layered({}, LABELED | {"generative": 0, "centering": "data"}),
        layered(CONV, CONV, doubled=True),
        layered(CONV, {"pool": 1}),
    ],
)
def test_what_no_rule_forbids(recipe):
    check(recipe)
    assert recipes.load(recipe) == recipe


def test_all_problems_of_all_layers_are_said_at_once():
    with pytest.raises(UsageError) as caught:
        check(layered(CONV | {"crop": 9, "temperatures": 3}, CONV | {"crop": 7, "k": 2, "generative": 0}))
    lines = str(caught.value).splitlines()
    assert [line.split(":")[0] for line in lines] == [
        "crop=9", "crop=7", "generative=0", "k=[1, 2]", "temperatures=[3, 10]",
    ]  # fmt: skip


@pytest.mark.parametrize("name", recipes.names())
def test_every_packaged_recipe_keeps_the_rules(name):
    check(recipes.load(name))


# For each setting that may lack effect: a value, and what leaves it without.
IDLE = {
    "pool": (3, {"kernel": 0}),
    "variance": ("unit", {"visible": "bernoulli"}),
    "hidden": ("gaussian", {"kernel": 3}),
    "sigma": (0.5, {"visible": "bernoulli"}),
    "sigma_end": (0.5, {"variance": "unit", "visible": "gaussian"}),
    "updates": (7, {"epochs": 2}),
    "corruption": (0.5, {"objective": "likelihood"}),
    "generative": (0.5, {"objective": "denoising"}),
    "discriminative": (0.5, {"labels": False}),
    "phase": ("pcd", {"generative": 0, "discriminative": 1, "labels": True}),
    "fast_rate": (0.5, {"phase": "pcd"}),
    "k": (3, {"objective": "denoising"}),
    "k_end": (3, {"generative": 0, "discriminative": 1, "labels": True}),
    "temperatures": (3, {"phase": "fast-pcd"}),
    "centering": ("data", {"objective": "denoising"}),
    "noise_free": (True, {"phase": "pcd"}),
    "border": (2, {"phase": "pcd", "kernel": 3}),
    "mean_field": (3, {}),
    "labeled": (3, {"labels": False}),
    "target": (0.2, {"sparsity": "none"}),
    "strength": (2.0, {"sparsity": "none"}),
}
ALWAYS = {
    "filters", "kernel", "visible", "crop", "epochs", "batch", "sample_input", "objective", "labels", "optimizer",
    "rate", "rate_end", "bias_rate", "momentum", "momentum_end", "l2", "precision", "sparsity", "init", "weight_std",
    "hidden_bias",
}  # fmt: skip
"""Settings that have an effect in every layer that is trained by itself."""
OTHER = {
    "visible": "gaussian", "crop": 8, "epochs": 2.0, "batch": 7, "sample_input": True, "objective": "denoising",
    "optimizer": "adam", "rate": 0.3, "rate_end": 0.3, "bias_rate": 3.0, "momentum": 0.3, "momentum_end": 0.3,
    "l2": 0.3, "precision": "bfloat16", "sparsity": "bias", "init": "kmeans", "weight_std": 0.3, "hidden_bias": 0.3,
    "labeled": 3, **{name: case[0] for name, case in IDLE.items()},
}  # fmt: skip
"""A value other than the default."""


def test_every_setting_is_known_to_these_tables():
    """A new setting must say what it needs, or that it always has an effect."""
    names = {column.name for column in describe(LayerSettings)}
    assert set(IDLE) | ALWAYS == names
    needing = {column.name for column in describe(LayerSettings) if column.needs}
    assert needing <= set(IDLE)


@pytest.mark.parametrize("name", IDLE)
def test_a_setting_without_effect_is_refused(name):
    value, others = IDLE[name]
    message = rf"{name}={value!r}: has no effect with \w+=.*; leave it out"
    with pytest.raises(UsageError, match=message):
        check(layered({name: value, **others}))
    if name != "updates":  # one source may not write both
        with pytest.raises(UsageError, match=message):
            recipes.load(Recipe(), **others, **{name: value})
    assert Recipe(layers=[LayerSettings(**{name: value}, **others)]).machines == (LayerSettings(**others),)


@pytest.mark.parametrize("name", sorted(OTHER))
def test_joint_training_takes_the_shape_alone_of_higher_layers(name):
    value = OTHER[name]
    plan = layered({}, {name: value}, joint=True)
    if name in ("pool", "hidden"):
        assert plan.disabled_by(2, name) != ("joint", True)
        return
    with pytest.raises(UsageError, match=rf"{name}=\[.*of layer 2 has no effect with joint=True, where all layers"):
        check(plan)


def test_one_value_for_all_layers_may_lack_effect_in_some():
    recipe = recipes.load("mnist")
    assert [layer.sigma for layer in recipe.layers] == [0.7, 0.7]
    assert [layer.sigma for layer in recipe.machines] == [0.7, 1.0]
    with pytest.raises(UsageError, match=r"sigma=\[0.7, 0.6\]: 0.6 of layer 2 has no effect with visible"):
        recipes.load("mnist", sigma=[0.7, 0.6])
    assert recipes.load("mnist", sigma=[0.7, 1.0]).layers[1].sigma == 1.0


def test_an_override_may_leave_settings_of_the_recipe_without_effect(caplog):
    caplog.set_level(logging.INFO)
    recipe = recipes.load("mnist", sparsity="none")
    assert [(layer.target, layer.strength) for layer in recipe.layers] == [(0.05, 1.0)] * 2
    assert (
        "recipe='mnist': strength=5.0: has no effect with sparsity='none', so the default replaces it" in caplog.text
    )
    check(recipe)


def test_but_what_an_override_or_the_recipe_itself_writes_without_effect_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"target=0\.2: has no effect with sparsity='none'"):
        recipes.load("mnist", sparsity="none", target=0.2)
    file = tmp_path / "mine.yaml"
    file.write_text("filters: 4\ntemperatures: 20\n")
    for overrides in ({}, {"rate": 0.1}):
        with pytest.raises(UsageError, match="temperatures=20: has no effect with phase='cd'"):
            recipes.load(file, **overrides)
    assert recipes.load(file, phase="tempering").layers[0].temperatures == 20


def test_runs_of_earlier_versions_are_read_without_these_checks():
    fields = Recipe().as_dict() | {"layers": [{"filters": 3, "temperatures": 20, "centring": "none"}], "colour": True}
    del fields["color"]
    recipe = Recipe.from_dict(fields)
    assert recipe.layers[0].temperatures == 20 and recipe.color
    assert recipe.effective().layers == (LayerSettings(filters=3),)
