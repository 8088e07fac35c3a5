"""How a model learned, responds and errs: every figure, and what commands that draw refuse."""

import inspect
from typing import get_args

import pytest
import torch
from titles import titles
from torch.nn import functional as F

import convdbn
from convdbn.commands.plot import Plot
from convdbn.commands.visualize import Method
from convdbn.errors import CheckpointError, DataError, UsageError
from convdbn.images import open_images
from convdbn.visual import figures

EXPECTED = {
    "curves": ["reconstruction error", "activation", "dead"],
    "weights": ["layer 1: 4 units", "layer 2: 5 units"],
    "updates": ["layer 1: 4 units", "layer 2: 5 units"],
    "activities": ["layer 1: 4 units", "layer 2: 5 units"],
    "cases": ["layer 1: 4 units", "layer 2: 5 units"],
}


@pytest.mark.parametrize("figure", EXPECTED)
def test_plots_of_a_run(run, tmp_path, drawn, figure):
    given = {} if figure in ("curves", "weights") else {"data": "digits", "count": 20}
    options = {"model": run, "figure": figure, "device": "cpu", **given}
    assert convdbn.plot(**options, output=tmp_path / "deep" / "a.png") is drawn[0]
    assert (tmp_path / "deep" / "a.png").read_bytes().startswith(b"\x89PNG")
    assert titles(drawn[0])[: len(EXPECTED[figure])] == EXPECTED[figure]
    convdbn.plot(**options, output=tmp_path / "b.png", layer=2)
    if figure == "curves":
        assert [line.get_label() for line in drawn[1].axes[0].lines] == ["layer 2"]
        assert len(drawn[0].axes[0].lines[0].get_xdata()) == 3
    else:
        assert titles(drawn[1])[0] == "layer 2: 5 units" and "layer 1: 4 units" not in titles(drawn[1])
    if figure == "cases":
        assert drawn[1].axes[0].images[0].get_array().shape == (20, 5)


def test_maps_over_the_pictures(run, tmp_path, drawn):
    options = {"model": run, "figure": "maps", "data": "digits", "device": "cpu", "count": 3}
    convdbn.plot(**options, output=tmp_path / "a.png")
    rows = [axis.get_ylabel() for axis in drawn[0].axes]
    assert rows[0] == "picture" and sorted(rows[1:6]) == [f"unit {n}" for n in range(5)]
    convdbn.plot(**options, output=tmp_path / "b.png", layer=1, units=2)
    assert [axis.get_ylabel() for axis in drawn[1].axes][:2] == ["picture", "unit 2"]


def test_chains_have_a_row_each_and_a_column_for_each_number_of_sweeps(run, tmp_path, drawn):
    options = {"model": run, "figure": "chains", "device": "cpu", "count": 3}
    convdbn.plot(**options, output=tmp_path / "a.png", sweeps=12)
    assert [axis.get_ylabel() for axis in drawn[0].axes] == ["chain 1", "chain 2", "chain 3"]
    above = drawn[0].axes[0]
    assert [label.get_text() for label in above.get_xticklabels()] == ["0", "1", "10", "12"]
    shown = above.images[0].get_array()
    assert shown.shape == (8, 4 * 9 - 1)  # 8 x 8 digits, lines between them
    assert above.get_xticks().tolist() == [3.5, 12.5, 21.5, 30.5]
    title = "chains from noise, after each number of sweeps, in the pixels of pictures"
    assert drawn[0].texts[0].get_text() == title
    convdbn.plot(**options, output=tmp_path / "b.png", sweeps=12, seed=1)
    assert (shown != drawn[1].axes[0].images[0].get_array()).any()
    begun = {"data": "digits", "split": "test", "sweeps": 1}
    convdbn.plot(**options, output=tmp_path / "c.png", **begun)
    assert "from digits" in drawn[2].texts[0].get_text()
    assert [label.get_text() for label in drawn[2].axes[0].get_xticklabels()] == ["0", "1"]


