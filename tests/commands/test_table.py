"""Every command takes every kind of model and every kind of pictures, with the same result bit for bit."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, TensorDataset

import convdbn
from convdbn.errors import UsageError

COUNT, SIDE = 40, 12
TRAINING = {"recipe": "rbm", "filters": [6], "updates": 3, "batch": 8, "held_out": 4, "device": "cpu"}
FINE = {"epochs": 1, "batch": 8, "distort": 0, "grid": 1}


@pytest.fixture(scope="module")
def pixels():
    """Bytes `(N, h, w)` of two classes, dark and bright, one after the other."""
    random = np.random.default_rng(0)
    dark, bright = (random.integers(low, low + 128, (COUNT // 2, SIDE, SIDE), np.uint8) for low in (0, 127))
    return np.concatenate([dark, bright])


@pytest.fixture(scope="module")
def labels():
    return np.repeat([0, 1], COUNT // 2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, pixels, labels):
    """The same pictures as files, in a folder for each class."""
    root = tmp_path_factory.mktemp("pictures")
    for index, (picture, label) in enumerate(zip(pixels, labels, strict=True)):
        path = root / str(label) / f"{index:02}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(picture).save(path)
    return root


SOURCES = {
    "path": lambda folder, pixels, labels: folder,
    "array (N, h, w)": lambda folder, pixels, labels: (pixels, labels),
    "array (N, h, w, c)": lambda folder, pixels, labels: (pixels[..., None], labels),
    "array (N, c, h, w)": lambda folder, pixels, labels: (pixels[:, None], labels),
    "tensor": lambda folder, pixels, labels: (torch.from_numpy(pixels), torch.from_numpy(labels)),
    "Dataset": lambda folder, pixels, labels: items(pixels, labels),
    "DataLoader": lambda folder, pixels, labels: DataLoader(items(pixels, labels), batch_size=3, shuffle=True),
    "Images": lambda folder, pixels, labels: convdbn.as_images(pixels, labels),
}


def items(pixels, labels):
    """The pictures as a torch Dataset."""
    return TensorDataset(torch.from_numpy(pixels)[:, None], torch.from_numpy(labels))


@pytest.fixture(scope="module")
def trained(tmp_path_factory, folder):
    """A run on the folder, with label units, and a classifier made of it."""
    run = tmp_path_factory.mktemp("run")
    convdbn.train(folder, output_dir=run, labels=True, **TRAINING)
    tuned = tmp_path_factory.mktemp("tuned")
    convdbn.finetune(run, folder, output_dir=tuned, device="cpu", **FINE)
    return run, tuned


def _pixels_of(figure):
    """What a figure draws, without what it says of the data's name."""
    return [np.asarray(image.get_array()) for axis in figure.axes for image in axis.images] + [
        np.asarray([bar.get_height() for bar in axis.patches]) for axis in figure.axes
    ]


COMMANDS = {
    "train": lambda run, data, out: convdbn.train(data, **TRAINING).state_dict(),
    "features": lambda run, data, out: convdbn.features(run, data, device="cpu"),
    "evaluate": lambda run, data, out: convdbn.evaluate(run, data, labels=8, grid=1, draws=1, classifier="ridge"),
    "likelihood": lambda run, data, out: convdbn.likelihood(run, data),
    "reconstruction": lambda run, data, out: convdbn.reconstruction(run, data),
    "label_error": lambda run, data, out: convdbn.label_error(run, data),
    "finetune": lambda run, data, out: convdbn.finetune(run, data, device="cpu", **FINE),
    "refine": lambda run, data, out: convdbn.refine(run, data, method="up-down", epochs=1, batch=8).state_dict(),
    "visualize": lambda run, data, out: _pixels_of(convdbn.visualize(run, data, method="path", units=[0], count=3)),
    "plot": lambda run, data, out: _pixels_of(convdbn.plot(run, data, figure="activities")),
    "report": lambda run, data, out: convdbn.report(run, data, output=out / "r.html", count=20)["pictures"],
    "sample": lambda run, data, out: convdbn.sample(run, data, output=out / "s.png", count=4, sweeps=1).read_bytes(),
    "complete": lambda run, data, out: convdbn.complete(run, data, count=2, sweeps=4),
}
WITHOUT_LABELS = ("reconstruction", "likelihood", "complete")
"""Commands whose model has no label units."""


def same(one, other):
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[name], other[name]) for name in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, np.ndarray | torch.Tensor):
        return np.array_equal(np.asarray(one), np.asarray(other))
    return one == other


