"""Curves and pictures for TensorBoard, read back with TensorBoard's own reader."""

import csv
import io
import itertools
import sys

import numpy as np
import pytest
import torch
from PIL import Image

import convdbn
from convdbn import cli, recipes
from convdbn.errors import Interrupted, UsageError
from convdbn.images import ArrayImages
from convdbn.learning.greedy import train_greedily
from convdbn.visual import figures, projections

reader = pytest.importorskip(
    "tensorboard.backend.event_processing.event_accumulator",
    reason="tensorboard is not installed, so its curves are NOT tested: pip install tensorboard",
)
from convdbn.visual.tensorboard import TensorBoard  # noqa: E402 - only where there is one

# 12 -> 10 / 2 = 5 -> 4 / 2 = 2
TINY = {"filters": [4, 5], "kernel": [3, 2], "updates": [30, 20], "batch": 4, "held_out": 5, "log_every": 2}
STEPS = [[*range(1, 30, 2), 30], [*range(1, 20, 2), 20]]


@pytest.fixture
def pictures():
    return ArrayImages(torch.rand(8, 1, 12, 12, generator=torch.Generator().manual_seed(0)))


@pytest.fixture
def chosen(tmp_path):
    (tmp_path / "tiny.yaml").write_text("{}")
    return recipes.load(tmp_path / "tiny.yaml", **TINY)


def trained(chosen, pictures, folder, *, stop=lambda: False, resume=False):
    with TensorBoard(folder / "tensorboard", chosen) as watch:
        return train_greedily(
            chosen, pictures, held_out=pictures, folder=folder, callbacks=[watch], stop=stop, resume=resume
        )


def read(folder, layer):
    """What TensorBoard would show of a layer, all of it."""
    events = reader.EventAccumulator(str(folder / "tensorboard" / f"layer-{layer}"), size_guidance={"images": 0})
    return events.Reload()