@pytest.mark.parametrize("model", ["rbm500_mnist", "crbm_mnist"])
def test_chains_that_begin_at_pictures_begin_near_them(tmp_path, drawn, model):
    """The first column is what comes back from the hidden layer of each picture."""
    digits = F.pad(open_images("digits")[range(4)], (6, 6, 6, 6)).repeat_interleave(2, 2).repeat_interleave(2, 3)
    pictures = (255 * digits[:, 0, 6:34, 6:34]).byte()
    for index, picture in enumerate(pictures):
        figures.save_frames([picture], tmp_path / "p" / f"{index}.png", scale=1)
    options = {"figure": "chains", "count": 9, "sweeps": 1, "data": tmp_path / "p", "device": "cpu"}
    convdbn.plot(model=model, output=tmp_path / "a.png", **options)
    first = [torch.as_tensor(axis.images[0].get_array())[:, :28] for axis in drawn[0].axes]
    errors = torch.cdist(torch.stack(first).flatten(1).float(), pictures.flatten(1).float())
    assert errors.argmin(1).tolist() == [0, 1, 2, 3]


def test_confusion_of_a_classifier(tuned, tmp_path, drawn):
    folder, error = tuned
    convdbn.plot(model=folder, figure="confusion", output=tmp_path / "a.png", data="digits", device="cpu")
    table = drawn[0].axes[0]
    counts = [int(text.get_text()) for text in table.texts]
    test = open_images("digits", split="test")
    assert sum(counts) == len(test)
    right = sum(int(t.get_text()) for t in table.texts if t.get_position()[0] == t.get_position()[1])
    assert 100 * (1 - right / len(test)) == pytest.approx(error)
    assert f"{error:.2f} %" in table.get_title(loc="left")


OPTIONS = {
    "layer": 1, "units": [0], "side_by_side": True, "data": "digits", "split": "test", "count": 3, "data_root": "x",
    "download": True, "seed": 3, "sweeps": 5,
}  # fmt: skip


PICTURES = {"data", "split", "count", "data_root", "download"}


UNUSED = {
    "linear": PICTURES | {"seed"},
    "top-down": PICTURES | {"seed"},
    "samples": PICTURES,
    "maximize": PICTURES,
    "patches": {"seed"},
    "path": {"seed", "side_by_side"},
    "reconstruction": {"side_by_side", "units"},
    "curves": PICTURES | {"units", "sweeps", "seed"},
    "weights": PICTURES | {"units", "sweeps", "seed"},
    "updates": {"units", "sweeps", "seed"},
    "activities": {"units", "sweeps", "seed"},
    "cases": {"units", "sweeps", "seed"},
    "maps": {"sweeps", "seed"},
    "chains": {"layer", "units"},
    "confusion": {"layer", "units", "split", "count", "sweeps", "seed"},
}


@pytest.mark.parametrize("kind", [*get_args(Method), *get_args(Plot)])
def test_options_of_no_use_are_refused_before_any_work(kind, tmp_path):
    """With values of their own; every other option is taken, and then the checkpoint is missed."""
    verb, name = ("visualize", "method") if kind in get_args(Method) else ("plot", "figure")
    options = {name: kind, "model": "nowhere", "output": tmp_path / "a.png"}
    known = inspect.signature(getattr(convdbn, verb)).parameters
    for option in UNUSED[kind]:
        with pytest.raises(UsageError, match=rf"{option}=.*: has no effect with {name}='{kind}'; leave it out"):
            getattr(convdbn, verb)(**options, **{option: OPTIONS[option]})
    used = {option: value for option, value in OPTIONS.items() if option in known and option not in UNUSED[kind]}
    with pytest.raises(CheckpointError, match="nowhere"):
        getattr(convdbn, verb)(**options, **used)