@pytest.fixture(scope="module")
def plain(tmp_path_factory, folder):
    """A run without label units."""
    run = tmp_path_factory.mktemp("plain")
    convdbn.train(folder, output_dir=run, **TRAINING)
    return run


@pytest.mark.parametrize("name", COMMANDS)
def test_every_kind_of_pictures_and_of_model(name, trained, plain, folder, pixels, labels, tmp_path):
    run = plain if name in WITHOUT_LABELS else trained[0]
    expected = COMMANDS[name](run, folder, tmp_path)
    for kind, source in SOURCES.items():
        assert same(COMMANDS[name](run, source(folder, pixels, labels), tmp_path), expected), kind
    if name != "train":
        before = convdbn.load(run, device="cpu")
        held = convdbn.load(run, device="cpu")
        assert same(COMMANDS[name](held, folder, tmp_path), expected), "object"
        assert same(held.state_dict(), before.state_dict()), "the model that was handed in is as it was"
        assert same(COMMANDS[name](str(run), folder, tmp_path), expected), "path as text"


def test_models_by_name_and_as_objects_without_pictures(pixels):
    model = convdbn.create_model("rbm500_mnist", device="cpu")
    by_name, by_object = convdbn.inspect("rbm500_mnist"), convdbn.inspect(model)
    assert by_object.items() <= by_name.items()
    options = {"units": [0, 1], "device": "cpu"}
    assert same(
        _pixels_of(convdbn.visualize("rbm500_mnist", **options)), _pixels_of(convdbn.visualize(model, **options))
    )
    large = np.repeat(np.repeat(pixels, 2, 1), 2, 2)[:, :28, :28]
    padded = np.pad(large, ((0, 0), (2, 2), (2, 2)))[:, :28, :28]
    assert same(*(convdbn.features(each, padded, device="cpu") for each in ("rbm500_mnist", model)))


def test_a_classifier_in_memory(trained, folder, pixels, labels):
    options = {"figure": "confusion", "device": "cpu"}
    network = convdbn.load_classifier(trained[1], device="cpu")
    expected = _pixels_of(convdbn.plot(trained[1], folder, **options))
    assert same(_pixels_of(convdbn.plot(network, folder, **options)), expected)
    assert convdbn.inspect(network)["classes"] == ["0", "1"]


def test_colors_in_memory_become_gray_as_those_of_files_do(trained, folder, pixels):
    colored = np.repeat(pixels[..., None], 3, 3)
    assert same(convdbn.features(trained[0], colored), convdbn.features(trained[0], pixels))


def test_what_a_run_remembers_of_pictures_in_memory(tmp_path, pixels, caplog):
    convdbn.train(pixels, output_dir=tmp_path, **TRAINING)
    data = convdbn.inspect(tmp_path)["data"]
    assert data["pictures"] == COUNT and set(data) == {"data", "pictures"}
    convdbn.train(pixels, output_dir=tmp_path, resume=True, **TRAINING)
    with pytest.raises(UsageError, match="resume=True: pictures differ from the run"):
        convdbn.train(pixels[:32], output_dir=tmp_path, resume=True, **TRAINING)
    assert convdbn.report(tmp_path, device="cpu")["pictures"] == 0
    assert "report without pictures: data=None: the training pictures are not in a file; pass" in caplog.text


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: convdbn.features("cdbn_mnist", dta="digits"),
            "dta='digits': is not an option of features; did you mean data?",
        ),
        (lambda: convdbn.features("cdbn_mnist"), "data: is missing; features needs"),
        (lambda: convdbn.features(3, "digits"), "model=int: pass the name"),
        (lambda: convdbn.train("digits", filers=3), "filers=3: no such setting; did you mean filters?"),
        (lambda: convdbn.finetune("cdbn_mnist", "digits", epoch=3), "epoch=3: no such setting; did you mean epochs?"),
        (lambda: convdbn.evaluate("cdbn_mnist", "digits", 1000), "evaluate: takes model and data by position"),
        (lambda: convdbn.report(convdbn.create_model("rbm500_mnist")), "output=None: a model in memory"),
        (
            lambda: convdbn.features("cdbn_mnist", np.zeros((2, 28, 28)), data_root="x"),
            "data_root='x': has no effect",
        ),
        (lambda: convdbn.evaluate("cdbn_mnist", "digits", layers="one"), "layers='one': is neither a whole number"),
    ],
)
def test_wrong_calls_are_told_what_to_do(call, message):
    with pytest.raises(UsageError, match=message.replace("?", r"\?")):
        call()
