import csv
import itertools
import math
import re

import pytest
import torch
import yaml
from PIL import Image

from convdbn import recipes
from convdbn.errors import CheckpointError, DataError, Diverged, Interrupted, UsageError
from convdbn.images import ArrayImages, FolderImages
from convdbn.learning.greedy import train_greedily
from convdbn.models import fitting
from convdbn.models.files import open_model
from convdbn.storage import metrics
from convdbn.storage import resumable as checkpointing

UPDATES = 12


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def bars(n=50, side=12, seed=0):
    """Pictures of a few horizontal and vertical bars, with noise: something to learn."""
    generator = seeded(seed)
    x = 0.2 * torch.rand(n, 1, side, side, generator=generator)
    for picture in x:
        row, column = torch.randint(0, side, (2,), generator=generator).tolist()
        picture[0, row] += 0.7
        picture[0, :, column] += 0.1
    return x.clamp(0, 1)


def images(*arguments, **options):
    return ArrayImages(bars(*arguments, **options), name="bars")


def recipe(tmp_path, **fields):
    """Two layers: 12 -> 10 / 2 = 5 -> 4 / 2 = 2."""
    table = {
        "filters": [4, 5], "kernel": [3, 2], "pool": 2, "updates": UPDATES, "batch": 6, "rate": 0.05, "held_out": 0,
        "log_every": 3, "weight_std": 0.1, **fields,
    }  # fmt: skip
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(table))
    return recipes.load(path)


def stop_after(updates):
    """Says stop at the question after so many updates, counted over all layers."""
    asked = itertools.count(1)
    return lambda: next(asked) >= updates


def rows(folder):
    with open(folder / "metrics.csv", newline="") as file:
        return list(csv.DictReader(file))


def resumed(chosen, folder):
    """The run in the folder, carried to its end."""
    return train_greedily(chosen, images(), folder=folder, resume=True)


def assert_same_run(one, other):
    a, b = (open_model(folder, "model").model.state_dict() for folder in (one, other))
    assert set(a) == set(b)
    for name in a:
        assert torch.equal(a[name], b[name]), name
    assert (one / "metrics.csv").read_bytes() == (other / "metrics.csv").read_bytes()


GAUSSIAN = {"visible": ["gaussian", "bernoulli"], "sigma": 0.8, "sigma_end": 0.4, "noise_free": True}
KINDS = {
    "sgd": {},
    "adam": {"optimizer": "adam", "rate": 0.01, "bias_rate": 3},
    "sgd pcd": {"phase": "pcd", "k": 2},
    "adam pcd": {"optimizer": "adam", "phase": "pcd", "rate": 0.01},
    "bias sparsity": {"sparsity": "bias", "target": 0.02, "strength": 2, "l2": 0.01},
    "decayed sparsity": {"sparsity": "decayed", "target": 0.02, "strength": 2},
    "adam pcd decayed": {"optimizer": "adam", "phase": "pcd", "sparsity": "decayed", "rate": 0.01},
    "gaussian": {**GAUSSIAN, "transform": [{"kind": "local_contrast", "size": 3}]},
    "zca crops": {**GAUSSIAN, "transform": [{"kind": "zca"}], "crop": [8, 2], "kernel": [3, 1], "pool": [2, 1]},
    "dense top": {"kernel": [3, 0]},
    "all dense": {"kernel": 0, "phase": "pcd"},
    "mirrored": {"mirror": True},
}


@pytest.mark.parametrize(
    ("kind", "held"), [*((kind, False) for kind in KINDS), ("sgd", True), ("zca crops", True)], ids=str
)
def test_a_run_that_is_stopped_and_resumed_ends_bit_for_bit_the_same(tmp_path, kind, held):
    """Stopped after the first update, between two rows of metrics, at a row, after a layer's last update, and again
    in layer 2."""
    chosen = recipe(tmp_path, **KINDS[kind])
    held_out = images(9, seed=1) if held else None
    train_greedily(chosen, images(), held_out=held_out, folder=tmp_path / "whole")
    folder = tmp_path / "parts"
    stops = [1, 4, 2, 5, 2, 7]  # updates taken before each stop: 1, 5, 7 and 12, 14, 21 of 24
    for part, updates in enumerate(stops):
        options = {"held_out": held_out, "folder": folder, "stop": stop_after(updates), "resume": part > 0}
        with pytest.raises(Interrupted, match=r"layer [12], step \d+: saved; go on with --resume"):
            train_greedily(chosen, images(), **options)
    stack = train_greedily(chosen, images(), held_out=held_out, folder=folder, resume=True)
    assert_same_run(tmp_path / "whole", folder)
    assert stack.state_dict().keys() == open_model(folder, "model").model.state_dict().keys()
    assert not open_model(folder, "model").trainer


