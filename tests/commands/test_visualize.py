"""What units mean in the space of pictures: every method draws what it says."""

import pytest
import torch
from titles import titles

import convdbn
from convdbn.errors import DataError
from convdbn.images import open_images
from convdbn.visual import figures, unit_figures

NAMES = {
    "linear": "linear combination of filters",
    "top-down": "top-down from the unit alone",
    "samples": "samples, unit on less unit off",
    "maximize": "maximized input",
    "patches": "best patches",
}


@pytest.mark.parametrize("method", ["linear", "top-down", "samples", "maximize", "patches"])
@pytest.mark.parametrize("side_by_side", [False, True])
def test_a_picture_for_each_unit(run, tmp_path, drawn, method, side_by_side):
    given = {"data": "digits", "split": "test", "count": 4} if method == "patches" else {}
    options = {"model": run, "method": method, "device": "cpu", **given}
    figure = convdbn.visualize(**options, output=tmp_path / "a.png", side_by_side=side_by_side)
    assert figure is drawn[0] and (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    assert titles(drawn[0]) == ["layer 1: 4 units", "layer 2: 5 units"]
    assert drawn[0]._suptitle.get_text() == f"{NAMES[method]}, in the pixels of pictures"
    boxes = [axis.get_position() for axis in drawn[0].axes]
    assert bool(boxes[1].x0 > boxes[0].x1) == side_by_side
    convdbn.visualize(**options, output=tmp_path / "b.png", layer=2, units=[3, 1])
    assert titles(drawn[1]) == ["layer 2: units 3, 1"]
    rows = [[text.get_text().strip() for text in axis.texts] for axis in drawn[0].axes]
    assert rows == ([["0", "2"], ["0", "3"]] if side_by_side else [["0"], ["0"]])
    assert [text.get_text().strip() for text in drawn[1].axes[0].texts] == ["3"]
    convdbn.visualize(**options, output=tmp_path / "c.png", units=3)
    assert titles(drawn[2]) == ["layer 1: unit 3", "layer 2: unit 3"]


def test_path_and_reconstruction_have_a_column_for_each_picture(run, tmp_path, drawn):
    options = {"model": run, "data": "digits", "device": "cpu", "count": 3}
    convdbn.visualize(**options, output=tmp_path / "a.png", method="reconstruction")
    assert [axis.get_ylabel() for axis in drawn[0].axes] == ["picture", "layer 1", "layer 2"]
    convdbn.visualize(**options, output=tmp_path / "b.png", method="path", layer=2, units=[4, 0])
    assert [axis.get_ylabel() for axis in drawn[1].axes] == ["picture", "layer 2, unit 4", "layer 2, unit 0"]
    picture = open_images("digits")[[1]][0, 0]
    shown = torch.as_tensor(drawn[1].axes[0].images[0].get_array())
    assert torch.equal(shown[:, 9:17], (255 * picture).round().byte())
    one = convdbn.visualize(**options, method="path", layer=2, units=4)
    assert [axis.get_ylabel() for axis in one.axes] == ["picture", "layer 2, unit 4"]
    convdbn.visualize(**options, output=tmp_path / "c.png", method="path")
    assert len(drawn[2].axes) == 1 + 4 + 5


def test_the_title_names_the_steps_of_the_transform(run):
    model = convdbn.load(run, device="cpu")
    steps = [{"kind": "pad", "size": 1}, {"kind": "local_contrast", "size": 3}]
    model.transform = convdbn.images.build_transform(steps)
    title = unit_figures.linear(model)._suptitle.get_text()
    assert title.endswith("in the space of pictures after pad, local_contrast")
    model.transform = convdbn.images.build_transform([])
    title = unit_figures.patches(model, open_images("digits").select(range(3)))._suptitle.get_text()
    assert title == "best patches, in the pixels of pictures"


def test_a_seed_fixes_the_samples(run, tmp_path):
    options = {"method": "samples", "layer": 1, "device": "cpu"}
    written = [convdbn.visualize(run, seed=seed, **options)._repr_png_() for seed in (0, 0, 1)]
    assert written[0] == written[1] != written[2]


@pytest.mark.parametrize("method", ["patches", "path", "reconstruction"])
@pytest.mark.parametrize("model", ["rbm500_mnist", "cdbn_mnist"])
def test_pictures_that_do_not_fit_the_model(model, method, tmp_path):
    layer = 2 if model == "cdbn_mnist" else 1  # 8x8 digits, padded to 12x12, are smaller than what layer 2 sees
    options = {"model": model, "method": method, "data": "digits", "layer": layer, "count": 2}
    options |= {} if method == "reconstruction" else {"units": [0]}
    with pytest.raises(DataError, match=r"images=.*: the model takes|do not fit filters"):
        convdbn.visualize(**options, output=tmp_path / "a.png", device="cpu")


def test_pictures_of_several_sizes(run, tmp_path):
    for index, side in enumerate((10, 12)):
        figures.save_frames([torch.zeros(side, 10, dtype=torch.uint8)], tmp_path / "p" / f"{index}.png", scale=1)
    options = {"model": run, "method": "reconstruction", "data": tmp_path / "p", "output": tmp_path / "a.png"}
    with pytest.raises(DataError, match="have several sizes; take pictures of one size, or put"):
        convdbn.visualize(**options)
    with pytest.raises(DataError, match="have several sizes"):
        convdbn.sample(model=run, data=tmp_path / "p", output=tmp_path / "s.png", count=2)
    assert convdbn.visualize(**options, count=1).axes


class TestVisualize:
    def test_writes_the_figure_that_it_returns(self, tmp_path, finished):
        for layer, count in ((None, 2), (1, 1), (2, 1)):
            figure = convdbn.visualize(finished, output=tmp_path / f"{layer}.png", layer=layer)
            assert len(figure.axes) == count
            assert (tmp_path / f"{layer}.png").read_bytes().startswith(b"\x89PNG")

    @pytest.mark.parametrize("layer", [0, 3, "all"])
    def test_layers_that_are_not_there(self, tmp_path, finished, layer):
        with pytest.raises(ValueError, match=f"layer={layer!r}: the model has layers 1 to 2"):
            convdbn.visualize(model=finished, output=tmp_path / "a.png", layer=layer)
        assert not (tmp_path / "a.png").exists()

    def test_fully_connected_layers(self, tmp_path, pictures, recipe):
        for name, kernel in (("above", [3, 0]), ("both", 0)):
            convdbn.train(recipe=recipe, data=pictures, output_dir=tmp_path / name, kernel=kernel)
            assert len(convdbn.visualize(tmp_path / name).axes) == 2
