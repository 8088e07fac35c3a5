"""Recipes by name, from files and from objects, with other values for some of their fields."""

import dataclasses
import json
import logging
import re

import pytest
import yaml

from convdbn import recipes
from convdbn.errors import UsageError
from convdbn.recipes import LayerSettings, Recipe


@pytest.fixture
def table(tmp_path):
    """Writes fields as a recipe file."""

    def write(**fields):
        path = tmp_path / "recipe.yaml"
        path.write_text(yaml.safe_dump(fields))
        return path

    return write


@pytest.mark.parametrize("name", recipes.names())
class TestShipped:
    def test_loads_and_fits_together(self, name):
        from convdbn.images import build_transform

        recipe = recipes.load(name)
        assert recipe.layers
        build_transform(recipe.transform)
        for layer in recipe.layers:
            if layer.crop:
                assert (layer.crop - layer.kernel + 1) % layer.pool == 0
        # Only the lowest layer sees real numbers: pooled maps are probabilities.
        assert [layer.visible for layer in recipe.layers[1:]] == ["bernoulli"] * (len(recipe.layers) - 1)

    def test_round_trip(self, name):
        recipe = recipes.load(name)
        assert Recipe.from_dict(recipe.as_dict()) == recipe
        assert Recipe.from_dict(json.loads(json.dumps(recipe.as_dict()))) == recipe

    def test_values_are_plain(self, name):
        for layer in recipes.load(name).layers:
            for field in dataclasses.fields(LayerSettings):
                assert type(getattr(layer, field.name)) is type(field.default), field.name


def test_names_are_those_of_the_files():
    assert {"digits", "mnist", "photos"} <= set(recipes.names())
    assert recipes.names() == sorted(recipes.names())


def test_one_value_for_all_layers_or_a_list_with_one_for_each(table):
    recipe = recipes.load(
        table(filters=[4, 6, 8], kernel=3, rate=[0.1, 0.2, 0.3], phase=["cd", "pcd", "cd"], batch=7)
    )
    assert [layer.filters for layer in recipe.layers] == [4, 6, 8]
    assert [layer.kernel for layer in recipe.layers] == [3, 3, 3]
    assert [layer.rate for layer in recipe.layers] == [0.1, 0.2, 0.3]
    assert [layer.phase for layer in recipe.layers] == ["cd", "pcd", "cd"]
    assert [layer.batch for layer in recipe.layers] == [7, 7, 7]
    assert [layer.momentum for layer in recipe.layers] == [LayerSettings.momentum] * 3


def test_a_tuple_is_as_good_as_a_list():
    assert recipes.load("rbm", filters=(5, 4), batch=(2, 3)) == recipes.load("rbm", filters=[5, 4], batch=[2, 3])


def test_one_number_of_filters_is_one_layer(table):
    recipe = recipes.load(table(filters=9, kernel=[5]))
    assert len(recipe.layers) == 1
    assert (recipe.layers[0].filters, recipe.layers[0].kernel) == (9, 5)
    assert recipes.load(table(filters=9)).layers == (LayerSettings(filters=9),)


def test_general_fields(table):
    recipe = recipes.load(table(transform=[{"kind": "pad", "size": 2}], color=True, mirror=True, seed=5, held_out=0))
    assert [dict(spec) for spec in recipe.transform] == [{"kind": "pad", "size": 2}]
    assert (recipe.color, recipe.mirror, recipe.seed, recipe.held_out) == (True, True, 5, 0)


def test_overrides_replace_fields_and_none_leaves_them():
    plain = recipes.load("mnist")
    changed = recipes.load("mnist", updates=7, rate=[0.5, 0.25], seed=3, color=None, kernel=None)
    assert [layer.updates for layer in changed.layers] == [7, 7]
    assert [layer.rate for layer in changed.layers] == [0.5, 0.25]
    assert changed.seed == 3
    assert [layer.kernel for layer in changed.layers] == [layer.kernel for layer in plain.layers]
    unchanged = {field.name for field in dataclasses.fields(LayerSettings)} - {"updates", "rate"}
    for before, after in zip(plain.layers, changed.layers, strict=True):
        assert all(getattr(before, name) == getattr(after, name) for name in unchanged)