@pytest.mark.parametrize("crash", [1, 5, 11, 14, 22])
def test_a_run_that_lost_power_goes_on_from_its_last_checkpoint(tmp_path, monkeypatch, crash):
    """Rows of metrics written after that checkpoint are not there twice."""
    chosen = recipe(tmp_path, optimizer="adam", phase="pcd")
    train_greedily(chosen, images(), folder=tmp_path / "whole")

    class PowerCut(BaseException):
        pass

    asked = itertools.count()

    def cut():
        # A checkpoint is due every third question, so up to two updates are lost.
        monkeypatch.setattr(checkpointing, "SAVE_SECONDS", -1.0 if next(asked) % 3 == 0 else 1e9)
        monkeypatch.setattr(checkpointing, "SHARE", math.inf)
        if next(copy) >= crash:
            raise PowerCut
        return False

    copy = itertools.count()
    folder = tmp_path / "cut"
    with pytest.raises(PowerCut):
        train_greedily(chosen, images(), folder=folder, stop=cut)
    monkeypatch.setattr(checkpointing, "SAVE_SECONDS", 1e9)
    resumed(chosen, folder)
    assert_same_run(tmp_path / "whole", folder)


def test_stopped_between_two_layers(tmp_path):
    chosen = recipe(tmp_path)
    train_greedily(chosen, images(), folder=tmp_path / "whole")
    folder = tmp_path / "parts"
    with pytest.raises(Interrupted, match="layer 1, step 12"):
        train_greedily(chosen, images(), folder=folder, stop=stop_after(UPDATES))
    resumed(chosen, folder)
    assert_same_run(tmp_path / "whole", folder)


def test_a_checkpoint_of_a_run_in_progress_is_a_model(tmp_path):
    chosen = recipe(tmp_path)
    for updates, layers in ((5, 1), (UPDATES + 4, 2)):
        folder = tmp_path / str(updates)
        with pytest.raises(Interrupted):
            train_greedily(chosen, images(), folder=folder, stop=stop_after(updates))
        assert len(open_model(folder, "model").model.features(bars(2))) == layers


def test_resuming_a_finished_run_changes_nothing(tmp_path):
    chosen, folder = recipe(tmp_path), tmp_path / "run"
    train_greedily(chosen, images(), folder=folder)
    model, metrics = (folder / "model.safetensors").read_bytes(), (folder / "metrics.csv").read_bytes()
    stack = train_greedily(chosen, images(), folder=folder, resume=True)
    assert (folder / "model.safetensors").read_bytes() == model
    assert (folder / "metrics.csv").read_bytes() == metrics
    assert len(stack.machines) == 2


def test_the_same_seed_gives_the_same_run_and_another_another(tmp_path):
    def weights(seed):
        return train_greedily(recipe(tmp_path, seed=seed), images()).state_dict()

    one, again, other = weights(1), weights(1), weights(2)
    assert all(torch.equal(one[name], again[name]) for name in one)
    assert not torch.equal(one["machines.1.links.0.weight"], other["machines.1.links.0.weight"])


def test_the_global_generator_is_left_alone(tmp_path):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    train_greedily(recipe(tmp_path), images(), held_out=images(8))
    assert torch.equal(torch.get_rng_state(), before)


def test_the_first_layer_stays_as_it_is_while_the_second_learns(tmp_path):
    folder = tmp_path / "run"
    chosen = recipe(tmp_path)
    with pytest.raises(Interrupted):
        train_greedily(chosen, images(), folder=folder, stop=stop_after(UPDATES))
    first = open_model(folder, "model").model.machines[0].state_dict()
    finished = train_greedily(chosen, images(), folder=folder, resume=True).machines[0].state_dict()
    assert all(torch.equal(first[name], finished[name]) for name in first)


