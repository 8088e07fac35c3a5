"""Settings: declared once, checked when an object is made, described for the command line."""

import dataclasses
import math
from dataclasses import MISSING, dataclass
from typing import Any, Literal

import pytest

from convdbn.errors import UsageError
from convdbn.learning.finetune import FineTuning
from convdbn.learning.refine import Refinement
from convdbn.recipes import LayerSettings, Recipe, Settings, checked, describe, options, setting
from convdbn.recipes.fields import disabled_by, type_text


@dataclass(frozen=True)
class Walk(Settings):
    gait: Literal["amble", "trot"] = setting(help="How to walk.")
    steps: int = setting(10, low=1, high=100, group="length", help="Number of steps.")
    stride: float = setting(0.5, above=0, below=2, group="length", help="Length of a step.")
    back: bool = setting(False, needs={"gait": "trot"}, help="Walk back too.")
    home: str = setting("", help="Where the walk begins.")


def test_a_description_says_all_that_was_declared():
    gait, steps, stride, back, home = describe(Walk)
    assert (gait.name, gait.type_text, gait.default) == ("gait", "Literal['amble', 'trot']", MISSING)
    assert steps[:5] == ("steps", int, 10, "Number of steps.", "length")
    assert (str(steps.range), str(stride.range), str(back.range)) == (
        "at least 1 and at most 100",
        "above 0 and below 2",
        "",
    )
    assert [x.type_text for x in (steps, stride, back, home)] == ["int", "float", "bool", "str"]


def test_values_take_the_type_of_their_field(tmp_path):
    walk = Walk("trot", steps=4.0, stride="1e-1", home=tmp_path)
    assert walk == Walk("trot", 4, 0.1, False, str(tmp_path))
    assert [type(x) for x in vars(walk).values()] == [str, int, float, bool, str]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"gait": "run"}, "gait='run': choose from amble, trot"),
        ({"gait": 3}, "gait=3: choose from amble, trot"),
        ({"steps": 0}, "steps=0: must be at least 1 and at most 100"),
        ({"steps": 101}, "steps=101: must be at least 1 and at most 100"),
        ({"steps": 1.5}, "steps=1.5: is not a whole number"),
        ({"steps": True}, "steps=True: is not a number"),
        ({"steps": None}, "steps=None: is not a number"),
        ({"steps": [3]}, r"steps=\[3\]: is not a number"),
        ({"stride": 0}, "stride=0: must be above 0 and below 2"),
        ({"stride": 2}, "stride=2: must be above 0 and below 2"),
        ({"stride": math.nan}, "stride=nan: must be finite"),
        ({"stride": -math.inf}, "stride=-inf: must be finite"),
        ({"back": 1}, "back=1: is neither true nor false"),
        ({"home": 5}, "home=5: is not text"),
        ({"stpes": 3}, r"stpes=3: no such setting; did you mean steps\?"),
        ({"velocity": 3}, "velocity=3: no such setting; choose from back, gait, home, steps, stride"),
    ],
    ids=str,
)
def test_errors_name_setting_value_and_remedy(values, message):
    with pytest.raises(UsageError, match=message):
        checked(Walk, {"gait": "trot"} | values)


def test_a_setting_without_default_must_be_written():
    with pytest.raises(UsageError, match="gait: has no default; choose from amble, trot"):
        checked(Walk, {})
    assert checked(Walk, {"gait": "amble"}) == Walk("amble")


def test_a_value_without_effect_is_refused_where_it_is_written():
    with pytest.raises(UsageError, match="back=True: has no effect with gait='amble'; leave it out"):
        checked(Walk, {"gait": "amble", "back": True})
    assert checked(Walk, {"gait": "amble", "back": False}) == Walk("amble")
    assert Walk("amble", back=True).back  # the constructor takes it
    assert describe(Walk)[3].help == "Walk back too. Needs gait: trot."


def test_what_is_needed_may_need_something_itself():
    settings = LayerSettings(phase="tempering", objective="denoising")
    assert disabled_by(settings, "temperatures") == ("objective", "denoising")
    assert disabled_by(LayerSettings(phase="tempering"), "temperatures") is None


def test_a_bound_belongs_to_the_range_or_not_as_its_name_says():
    assert Walk("trot", steps=1).steps == 1 and Walk("trot", steps=100).steps == 100
    for stride in (1e-9, 2 - 1e-9):
        assert Walk("trot", stride=stride).stride == stride


def test_every_way_of_making_settings_checks_them():
    walk = Walk("trot")
    for make in (lambda: Walk("trot", steps=0), lambda: dataclasses.replace(walk, steps=0)):
        with pytest.raises(UsageError, match="steps=0"):
            make()
    with pytest.raises(dataclasses.FrozenInstanceError):
        walk.steps = 3


@pytest.mark.parametrize("cls", [LayerSettings, Recipe, FineTuning, Refinement])
def test_every_setting_is_explained_and_its_default_is_allowed(cls):
    for described in describe(cls):
        assert described.help.endswith("."), described.name
        assert described.group
        if described.default is not MISSING:
            value = described.checked(described.default)
            assert value == described.default and type(value) is type(described.default)


def test_options_of_a_recipe_take_one_value_or_a_list():
    texts = {option.name: option.type_text for option in options()}
    assert texts["filters"] == "int | list[int]"
    assert (
        texts["phase"]
        == "Literal['cd', 'pcd', 'fast-pcd', 'tempering'] | list[Literal['cd', 'pcd', 'fast-pcd', 'tempering']]"
    )
    assert texts["seed"] == "int"
    assert texts["transform"] == "list[dict[str, Any]]"
    assert "layers" not in texts


def test_the_types_of_all_settings_can_be_written_into_a_stub():
    known = {"Literal": Literal, "Any": Any}
    for described in (*options(), *describe(FineTuning), *describe(Refinement)):
        assert eval(described.type_text, known) == described.type, described.name


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (int, "int"),
        (int | None, "int | None"),
        (list[int], "list[int]"),
        (Literal["a", 1], "Literal['a', 1]"),
        (tuple[int, ...], "tuple[int, ...]"),
    ],
)
def test_types_as_they_are_written(kind, text):
    assert type_text(kind) == text


class TestFineTuning:
    @pytest.mark.parametrize(
        ("values", "message"),
        [
            ({"epochs": 0}, "epochs=0: must be at least 1"),
            ({"held_out": 0.9}, "held_out=0.9: must be at least 0 and at most 0.5"),
            ({"dropout": 1}, "dropout=1: must be at least 0 and below 1"),
            ({"learning_rate": 0.1}, "learning_rate=0.1: no such setting"),
            ({"drop_out": 0.1}, r"drop_out=0.1: no such setting; did you mean dropout\?"),
        ],
        ids=str,
    )
    def test_what_can_not_be_meant(self, values, message):
        with pytest.raises(UsageError, match=message):
            checked(FineTuning, values)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"method": "up-down", "distort": 1}, "distort=1.0: has no effect with method='up-down'"),
        ({"method": "autoencoder", "k": 5}, "k=5: has no effect with method='autoencoder'"),
        ({"method": "autoencoder", "k_end": 5}, "k_end=5: has no effect with method='autoencoder'"),
    ],
    ids=str,
)
def test_settings_of_the_other_method_are_refused(values, message):
    with pytest.raises(UsageError, match=message):
        checked(Refinement, values)


def test_a_method_of_refinement_is_needed():
    with pytest.raises(UsageError, match="method: has no default; choose from autoencoder, up-down"):
        checked(Refinement, {"epochs": 3})