def test_zero_and_false_are_values_that_override():
    recipe = recipes.load("mnist", seed=0, crop=0, noise_free=False, color=False, l2=0)
    assert [layer.noise_free for layer in recipe.layers] == [False, False]


def test_overrides_can_change_the_number_of_layers():
    columns = {"kernel": 7, "pool": 2, "rate": 0.001, "target": 0.01, "weight_std": 0.01, "visible": "gaussian"}
    recipe = recipes.load("mnist", filters=[8], **columns)
    assert len(recipe.layers) == 1
    assert recipe.layers[0].filters == 8


def test_numbers_take_the_type_of_their_field(table):
    layer = recipes.load(table(filters=4.0, rate=1, updates=30.0)).layers[0]
    assert layer.filters == 4 and type(layer.filters) is int
    assert layer.rate == 1.0 and type(layer.rate) is float
    assert layer.updates == 30 and type(layer.updates) is int


def test_scientific_notation_without_a_point_is_a_number(tmp_path):
    """YAML 1.1 reads `1e-3` as text, papers and people as a number."""
    path = tmp_path / "r.yaml"
    path.write_text("filters: [4, 4]\nrate: 1e-3\nl2: [1e-4, 2E-4]\n")
    assert [(layer.rate, layer.l2) for layer in recipes.load(path).layers] == [(0.001, 0.0001), (0.001, 0.0002)]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"fliters": 4}, r"fliters=4: no such setting; did you mean filters\?"),
        (
            {"filters": [4, 4], "kernel": [3]},
            r"kernel=\[3\]: is not as long as `filters`; write one value, or a list of 2",
        ),
        (
            {"filters": 4, "kernel": [3, 3]},
            r"kernel=\[3, 3\]: is not as long as `filters`; write one value, or a list of 1",
        ),
        ({"filters": "many"}, "filters='many': is not a number"),
        ({"filters": True}, "filters=True: is not a number"),
        ({"filters": 4.5}, "filters=4.5: is not a whole number"),
        ({"rate": None}, "rate=None: is not a number"),
        ({"filters": 0}, "filters=0: must be at least 1"),
        ({"filters": [4, -4]}, "filters=-4: must be at least 1"),
        ({"kernel": -1}, "kernel=-1: must be at least 0"),
        ({"pool": 0}, "pool=0: must be at least 1"),
        ({"updates": 0}, "updates=0: must be at least 1"),
        ({"batch": 0}, "batch=0: must be at least 1"),
        ({"k": 0}, "k=0: must be at least 1"),
        ({"rate": 0}, "rate=0.*: must be above 0"),
        ({"rate": float("nan")}, "rate=nan"),
        ({"sigma": 0}, r"sigma=0.*: must be at least 0\.001 and at most 1000"),
        ({"l2": -0.5}, "l2=-0.5: must be at least 0"),
        ({"weight_std": 0}, "weight_std=0"),
        ({"phase": "gibbs"}, "phase='gibbs': choose from cd, pcd"),
        ({"optimizer": "lbfgs"}, "optimizer='lbfgs': choose from adam, sgd"),
        ({"visible": "real"}, "visible='real': choose from bernoulli, gaussian"),
        ({"sparsity": "l1"}, "sparsity='l1': choose from none, bias, decayed"),
    ],
)
def test_errors_name_argument_value_and_remedy(table, fields, message):
    with pytest.raises(UsageError, match=message):
        recipes.load(table(**fields))


@pytest.mark.parametrize(
    "fields",
    [
        {"noise_free": "yes"},
        {"noise_free": 3},
        {"updates": float("inf")},
        {"updates": float("nan")},
        {"rate": float("inf")},
        {"hidden_bias": float("nan")},
        {"momentum": 1.5},
        {"momentum_end": 1.0},
        {"target": 2},
        {"sigma": 1e-6},
        {"sigma_end": 1e6},
        {"filters": []},
    ],
    ids=str,
)
def test_values_of_a_layer_that_cannot_be_meant(table, fields):
    """Found when the recipe is read, not after the pictures, or the first layer, or with a traceback."""
    (name,) = fields
    with pytest.raises(UsageError, match=name):
        recipes.load(table(**fields))