def test_learning_lowers_the_reconstruction_error(tmp_path):
    fields = {"filters": [8, 8], "kernel": [5, 1], "optimizer": "adam", "rate": 0.03, "weight_std": 0.05}
    chosen = recipe(tmp_path, **GAUSSIAN, **fields, updates=200, log_every=20)
    train_greedily(chosen, images(), folder=tmp_path / "run")
    for layer, factor in (("1", 0.7), ("2", 0.9)):
        errors = [float(row["reconstruction_error"]) for row in rows(tmp_path / "run") if row["layer"] == layer]
        assert sum(errors[-3:]) < factor * sum(errors[1 if layer == "1" else 0 :][:3]), layer


def test_metrics_are_whole(tmp_path):
    chosen = recipe(tmp_path, **GAUSSIAN, sparsity="bias", updates=13, hidden_bias=-2)
    train_greedily(chosen, images(), held_out=images(9, seed=1), folder=tmp_path / "run")
    found = rows(tmp_path / "run")
    assert list(found[0]) == list(metrics.COLUMNS)
    assert [(row["layer"], row["step"]) for row in found] == [
        (layer, step) for layer in "12" for step in ("1", "4", "7", "10", "13")
    ]
    for row in found:
        filled = {name for name, value in row.items() if value != ""}
        assert filled == set(metrics.COLUMNS) - (set() if row["layer"] == "1" else {"sigma"})
        value = {name: float(row[name]) for name in filled}
        assert all(math.isfinite(x) for x in value.values())
        assert 0 < value["reconstruction_error"] < 1
        assert 0 < value["activation"] < 0.25  # at most one unit of a block of four is on
        assert 0 <= value["dead"] <= 1 and 0 <= value["always_on"] <= 1
        assert 0.01 < value["weight_rms"] < 1
        assert 0 < value["update_to_weight"] < 1
        assert -4 < value["hidden_bias"] < 0
        assert 0 < value["rate"] <= 0.05
        assert abs(value["free_energy_gap"]) < 100
    assert [float(row["sigma"]) for row in found[:5]] == sorted((float(r["sigma"]) for r in found[:5]), reverse=True)


def test_no_free_energy_gap_without_held_out_pictures(tmp_path):
    train_greedily(recipe(tmp_path), images(), folder=tmp_path / "run")
    assert {row["free_energy_gap"] for row in rows(tmp_path / "run")} == {""}


def test_the_free_energy_gap_is_that_of_unseen_minus_seen_pictures(tmp_path):
    """Held-out noise is less likely than the bars; held-out bars are about as likely."""
    chosen = recipe(tmp_path, filters=6, kernel=3, updates=100, rate=0.2)
    gaps = {}
    for name, held_out in {
        "same": images(),
        "alike": images(50, seed=1),
        "noise": ArrayImages(torch.rand(50, 1, 12, 12, generator=seeded())),
    }.items():
        train_greedily(chosen, images(), held_out=held_out, folder=tmp_path / name)
        gaps[name] = float(rows(tmp_path / name)[-1]["free_energy_gap"])
    assert abs(gaps["same"]) < 1e-3
    assert abs(gaps["alike"]) < 0.2 * gaps["noise"]


def test_a_transform_is_fitted_on_the_pictures_and_travels(tmp_path):
    chosen = recipe(tmp_path, **GAUSSIAN, transform=[{"kind": "zca", "epsilon": 0.1}])
    stack = train_greedily(chosen, images(80), folder=tmp_path / "run")
    flat = bars(80).flatten(1)
    torch.testing.assert_close(stack.transform[0].mean, flat.mean(0), rtol=1e-3, atol=1e-5)
    assert stack.transform[0].matrix.shape == (144, 144)
    loaded = open_model(tmp_path / "run", "model").model
    for a, b in zip(loaded.features(bars(5, seed=4)), stack.features(bars(5, seed=4)), strict=True):
        assert torch.equal(a, b)


def test_two_transforms_that_learn(tmp_path):
    spec = [{"kind": "zca", "epsilon": 0.1}, {"kind": "resize", "size": 12}, {"kind": "zca", "epsilon": 0.1}]
    stack = train_greedily(recipe(tmp_path, **GAUSSIAN, transform=spec), images())
    assert all(len(stack.transform[i].mean) == 144 for i in (0, 2))