@pytest.mark.parametrize(
    ("verb", "options", "message"),
    [
        ("sample", {"output": "a.png", "frames": 3}, r"frames=3: has no effect with output='a\.png'; leave it out"),
        (
            "sample",
            {"output": "a.gif", "data_root": "x", "download": True},
            "data_root='x', download=True: has no effect",
        ),
        (
            "plot",
            {"output": "a.png", "figure": "chains", "split": "test"},
            "split='test': has no effect with data=None",
        ),
        ("likelihood", {"draws": 2}, "draws=2: is not an option of likelihood; choose from model, data"),
        ("label_error", {"nose": 0.1}, "nose=0.1: is not an option of label_error"),
        ("refine", {"method": "up-down", "distort": 1.0}, "distort=1.0: has no effect with method='up-down'"),
        ("refine", {"method": "autoencoder", "k": 5, "k_end": 9}, "k=5: has no effect with method='auto"),
    ],
)
def test_other_verbs_refuse_options_of_no_use(verb, options, message):
    with pytest.raises(UsageError, match=message):
        getattr(convdbn, verb)(model="nowhere", **({} if "output" in options else {"data": "digits"}), **options)


@pytest.mark.parametrize(
    ("verb", "options", "message"),
    [
        ("visualize", {"method": "deconvolution"}, "method='deconvolution': choose from linear, top-down"),
        ("visualize", {"method": "patches"}, "data=None: method='patches' needs pictures"),
        ("visualize", {"method": "reconstruction"}, "data=None: method='reconstruction' needs pictures"),
        (
            "visualize",
            {"method": "path", "data": "digits", "count": 0},
            "count=0: must be a whole number of at",
        ),
        ("visualize", {"units": [4], "layer": 1}, r"units=\[4\]: layer 1 has units 0 to 3"),
        ("visualize", {"layer": 3, "method": "top-down"}, "layer=3: the model has layers 1 to 2"),
        ("plot", {"figure": "pie"}, "figure='pie': choose from curves, weights"),
        ("plot", {"figure": "maps"}, "data=None: figure='maps' needs pictures"),
        ("plot", {"figure": "confusion"}, "data=None: figure='confusion' needs pictures"),
        (
            "plot",
            {"figure": "cases", "data": "digits", "count": -1},
            "count=-1: must be a whole number of at",
        ),
        ("plot", {"figure": "curves", "layer": 3}, "layer=3: the run has no metrics of it"),
        ("plot", {"figure": "weights", "layer": 3}, "layer=3: the model has layers 1 to 2"),
        ("plot", {"figure": "maps", "data": "digits", "layer": 0}, "layer=0: the model has layers 1 to 2"),
        ("plot", {"figure": "maps", "data": "digits", "units": [7]}, r"units=\[7\]: layer 2 has units 0 to 4"),
    ],
)
def test_what_is_refused(run, tmp_path, verb, options, message):
    with pytest.raises(ValueError, match=message):
        getattr(convdbn, verb)(model=run, output=tmp_path / "a.png", **options)
    assert not (tmp_path / "a.png").exists()


def test_curves_need_the_folder_of_a_run(run, tmp_path, monkeypatch):
    with pytest.raises(UsageError, match=r"model='rbm500_mnist': has no metrics; give a run folder"):
        convdbn.plot(model="rbm500_mnist", figure="curves", output=tmp_path / "a.png")
    monkeypatch.chdir(run)  # whose own metrics are not those of a name that is misspelt
    for checkpoint in ("typo", tmp_path):
        with pytest.raises(CheckpointError, match="no such"):
            convdbn.plot(model=checkpoint, figure="curves", output=tmp_path / "a.png")


def test_chains_do_not_begin_at_pictures_that_do_not_fit(tmp_path):
    options = {"model": "rbm500_mnist", "data": "digits", "count": 2, "output": tmp_path / "a.png"}
    for verb, more in (("sample", {}), ("plot", {"figure": "chains"})):
        with pytest.raises(DataError, match=r"images=\(2, 64\): the model takes \(batch, 784\)"):
            getattr(convdbn, verb)(**options, device="cpu", **more)