@pytest.mark.parametrize(
    "fields",
    [
        {"seed": "x"},
        {"seed": -1},
        {"seed": 1.5},
        {"log_every": 0},
        {"held_out": "many"},
        {"held_out": -1},
        {"color": "maybe"},
        {"mirror": 2},
        {"transform": 5},
        {"transform": {"kind": "pad", "size": 2}},
        {"transform": ["pad"]},
    ],
    ids=str,
)
def test_general_values_that_cannot_be_meant(table, fields):
    (name,) = fields
    with pytest.raises(UsageError, match=name):
        recipes.load(table(**fields))


@pytest.mark.parametrize(
    "text", ["filters: [4, 4\n", "a: b: c", "\tfilters: 4", "{", "filters: !!python/object:os.system {}"]
)
def test_what_is_not_yaml(tmp_path, text):
    path = tmp_path / "r.yaml"
    path.write_text(text)
    with pytest.raises(UsageError, match=r"recipe='.*r.yaml': is not YAML \("):
        recipes.load(path)


@pytest.mark.parametrize("text", ["", "- filters\n", "filters\n", "42\n", "# nothing\n"])
def test_yaml_that_is_no_table(tmp_path, text):
    path = tmp_path / "r.yaml"
    path.write_text(text)
    with pytest.raises(UsageError, match=r"r\.yaml': has no table of fields; write lines such as `filters"):
        recipes.load(path)


def test_keys_that_are_no_words(tmp_path):
    path = tmp_path / "r.yaml"
    path.write_text("filters: 4\n1: 2\n")
    with pytest.raises(UsageError, match="1=2: no such setting"):
        recipes.load(path)


def test_bytes_that_are_no_text(tmp_path):
    path = tmp_path / "r.yaml"
    path.write_bytes(b"filters: \xff\xfe\x00")
    with pytest.raises(UsageError, match=r"r\.yaml': is not YAML"):
        recipes.load(path)


@pytest.mark.parametrize("name", ["mnits", "", "nowhere/recipe.yaml"])
def test_an_unknown_name_lists_the_known_ones(name):
    with pytest.raises(
        UsageError, match=rf"recipe='{name}': no such file; give a YAML file, or one of .*digits.*mnist.*photos"
    ):
        recipes.load(name)


def test_an_error_about_a_field_that_the_user_did_not_write_names_the_recipe():
    with pytest.raises(UsageError, match=r"^border=8: .* \(border is that of recipe='images'\)$"):
        recipes.load("images", crop=16)
    with pytest.raises(UsageError, match=r"^border=9: ") as error:
        recipes.load("images", crop=16, border=9)
    assert "recipe=" not in str(error.value)
    with pytest.raises(UsageError, match=r"^border=8: ") as error:
        recipes.load(recipes.load("images"), crop=16)
    assert "recipe=" not in str(error.value)


def test_a_folder_is_no_recipe(tmp_path):
    with pytest.raises(UsageError, match="no such file"):
        recipes.load(tmp_path)


def test_an_unknown_override_is_named():
    with pytest.raises(
        UsageError, match=r"(?s)learning_rate=0.1: no such setting.*moment=3: .*did you mean momentum\?"
    ):
        recipes.load("mnist", learning_rate=0.1, moment=3)
    with pytest.raises(UsageError, match="batch=0: must be at least 1"):
        recipes.load("mnist", batch=0)


def test_a_recipe_cannot_be_changed_by_accident():
    recipe = recipes.load("mnist")
    with pytest.raises(dataclasses.FrozenInstanceError):
        recipe.seed = 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        recipe.layers[0].rate = 1.0