def picture_folder(path, sizes, *, broken=()):
    path.mkdir(parents=True)
    for i, (height, width) in enumerate(sizes):
        pixels = torch.randint(0, 256, (height, width), dtype=torch.uint8, generator=seeded(i))
        file = path / f"{i:03d}.png"
        Image.fromarray(pixels.numpy()).save(file)
        if i in broken:
            file.write_bytes(file.read_bytes()[:40])
    return FolderImages(path)


TWO_SIZES = [(12, 12), (12, 12), (16, 20)] * 7
SIZES = [(14, 20), (20, 14), (16, 16), (13, 30)] * 5


def test_a_transform_that_learns_from_pictures_of_several_sizes(tmp_path):
    spec = [{"kind": "resize", "size": 12}, {"kind": "zca", "epsilon": 0.1}]
    pictures = picture_folder(tmp_path / "pictures", SIZES)
    stack = train_greedily(recipe(tmp_path, **GAUSSIAN, transform=spec), pictures)
    assert stack.transform[1].matrix.shape == (144, 144)


def test_pictures_of_several_sizes_are_trained_on_crops(tmp_path):
    pictures = picture_folder(tmp_path / "pictures", SIZES)
    chosen = recipe(tmp_path, crop=[10, 3], kernel=[3, 2], pool=[2, 2])
    stack = train_greedily(chosen, pictures)
    assert stack.picture == (1, 10, 10)
    assert all(x.isfinite().all() for x in stack.features(bars(3)))


@pytest.fixture
def finished(tmp_path):
    """A run folder, with a function that says whether all of it still stands."""
    folder = tmp_path / "finished"
    train_greedily(recipe(tmp_path), images(), folder=folder)
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    return folder, lambda: {file.name: file.read_bytes() for file in folder.iterdir()} == before


class Spoilt(ArrayImages):
    """Pictures one of which has a NaN that was not there when they were checked."""

    def __init__(self, pixels, place):
        super().__init__(pixels.clone())
        self.pixels[place, 0, 2, 3] = math.nan


WRONG = {
    "smaller than the filter": ({"kernel": [13, 2]}, lambda path: images(), r"12x12.*13x13"),
    "sizes that do not divide": ({}, lambda path: images(side=11), r"11x11.*nearest legal"),
    "sizes that do not divide in layer 2": ({}, lambda path: images(side=14), r"nearest legal"),
    "NaN in the first picture": ({}, lambda path: Spoilt(bars(), 0), "picture 0 .*nan"),
    "NaN in another picture": ({}, lambda path: Spoilt(bars(), 33), "picture .*nan"),
    "values that the units do not take": ({"transform": [{"kind": "whiten"}]}, lambda path: images(), r"\[0, 1\]"),
    "crop too large": ({"crop": [16, 0]}, lambda path: images(), "crop"),
    "crop of layer 2 too large": ({"crop": [0, 7]}, lambda path: images(), "crop"),
    "several sizes": ({}, lambda path: picture_folder(path / "p", TWO_SIZES), "have several sizes"),
    "unreadable picture": ({}, lambda path: picture_folder(path / "p", [(12, 12)] * 20, broken=[7]), "007.png"),
    "unreadable first picture": ({}, lambda path: picture_folder(path / "p", [(12, 12)] * 20, broken=[0]), "000.png"),
    "convolution over vectors": ({"kernel": [0, 3]}, lambda path: images(), "kernel"),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG)
def test_wrong_pictures_are_refused_before_a_run_that_stands_is_lost(tmp_path, finished, what):
    folder, untouched = finished
    fields, make, message = WRONG[what]
    with pytest.raises((DataError, UsageError), match=re.compile(message, re.DOTALL)):
        train_greedily(recipe(tmp_path, **fields), make(tmp_path), folder=folder)
    assert untouched()


@pytest.mark.parametrize("what", WRONG)
def test_wrong_pictures_are_refused_before_any_update(tmp_path, what):
    fields, make, message = WRONG[what]
    with pytest.raises((DataError, UsageError), match=re.compile(message, re.DOTALL)):
        train_greedily(recipe(tmp_path, **fields), make(tmp_path), folder=tmp_path / "new")
    assert not list(tmp_path.glob("new/metrics.csv")) or rows(tmp_path / "new") == []