def test_updates_of_layers_that_were_trained_together_with_labels(tmp_path, drawn):
    convdbn.train(
        recipe="rbm", data="digits", output_dir=tmp_path / "run", filters=[6, 5], joint=True, labels=[False, True],
        updates=2, held_out=0, device="cpu",
    )  # fmt: skip
    options = {"model": tmp_path / "run", "figure": "updates", "data": "digits", "device": "cpu"}
    convdbn.plot(**options, output=tmp_path / "a.png")
    assert titles(drawn[0]) == ["layer 1: 6 units", "layer 2: 5 units"]


def test_confusion_of_a_connected_classifier_of_colors(tmp_path, drawn):
    for index in range(20):
        tint = torch.zeros(6, 6, 3, dtype=torch.uint8)
        tint[..., index % 2] = 200
        figures.save_frames([tint], tmp_path / "p" / f"class{index % 2}" / f"{index}.png", scale=1)
    data = {"data": tmp_path / "p", "device": "cpu"}
    convdbn.train(
        recipe="rbm", output_dir=tmp_path / "run", color=True, filters=4, updates=2, batch=4, held_out=0, **data
    )
    convdbn.finetune(model=tmp_path / "run", output_dir=tmp_path / "tuned", epochs=1, distort=0, held_out=0, **data)
    convdbn.plot(model=tmp_path / "tuned", figure="confusion", output=tmp_path / "a.png", **data)
    assert sum(int(text.get_text()) for text in drawn[0].axes[0].texts) == 4


def test_a_classifier_of_other_classes(tuned, tmp_path):
    pictures = tmp_path / "pictures"
    for name in ("cat", "dog"):
        (pictures / name).mkdir(parents=True)
        for index in range(5):
            figures.save_frames([torch.zeros(8, 8, dtype=torch.uint8)], pictures / name / f"{index}.png", scale=1)
    with pytest.raises(UsageError, match=r"has the classes \['cat', 'dog'\], but the classifier"):
        convdbn.plot(model=tuned[0], figure="confusion", output=tmp_path / "a.png", data=pictures)


def test_a_classifier_is_no_model_nor_the_reverse(run, tuned, tmp_path):
    """In a folder or as a file, and whatever is done with it."""
    output, data = tmp_path / "a.png", {"data": "digits", "device": "cpu"}
    for path in (tuned[0], tuned[0] / "classifier.safetensors"):
        for wanted in (
            lambda path=path: convdbn.load(path),
            lambda path=path: convdbn.visualize(model=path, output=output),
            lambda path=path: convdbn.report(path),
            lambda path=path: convdbn.finetune(model=path, **data),
        ):
            with pytest.raises(CheckpointError, match="holds a classifier, not a model; name the model that it was"):
                wanted()
    for path in (run, run / "model.safetensors"):
        for wanted in (
            lambda path=path: convdbn.load_classifier(path),
            lambda path=path: convdbn.plot(model=path, figure="confusion", output=output, **data),
        ):
            with pytest.raises(CheckpointError, match="holds a model, not a classifier; make one of it with"):
                wanted()
    assert convdbn.inspect(tuned[0])["finetuned"]["model"] == str(run)


def test_a_model_that_resizes_takes_pictures_of_several_sizes(tmp_path):
    for index, side in enumerate((40, 50)):
        figures.save_frames([torch.zeros(side, 40, dtype=torch.uint8)], tmp_path / "p" / f"{index}.png", scale=1)
    options = {"model": "crbm_faces", "data": tmp_path / "p", "count": 2, "device": "cpu"}
    for method in ("path", "reconstruction"):
        assert len(convdbn.visualize(method=method, **options).axes) > 1
    assert len(convdbn.plot(figure="maps", **options).axes) > 1
    assert len(convdbn.plot(figure="chains", sweeps=1, **options).axes) > 1
    assert convdbn.sample(sweeps=1, output=tmp_path / "s.png", **options).exists()