class TestLayers:
    """The number of layers, when it is not the recipe's."""

    def test_the_first_layers_of_a_recipe_for_more(self, caplog):
        caplog.set_level(logging.INFO)
        recipe = recipes.load("images", filters=[24])
        assert recipe.layers == (dataclasses.replace(recipes.load("images").layers[0], filters=24),)
        assert "recipe='images': takes the lowest 1 of its 2 layers" in caplog.text

    def test_a_recipe_for_fewer_names_all_columns_at_once(self):
        with pytest.raises(UsageError) as caught:
            recipes.load("images", filters=[24, 24, 24])
        message = str(caught.value)
        assert message.startswith("filters=[24, 24, 24]: has 3 layers, recipe='images' only 2; write values for all")
        written = dict(re.findall(r"(\w+)=(\[[^]]*\])", message.split("such as ")[1]))
        columns = {name: yaml.safe_load(values) for name, values in written.items()}
        assert columns["kernel"] == [9, 5, 5] and columns["visible"] == ["gaussian", "bernoulli", "bernoulli"]
        assert len(recipes.load("images", filters=[24, 24, 24], **columns).layers) == 3

    def test_one_value_serves_for_any_number_of_layers(self):
        recipe = recipes.load("rbm", filters=[5, 4, 3])
        assert [(layer.filters, layer.phase, layer.batch) for layer in recipe.layers] == [
            (5, "pcd", 100), (4, "pcd", 100), (3, "pcd", 100),
        ]  # fmt: skip

    def test_layers_as_objects_replace_those_of_the_recipe(self):
        layers = [LayerSettings(filters=4, kernel=5), LayerSettings(filters=6)]
        recipe = recipes.load("images", layers=layers, rate=0.1, seed=3)
        assert recipe.layers == tuple(dataclasses.replace(layer, rate=0.1) for layer in layers)
        plain = recipes.load("images")
        assert (recipe.transform, recipe.mirror, recipe.seed) == (plain.transform, plain.mirror, 3)

    @pytest.mark.parametrize("layers", [LayerSettings(), [], [{"filters": 3}], 3], ids=str)
    def test_what_is_no_list_of_layers(self, layers):
        with pytest.raises(UsageError, match=r"layers=.*: is no list of layers; write one such as"):
            recipes.load("images", layers=layers)

    @pytest.mark.parametrize("name", recipes.names())
    def test_a_recipe_as_an_object_is_read_like_its_file(self, name):
        recipe = recipes.load(name)
        assert recipes.load(recipe) == recipe
        assert recipes.load(recipe, seed=9, batch=7) == recipes.load(name, seed=9, batch=7)


class TestEpochs:
    def test_they_take_the_place_of_the_recipes_updates_and_the_other_way_round(self, table):
        recipe = recipes.load("images", epochs=[3, 0])
        assert [(layer.epochs, layer.updates) for layer in recipe.layers] == [(3, 1000), (0, 800)]
        file = table(filters=4, epochs=2)
        assert recipes.load(file).layers[0].epochs == 2
        changed = recipes.load(file, updates=50).layers[0]
        assert (changed.epochs, changed.updates) == (0, 50)
        assert recipes.load(recipe, updates=70).layers[0].updates == 70

    def test_one_source_may_not_write_both(self, table):
        with pytest.raises(UsageError, match="epochs=2: excludes updates=9; leave out one of them"):
            recipes.load(table(filters=4, epochs=2, updates=9))
        with pytest.raises(UsageError, match="epochs=2: excludes updates=9"):
            recipes.load("mnist", epochs=2, updates=9)


@pytest.mark.parametrize(("former", "now", "value"), [("colour", "color", True), ("centring", "centering", "data")])
def test_names_of_an_earlier_version_are_known_with_a_warning(table, former, now, value):
    for make in (lambda: recipes.load("rbm", **{former: value}), lambda: recipes.load(table(**{former: value}))):
        with pytest.warns(
            DeprecationWarning, match=f"{former} is the spelling of version 0.1.0; write {now}"
        ) as caught:
            recipe = make()
        assert caught[0].filename == __file__
        assert getattr(recipe if now == "color" else recipe.layers[0], now) == value