def curves(folder, layer):
    events = read(folder, layer)
    return {tag: [(x.step, x.value) for x in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def test_every_metric_of_every_layer_is_a_curve(tmp_path, chosen, pictures):
    trained(chosen, pictures, tmp_path)
    with open(tmp_path / "metrics.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    for layer in (1, 2):
        of_layer = [row for row in rows if row["layer"] == str(layer)]
        assert [int(row["step"]) for row in of_layer] == STEPS[layer - 1]
        found = curves(tmp_path, layer)
        assert set(found) == {name for name, value in of_layer[0].items() if value} - {"layer", "step"}
        assert {"reconstruction_error", "free_energy_gap", "rate"} <= set(found)
        for name, curve in found.items():
            assert curve == [(int(row["step"]), pytest.approx(float(row[name]), rel=1e-6)) for row in of_layer]


def test_filters_at_the_start_every_tenth_and_the_end(tmp_path, chosen, pictures):
    model = trained(chosen, pictures, tmp_path)
    for layer, updates in ((1, 30), (2, 20)):
        drawn = read(tmp_path, layer).Images(f"filters of layer {layer}")
        steps = [image.step for image in drawn]
        tenths = [updates // 10 * tenth for tenth in range(1, 11)]
        assert steps == [1, *(min(s for s in STEPS[layer - 1] if s >= tenth) for tenth in tenths)]
        last = np.asarray(Image.open(io.BytesIO(drawn[-1].encoded_image_string)).convert("L"), dtype=float) / 255
        expected = figures.tiles(projections.linear_combination(model, layer)).nan_to_num(nan=1)[..., 0]
        np.testing.assert_allclose(last, expected.numpy(), atol=1 / 255)
        assert drawn[0].encoded_image_string != drawn[-1].encoded_image_string


def test_color_and_layers_trained_together(tmp_path, chosen):
    pictures = ArrayImages(torch.rand(8, 3, 12, 12, generator=torch.Generator().manual_seed(0)))
    joint = recipes.load(tmp_path / "tiny.yaml", **TINY | {"updates": 4}, joint=True)
    trained(joint, pictures, tmp_path)
    events = read(tmp_path, 1)
    assert events.Tags()["images"] == ["filters of layer 1", "filters of layer 2"]
    picture = Image.open(io.BytesIO(events.Images("filters of layer 2")[-1].encoded_image_string))
    assert picture.mode == "RGB"
    assert not (tmp_path / "tensorboard" / "layer-2").exists()


@pytest.mark.parametrize("stopped_at", [0, 1, 13, 30, 41])
def test_a_resumed_run_goes_on_in_the_same_curves(tmp_path, chosen, pictures, stopped_at):
    whole = trained(chosen, pictures, tmp_path / "whole")
    asked = itertools.count()
    with pytest.raises(Interrupted):
        trained(chosen, pictures, tmp_path / "halves", stop=lambda: next(asked) == stopped_at)
    halves = trained(chosen, pictures, tmp_path / "halves", resume=True)
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), halves.parameters(), strict=True))
    for layer in (1, 2):
        assert curves(tmp_path / "halves", layer) == curves(tmp_path / "whole", layer)
        images = [
            [
                (x.step, x.encoded_image_string)
                for x in read(tmp_path / run, layer).Images(f"filters of layer {layer}")
            ]
            for run in ("halves", "whole")
        ]
        assert images[0] == images[1]


def test_rows_after_the_last_save_are_replaced(tmp_path, chosen, pictures):
    """A run that is killed has written rows that the resumed one writes again."""
    trained(chosen, pictures, tmp_path)
    with TensorBoard(tmp_path / "tensorboard", chosen) as again:
        stack = convdbn.load(tmp_path)
        again(stack, 2, {"step": 7, "rate": 5.0})
        again(stack, 2, {"step": 9, "rate": 6.0})
    assert [step for step, _ in curves(tmp_path, 1)["rate"]] == STEPS[0]
    assert curves(tmp_path, 2)["rate"][-3:] == [(5, pytest.approx(0.01 * 0.8)), (7, 5.0), (9, 6.0)]


class TestVerb:
    @pytest.fixture
    def arguments(self, tmp_path, chosen):
        tiny = {name: value for name, value in TINY.items() if name != "updates"}
        return {"recipe": tmp_path / "tiny.yaml", "data": "digits", **tiny, "updates": 3, "pool": [2, 1]}

    def test_writes_beside_the_model_and_overwrites_its_own(self, tmp_path, arguments):
        run = tmp_path / "run"
        plain = convdbn.train(**arguments)
        for seed in (1, 0):
            model = convdbn.train(**arguments, output_dir=run, overwrite=True, tensorboard=True, seed=seed)
            (run / "tensorboard" / "mine.txt").write_text("mine")
        assert sorted(path.name for path in run.iterdir()) == ["metrics.csv", "model.safetensors", "tensorboard"]
        assert len(list(run.glob("tensorboard/layer-1/*"))) == 1
        assert (run / "tensorboard" / "mine.txt").exists()
        assert [step for step, _ in curves(run, 2)["rate"]] == [1, 3]
        assert all(torch.equal(a, b) for a, b in zip(plain.parameters(), model.parameters(), strict=True))
        convdbn.train(**arguments, output_dir=run, overwrite=True)
        assert not list(run.glob("tensorboard/layer-*/*")), "curves of a run that is gone"

    def test_as_a_flag(self, tmp_path, arguments):
        words = ["train", "--tensorboard", "--output-dir", str(tmp_path / "run")]
        for name, value in arguments.items():
            words += [f"--{name.replace('_', '-')}", str(value)]
        assert cli.main(words) == 0
        assert read(tmp_path / "run", 1).Tags()["images"] == ["filters of layer 1"]

    def test_needs_a_folder(self, arguments):
        with pytest.raises(UsageError, match="tensorboard=True: has no folder to write into; set output_dir"):
            convdbn.train(**arguments, tensorboard=True)

    def test_needs_tensorboard(self, tmp_path, arguments, monkeypatch):
        for name in [name for name in sys.modules if name.split(".")[0] == "tensorboard"]:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.setitem(sys.modules, "tensorboard", None)
        monkeypatch.delitem(sys.modules, "torch.utils.tensorboard")
        with pytest.raises(
            UsageError, match=r"tensorboard=True: tensorboard is not installed; pip install tensorboard"
        ):
            convdbn.train(**arguments, output_dir=tmp_path / "run", tensorboard=True)
        assert not (tmp_path / "run").exists()