@pytest.mark.parametrize("side", [11, 14, 9, 5, 27])
def test_the_sizes_named_when_training_are_legal_for_all_layers(tmp_path, side):
    with pytest.raises(DataError) as caught:
        train_greedily(recipe(tmp_path), images(side=side))
    named = re.search(r"heights ([\d or]+), widths ([\d or]+)", str(caught.value))
    for heights in named.groups():
        for legal in map(int, heights.split(" or ")):
            stack = train_greedily(recipe(tmp_path, updates=1), images(side=legal))
            assert len(stack.features(bars(1, side=legal))) == 2


def test_whole_maps_above_crops(tmp_path):
    """Layer 1 on crops of 9, layer 2 on whole maps of pictures that the blocks of layer 1 do not divide."""
    chosen = recipe(tmp_path, kernel=[4, 3], pool=[2, 1], crop=[9, 0])
    try:
        stack = train_greedily(chosen, images(side=22), folder=tmp_path / "run")
    except DataError:
        assert not (tmp_path / "run" / "metrics.csv").exists(), "refused only after layer 1 was trained"
    else:
        assert len(stack.machines) == 2


def assert_finite(folder):
    stack, _, trainer = open_model(folder, "model")[:3]
    for name, value in {**stack.state_dict(), **trainer}.items():
        assert value.double().isfinite().all(), name


@pytest.mark.parametrize("kind", ["gaussian", "bernoulli"])
def test_divergence_names_layer_step_and_statistic(tmp_path, kind):
    huge = {"rate": [1e30, 0.1], "log_every": 1, **(GAUSSIAN if kind == "gaussian" else {})}
    with pytest.raises(Diverged) as caught:
        train_greedily(recipe(tmp_path, **huge), images(), folder=tmp_path / "run")
    assert re.match(r"layer 1, step \d+: \w+ is (nan|inf|-inf|[\d.e+]+, above)", str(caught.value))
    assert any(name in str(caught.value) for name in list(metrics.COLUMNS)[2:])
    assert "lower `rate`" in str(caught.value)


def test_divergence_in_layer_2_leaves_layer_1(tmp_path):
    folder = tmp_path / "run"
    with pytest.raises(Diverged, match="layer 2, step"):
        train_greedily(recipe(tmp_path, rate=[0.05, 1e30]), images(), folder=folder)
    assert_finite(folder)
    assert len(open_model(folder, "model").model.features(bars(2))) >= 1
    alone = train_greedily(recipe(tmp_path), images())
    first = open_model(folder, "model").model.machines[0]
    assert torch.equal(first.links[0].weight, alone.machines[0].links[0].weight)
    assert all(all(math.isfinite(float(x)) for x in row.values() if x) for row in rows(folder))


# The rate rises from a good one; rows of metrics come every 50 updates, long after the parameters are lost.
RISING = {**GAUSSIAN, "rate": 0.05, "rate_end": 1e30, "updates": 60, "log_every": 50}


def test_a_checkpoint_that_falls_due_while_a_run_diverges_is_a_good_one(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpointing, "SAVE_SECONDS", -1.0)
    monkeypatch.setattr(checkpointing, "SHARE", math.inf)
    folder = tmp_path / "run"
    with pytest.raises(Diverged, match="layer 1, step"):
        train_greedily(recipe(tmp_path, **RISING), images(), folder=folder)
    assert_finite(folder)


def test_stopping_a_run_that_has_diverged_saves_no_broken_checkpoint(tmp_path):
    folder = tmp_path / "run"
    with pytest.raises((Diverged, Interrupted)):
        train_greedily(recipe(tmp_path, **RISING), images(), folder=folder, stop=stop_after(40))
    if (folder / "model.safetensors").exists():
        assert_finite(folder)


def test_without_a_folder_nothing_is_written_and_nothing_is_said_to_be(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    train_greedily(recipe(tmp_path), images())
    with pytest.raises(Interrupted) as caught:
        train_greedily(recipe(tmp_path), images(), stop=stop_after(3))
    assert [file.name for file in tmp_path.iterdir()] == ["recipe.yaml"]
    assert "layer 1, step 3" in str(caught.value)
    assert "saved; go on with --resume" not in str(caught.value)


def test_a_new_run_replaces_the_metrics_of_the_old_one(tmp_path):
    folder = tmp_path / "run"
    for _ in range(2):
        train_greedily(recipe(tmp_path), images(), folder=folder)
        assert len(rows(folder)) == 2 * 5
        assert sorted(file.name for file in folder.iterdir()) == ["metrics.csv", "model.safetensors"]


def test_picture_is_what_layer_1_was_trained_on(tmp_path):
    def shape(pictures, **fields):
        return train_greedily(recipe(tmp_path, updates=1, **fields), pictures).picture

    assert shape(images()) == (1, 12, 12)
    assert shape(images(), crop=[8, 0], kernel=[3, 2]) == (1, 8, 8)
    assert shape(images(), transform=[{"kind": "pad", "size": 2}]) == (1, 16, 16)
    assert shape(ArrayImages(bars().repeat(1, 3, 1, 1))) == (3, 12, 12)


def test_crops_above_whole_maps_of_pictures_that_do_not_divide(tmp_path):
    """Crops anywhere in a recipe mean that whole pictures are trimmed, in layer 1 as well."""
    chosen = recipe(tmp_path, kernel=[4, 2], pool=[2, 2], crop=[0, 5])
    stack = train_greedily(chosen, images(side=16))
    assert len(stack.machines) == 2


def test_layers_go_on_above_a_trained_model(tmp_path):
    """What stands below stays as it was, and the new layer is the one that a run of both would have trained."""
    below = train_greedily(recipe(tmp_path, filters=[4], kernel=[3]), images(), folder=tmp_path / "below")
    both = train_greedily(recipe(tmp_path), images())
    again = train_greedily(recipe(tmp_path, initial=str(tmp_path / "below")), images(), folder=tmp_path / "run")
    assert torch.equal(again.machines[0].links[0].weight, below.machines[0].links[0].weight)
    assert torch.equal(again.machines[1].links[0].weight, both.machines[1].links[0].weight)
    assert open_model(tmp_path / "run", "model").metadata["progress"] == {"layer": 2, "step": 0}


def test_layers_go_on_above_a_model_of_pictures_of_another_size(tmp_path):
    below = train_greedily(recipe(tmp_path, filters=[4], kernel=[3]), images(), folder=tmp_path / "below")
    resized = recipe(tmp_path, initial=str(tmp_path / "below"), transform=[{"kind": "resize", "size": 24}])
    stack = train_greedily(resized, images())
    assert stack.picture == (1, 24, 24)
    assert torch.equal(stack.machines[0].links[0].weight, below.machines[0].links[0].weight)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"filters": [5, 5]}, "has layers"),
        ({"transform": [{"kind": "invert"}]}, "another transform"),
        ({"initial": "nowhere"}, "nowhere"),
    ],
)
def test_a_model_that_does_not_fit_below_is_refused(tmp_path, fields, message):
    train_greedily(recipe(tmp_path, filters=[4], kernel=[3]), images(), folder=tmp_path / "below")
    fields = {"initial": str(tmp_path / "below"), **fields}
    with pytest.raises((UsageError, CheckpointError), match=message):
        train_greedily(recipe(tmp_path, **fields), images())


@pytest.mark.parametrize(("sizes", "side"), [("trim", 12), ("pad", 16)])
@pytest.mark.parametrize("joint", [False, True])
def test_pictures_that_do_not_divide_are_trained_on_trimmed_or_padded(tmp_path, sizes, side, joint):
    """14 -> 12 / 2 = 6 -> 5, which 2 does not divide; 12 and 16 are the nearest sizes that fit."""
    with pytest.raises(DataError, match="nearest legal heights 12 or 16"):
        train_greedily(recipe(tmp_path, joint=joint), images(side=14))
    stack = train_greedily(recipe(tmp_path, joint=joint, sizes=sizes), images(side=14))
    fitted = fitting.fitted(bars(50, 14), stack.geometry, sizes)
    assert stack.picture == (1, side, side) and fitted.shape == (50, 1, side, side)
    same = train_greedily(recipe(tmp_path, joint=joint), ArrayImages(fitted))
    for one, other in zip(stack.parameters(), same.parameters(), strict=True):
        assert torch.equal(one, other)
    for one, other in zip(stack.features(bars(3, 14), sizes=sizes), same.features(fitted[:3]), strict=True):
        assert one.shape == other.shape
