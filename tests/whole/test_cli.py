"""The command line: results on stdout, the log on stderr, and an exit code for each kind of thing that goes wrong."""

import json
import logging
import os
import re
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from running import interrupted, stop_after
from safetensors.torch import save_file

import convdbn
from convdbn import cli
from convdbn.images import open_images

# 12 -> 10 / 2 = 5 -> 4 / 2 = 2
TINY = {"filters": [4, 5], "kernel": [3, 2], "pool": 2, "updates": 6, "batch": 4, "held_out": 0, "log_every": 2}


def save_pictures(folder, count=8, size=(12, 12), broken=()):
    generator = np.random.default_rng(0)
    for i in range(count):
        path = folder / ("a" if i < count // 2 else "b") / f"{i:03d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(generator.integers(0, 256, size, dtype=np.uint8)).save(path)
        if i in broken:
            path.write_bytes(path.read_bytes()[:60])
    return folder


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """Pictures of many kinds, a recipe and a finished run, made once; tests work on copies of the run."""
    root = tmp_path_factory.mktemp("shared")
    save_pictures(root / "pictures")
    save_pictures(root / "first-broken", broken=[0])
    save_pictures(root / "last-broken", broken=[7])
    save_pictures(root / "odd", size=(13, 12))
    save_pictures(root / "small", size=(2, 2))
    save_pictures(root / "mixed", count=4)
    save_pictures(root / "mixed" / "b", count=4, size=(12, 16))
    (root / "empty").mkdir()
    (root / "tiny.yaml").write_text(yaml.safe_dump(TINY))
    (root / "broken.yaml").write_text("filters: [4")
    (root / "file").write_text("in the way")
    convdbn.train(recipe=root / "tiny.yaml", data=root / "pictures", output_dir=root / "finished")
    return root


@pytest.fixture
def place(shared, tmp_path, monkeypatch):
    """A folder of one's own to work in, beside copies of what is shared."""
    for path in shared.iterdir():
        (shutil.copytree if path.is_dir() else shutil.copy)(path, tmp_path / path.name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def convdbn_(capsys, caplog):
    """Runs a command in this process; its exit code, stdout, and what went to the log or to stderr."""

    def run(*arguments):
        caplog.clear()
        capsys.readouterr()
        with caplog.at_level(logging.INFO):
            try:
                code = cli.main([str(argument) for argument in arguments])
            except SystemExit as stop:
                code = stop.code
        out, err = capsys.readouterr()
        return code or 0, out, err + caplog.text

    return run


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def train(data="pictures", recipe="tiny.yaml", output="run", *options):
    return ["train", "--recipe", recipe, "--data", data, "--output-dir", output, *options]


class TestVerbs:
    def test_train(self, place, convdbn_):
        code, out, err = convdbn_(*train(), "--json")
        assert code == 0
        result = json.loads(out)
        assert result["finished"] is True
        assert [layer["channels"] for layer in result["layers"]] == [4, 5]
        assert "layer 1" in err and "layer 2" in err
        assert sorted(contents(place / "run")) == ["metrics.csv", "model.safetensors"]

    def test_the_result_is_yaml_without_json(self, place, convdbn_):
        code, out, _ = convdbn_(*train())
        assert code == 0
        assert yaml.safe_load(out)["finished"] is True
        assert yaml.safe_load(out) == json.loads(convdbn_("inspect", "run", "--json")[1])

    def test_options_override_the_recipe(self, place, convdbn_):
        options = [
            "--filters",
            "[3, 6]",
            "--rate",
            "1e-3",
            "--noise-free",
            "true",
            "--seed",
            "7",
            "--kernel",
            "[5, 1]",
        ]
        code, out, _ = convdbn_(*train(), *options, "--json")
        assert code == 0
        recipe = json.loads(out)["recipe"]
        assert [layer["filters"] for layer in recipe["layers"]] == [3, 6]
        assert [layer["kernel"] for layer in recipe["layers"]] == [5, 1]
        assert [layer["rate"] for layer in recipe["layers"]] == [0.001] * 2
        assert [layer["noise_free"] for layer in recipe["layers"]] == [True] * 2
        assert recipe["seed"] == 7
        assert [layer["updates"] for layer in recipe["layers"]] == [6, 6]

    def test_a_transform_as_an_option(self, place, convdbn_):
        code, out, _ = convdbn_(*train(), "--transform", '[{"kind": "pad", "size": 2}]', "--json")
        assert code == 0
        assert json.loads(out)["transform"] == [{"kind": "pad", "size": 2, "mode": "constant"}]
        assert json.loads(out)["picture"] == [1, 16, 16]

    def test_every_field_of_a_recipe_is_an_option(self, convdbn_):
        from convdbn import recipes

        _, out, _ = convdbn_("train", "--help")
        for option in recipes.options():
            assert f"--{option.name.replace('_', '-')} " in out

    @pytest.mark.parametrize(
        ("verb", "option", "default"),
        [
            ("finetune", "--epochs", "Default: 60."),
            ("finetune", "--mirror", "Default: false."),
            ("refine", "--k-end", "Default: 10."),
            ("train", "--filters", "Default: that of the recipe, or 64."),
            ("train", "--held-out", "Default: that of the recipe, or 200."),
        ],
    )
    def test_the_help_has_the_defaults_of_settings(self, convdbn_, verb, option, default):
        _, out, _ = convdbn_(verb, "--help")
        text = " ".join(out.partition("settings, ")[2].partition(f"  {option} ")[2].split())
        assert default in text.partition("(type: ")[0]
        assert "default: null" not in out.partition("settings, ")[2]

    def test_features(self, place, convdbn_):
        arguments = ["finished", "--data", "pictures", "--layer", "2", "--output", "deep/maps.npz"]
        code, out, _ = convdbn_("features", *arguments, "--json")
        assert code == 0
        assert json.loads(out) == {"output": "deep/maps.npz", "shape": [8, 5, 2, 2]}
        with np.load("deep/maps.npz", allow_pickle=False) as saved:
            assert saved["features"].shape == (8, 5, 2, 2)
            assert saved["labels"].tolist() == [0, 0, 0, 0, 1, 1, 1, 1]
            expected = convdbn.load("finished").features(
                torch.stack(convdbn.images.open_images(place / "pictures")[range(8)])
            )
            np.testing.assert_allclose(saved["features"], expected[1].numpy(), rtol=1e-4, atol=1e-5)

    def test_features_of_a_size_that_does_not_divide(self, place, convdbn_):
        arguments = ["features", "finished", "--data", "odd", "--layer", "1", "--output", "maps.npz"]
        code, out, err = convdbn_(*arguments)
        assert (code, out) == (3, "")
        assert "13x12" in err and "12 or 14" in err and not (place / "maps.npz").exists()
        code, out, _ = convdbn_(*arguments, "--trim", "--json")
        assert code == 0 and json.loads(out)["shape"] == [8, 4, 5, 5]

    def test_visualize(self, place, convdbn_):
        code, out, _ = convdbn_("visualize", "finished", "--output", "deep/filters.png", "--json")
        assert code == 0
        assert json.loads(out) == {"output": "deep/filters.png"}
        assert (place / "deep" / "filters.png").read_bytes().startswith(b"\x89PNG")
        code, _, _ = convdbn_("visualize", "finished", "--output", "2.pdf", "--layer", "2")
        assert code == 0 and (place / "2.pdf").read_bytes().startswith(b"%PDF")
        words = ["--method", "patches", "--units", "[0, 3]", "--data", "pictures", "--count", "4", "--side-by-side"]
        assert convdbn_("visualize", "finished", "--output", "best.png", *words)[0] == 0
        assert (place / "best.png").read_bytes().startswith(b"\x89PNG")

    def test_plot(self, place, convdbn_):
        words = ["plot", "finished", "--json", "--output", "a.svg", "--figure"]
        code, out, _ = convdbn_(*words, "curves")
        assert code == 0 and json.loads(out) == {"output": "a.svg"}
        assert "reconstruction error" in (place / "a.svg").read_text()
        assert convdbn_(*words, "maps", "--data", "pictures", "--layer", "1", "--units", "[2]")[0] == 0
        assert convdbn_("visualize", "finished", "--output", "one.png", "--units", "3")[0] == 0

    def test_sample(self, place, convdbn_):
        words = ["sample", "finished", "--count", "4", "--sweeps", "2"]
        code, out, _ = convdbn_(*words, "--output", "drawn.gif", "--frames", "3", "--json")
        assert code == 0 and json.loads(out) == {"output": "drawn.gif"}
        with Image.open(place / "drawn.gif") as film:
            assert film.n_frames == 3 and film.size == (
                50,
                50,
            )  # 2 x 2 pictures of 12x12, a line between, twice as wide
        assert convdbn_(*words, "--output", "drawn.png", "--data", "pictures")[0] == 0
        assert (place / "drawn.png").is_file()
        code, _, err = convdbn_("sample", "finished", "--output", "x.png", "--count", "0")
        assert code == 2 and "count=0: must be a whole number of at least 1" in err

    def test_sample_of_a_class_and_of_all(self, place, convdbn_):
        top = {"kernel": 0, "filters": [6], "labels": True, "updates": 3, "batch": 4, "held_out": 0}
        convdbn.train(recipe="rbm", data=place / "pictures", output_dir=place / "labeled", **top)
        words = ["sample", "labeled", "--sweeps", "2"]
        side = 13  # of a picture and the line beside it, each pixel of which is two wide
        for output, label, rows, columns in [
            ("one.png", "1", 8, 8),
            ("all.png", "all", 2, 10),
            ("all.gif", "all", 2, 3),
        ]:
            count = ["--count", columns, "--frames", "3"] if output == "all.gif" else []
            assert convdbn_(*words, "--output", output, "--label", label, *count)[0] == 0
            with Image.open(place / output) as picture:
                assert picture.size == (2 * (columns * side - 1), 2 * (rows * side - 1))
                assert getattr(picture, "n_frames", 1) == (3 if output == "all.gif" else 1)
        begun = ["--label", "all", "--data", "pictures", "--count", "2"]
        assert convdbn_(*words, "--output", "begun.png", *begun)[0] == 0
        code, _, err = convdbn_(*words, "--output", "x.png", "--label", "2")
        assert code == 2 and "label=2: the model has labels 0 to 1" in err
        code, _, err = convdbn_(*words, "--output", "x.png", "--label", "seven")
        assert code == 2 and "label" in err
        words[1] = "finished"
        code, _, err = convdbn_(*words, "--output", "x.png", "--label", "all")
        assert code == 2 and "label='all': the model has no label units" in err and not (place / "x.png").exists()

    @pytest.mark.parametrize("path", ["finished", "finished/model.safetensors"])
    def test_inspect(self, place, convdbn_, path):
        code, out, _ = convdbn_("inspect", path, "--json")
        assert code == 0
        result = json.loads(out)
        assert result["finished"] is True and result["picture"] == [1, 12, 12]
        assert {"layers", "transform", "recipe", "data", "progress", "parameters"} <= set(result)

    @pytest.mark.parametrize("verb", ["demo", "train", "features", "visualize", "plot", "sample", "inspect"])
    def test_help(self, convdbn_, verb):
        code, out, _ = convdbn_(verb, "--help")
        assert code == 0
        assert "--json" in out
        code, out, _ = convdbn_("--help")
        assert code == 0 and re.search(rf"^ +{verb} +\w+", out, re.MULTILINE)

    def test_version(self, convdbn_):
        code, out, _ = convdbn_("--version")
        assert code == 0 and convdbn.__version__ in out


class TestExistingRuns:
    def test_are_refused_and_stand(self, place, convdbn_):
        before = contents(place / "finished")
        code, out, err = convdbn_(*train(output="finished"))
        assert (code, out) == (2, "")
        assert "holds a run already" in err and "--overwrite" in err and "--resume" in err
        assert contents(place / "finished") == before

    def test_are_replaced_when_asked(self, place, convdbn_):
        before = contents(place / "finished")
        code, _, _ = convdbn_(*train(output="finished"), "--overwrite", "--seed", "5")
        assert code == 0 and contents(place / "finished") != before

    def test_go_on_with_resume(self, place, convdbn_):
        before = contents(place / "finished")
        code, out, _ = convdbn_(*train(data=str(self.data(place)), output="finished"), "--resume", "--json")
        assert code == 0 and json.loads(out)["finished"] is True
        assert contents(place / "finished")["model.safetensors"] == before["model.safetensors"]

    @staticmethod
    def data(place):
        """The data that the run was trained on, under the name it was given then."""
        return convdbn.inspect(place / "finished")["data"]["data"]


WRONG_TRAINING = {
    # what: (exit code, what the message says, arguments)
    "unknown recipe": (2, "recipe='nowhere'.*mnist", train(recipe="nowhere")),
    "recipe that is not YAML": (2, "broken.yaml': is not YAML", train(recipe="broken.yaml")),
    "recipe that is a folder": (2, "recipe='empty'", train(recipe="empty")),
    "value out of range": (2, "batch=0: must be at least 1", [*train(), "--batch", "0"]),
    "list of the wrong length": (2, r"rate=\[1.*: is not as long as `filters`", [*train(), "--rate", "[1, 2, 3]"]),
    "value of the wrong type": (2, "batch", [*train(), "--batch", "many"]),
    "unknown choice": (2, "optimizer", [*train(), "--optimizer", "lbfgs"]),
    "unknown option": (2, "passes", [*train(), "--passes", "3"]),
    "unknown transform": (2, "blur", [*train(), "--transform", '[{"kind": "blur"}]']),
    "transform with a wrong value": (2, "size=-4", [*train(), "--transform", '[{"kind": "pad", "size": -4}]']),
    "unknown device": (2, "device='gpu'", [*train(), "--device", "gpu"]),
    "rows of metrics never": (2, "log_every", [*train(), "--log-every", "0"]),
    "negative seed": (2, "seed", [*train(), "--seed", "-1"]),
    "other options with resume": (2, "layers, data differ from the run", [*train(), "--resume", "--batch", "3"]),
    "no such data": (3, "data='nowhere': is neither a folder .*digits, photos", train(data="nowhere")),
    "data that is a file": (3, "'file': is neither a folder", train(data="file")),
    "empty folder": (3, "folder='empty': has no pictures", train(data="empty")),
    "first picture unreadable": (3, "000.png': cannot be read as a picture", train(data="first-broken")),
    "last picture unreadable": (3, "007.png': cannot be read as a picture", train(data="last-broken")),
    "data without a root": (3, "data_root.*--data-root", train(data="mnist")),
    "data that is not under its root": (3, "--download", [*train(data="mnist"), "--data-root", "empty"]),
    "sizes that do not divide": (3, "13x12.*nearest legal heights 12 or 16", train(data="odd")),
    "pictures smaller than the filter": (3, "2x2.*nearest legal heights 8", train(data="small")),
    "several sizes": (3, "have several sizes", train(data="mixed")),
    "crop larger than the pictures": (3, "crop.*16", [*train(), "--crop", "[16, 0]"]),
    "values that the units do not take": (3, r"\[0, 1\]", [*train(), "--transform", '[{"kind": "whiten"}]']),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG_TRAINING)
@pytest.mark.parametrize("overwrite", [False, True], ids=["new", "overwrite"])
def test_wrong_training_has_its_exit_code_and_loses_nothing(place, convdbn_, what, overwrite):
    """The message says what and where; stdout stays empty; a run in the output folder stands as it was."""
    expected, message, arguments = WRONG_TRAINING[what]
    if overwrite or "--resume" in arguments:
        shutil.copytree("finished", "run")
    before = contents(place)
    code, out, err = convdbn_(*arguments, *(["--overwrite"] if overwrite and "--resume" not in arguments else []))
    assert code == expected, err
    assert out == ""
    assert re.search(message, err, re.DOTALL), err
    assert "Traceback" not in err
    after = contents(place)
    new = {name for name in after if name not in before}
    assert {name: after[name] for name in before} == before
    assert new <= {"run/metrics.csv"}


@pytest.mark.parametrize("missing", ["--data", "--output-dir"])
def test_required_options(place, convdbn_, missing):
    arguments = train()
    where = arguments.index(missing)
    code, out, err = convdbn_(*arguments[:where], *arguments[where + 2 :])
    assert (code, out) == (2, "") and missing.removeprefix("--").replace("-", "_") in err.replace("-", "_")


@pytest.mark.parametrize("arguments", [[], ["fit"], ["inspect"], ["features", "--data", "digits"], ["--nothing"]])
def test_commands_that_are_none(convdbn_, arguments):
    code, out, err = convdbn_(*arguments)
    assert code == 2 and out == "" and err


def test_an_output_folder_that_is_a_file(place, convdbn_):
    code, out, err = convdbn_(*train(output="file"))
    assert (code, out) == (2, "")
    assert "file" in err and "Traceback" not in err
    assert (place / "file").read_text() == "in the way"


READERS = {
    "features": lambda path: ["features", path, "--data", "pictures", "--output", "maps.npz"],
    "visualize": lambda path: ["visualize", path, "--output", "filters.png"],
    "inspect": lambda path: ["inspect", path],
    "train": lambda path: [*train(output=path), "--resume"],
}


BROKEN = ["truncated", "no bytes", "not safetensors", "not ours", "newer"]


# Resuming where nothing is begins a run; every other verb needs its checkpoint.
@pytest.mark.parametrize(
    ("verb", "kind"),
    [*((verb, kind) for verb in READERS for kind in BROKEN), *((verb, "missing") for verb in list(READERS)[:3])],
)
def test_broken_checkpoints(place, convdbn_, verb, kind):
    (place / "broken").mkdir()
    path = place / "broken" / "model.safetensors"
    whole = (place / "finished" / "model.safetensors").read_bytes()
    if kind == "truncated":
        path.write_bytes(whole[: len(whole) // 2])
    elif kind == "no bytes":
        path.write_bytes(b"")
    elif kind == "not safetensors":
        path.write_bytes(b"PK\x03\x04" + bytes(100))
    elif kind == "not ours":
        save_file({"a": torch.ones(2)}, path, {"format": "pt"})
    elif kind == "newer":
        save_file({"a": torch.ones(2)}, path, {"convdbn": '{"format": 999}'})
    before = contents(place)
    code, out, err = convdbn_(*READERS[verb]("broken"))
    assert (code, out) == (4, ""), err
    assert "model='broken" in err and "Traceback" not in err
    assert contents(place) == before


@pytest.mark.parametrize("layer", ["0", "3", "-1"])
@pytest.mark.parametrize("verb", ["features", "visualize"])
def test_layers_that_are_not_there(place, convdbn_, verb, layer):
    before = contents(place)
    code, out, err = convdbn_(*READERS[verb]("finished"), "--layer", layer)
    assert (code, out) == (2, "")
    assert f"layer={layer}: the model has layers 1 to 2" in err
    assert contents(place) == before


@pytest.mark.parametrize(
    ("arguments", "expected", "message"),
    [
        (
            [*READERS["features"]("finished")[:2], "--data", "empty", "--output", "m.npz"],
            3,
            "folder='empty': has no pictures",
        ),
        ([*READERS["features"]("finished")[:2], "--data", "last-broken", "--output", "m.npz"], 3, "007.png"),
        ([*READERS["features"]("finished")[:2], "--data", "mixed", "--output", "m.npz"], 3, "several sizes|12x16"),
        ([*READERS["features"]("finished")[:2], "--data", "small", "--output", "m.npz"], 3, "2x2"),
        ([*READERS["features"]("finished"), "--split", "valid"], 2, "split"),
        ([*READERS["features"]("finished"), "--device", "gpu"], 2, "device='gpu'"),
        ([*READERS["visualize"]("finished"), "--method", "deconv"], 2, "method"),
        ([*READERS["visualize"]("finished"), "--method", "path"], 2, "data=None: method='path' needs pictures"),
        ([*READERS["visualize"]("finished"), "--units", "[9]"], 2, r"units=\[9\]: layer 1 has units 0 to 3"),
        (
            ["plot", "finished", "--figure", "pie", "--output", "a.png"],
            2,
            "figure='pie': choose from",
        ),
    ],
)
def test_wrong_reading(place, convdbn_, arguments, expected, message):
    before = contents(place)
    code, out, err = convdbn_(*arguments)
    assert (code, out) == (expected, ""), err
    assert re.search(message, err) and "Traceback" not in err
    assert contents(place) == before


WRITERS = {
    "features": (["--data", "pictures"], ".npz"),
    "visualize": ([], ".png or .pdf or .svg"),
    "plot": (["--figure", "weights"], ".png or .pdf or .svg"),
    "sample": ([], ".png or .gif"),
    "complete": (["--data", "pictures"], ".png or .pdf or .svg"),
}


@pytest.mark.parametrize("verb", WRITERS)
def test_a_file_that_cannot_be_written_is_refused_before_any_work(place, convdbn_, verb):
    """Even before a checkpoint that is not there is missed."""
    options, suffixes = WRITERS[verb]
    words = [verb, "nowhere", *options, "--output"]
    for name in ("a.xyz", "a", "a.png.txt"):
        code, out, err = convdbn_(*words, name)
        assert (code, out) == (2, "")
        assert f"output='{name}': name a file that ends in {suffixes}" in err
    suffix = suffixes.split()[0]
    code, out, err = convdbn_(*words, f"file/deep/a{suffix}")
    assert (code, out) == (2, "")
    assert f"output='file/deep/a{suffix}': 'file' is not a writable folder; name another" in err
    assert convdbn_(*words, f"new/deep/a{suffix.upper()}")[0] == 4 and not (place / "new").exists()


def test_divergence(place, convdbn_):
    code, out, err = convdbn_(*train(), "--rate", "[0.01, 1e30]", "--log-every", "1")
    assert (code, out) == (5, "")
    assert re.search(r"layer 2, step \d+: \w+ is .*lower `rate`", err)
    code, out, _ = convdbn_("inspect", "run", "--json")
    assert code == 0 and json.loads(out)["finished"] is False
    assert all(np.isfinite(x).all() for x in map(torch.Tensor.numpy, convdbn.load("run").state_dict().values()))


def environment():
    return {**os.environ, "OMP_NUM_THREADS": "1"}


def test_as_a_program(place):
    """stdout is the result and nothing else; the log and warnings are on stderr."""
    run = subprocess.run(
        [sys.executable, "-m", "convdbn", *train(), "--json"],
        capture_output=True,
        text=True,
        env=environment(),
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout)["finished"] is True
    assert re.search(r"layer 1: filters=4.*updates=6", run.stderr) and "layer 1: 3 epochs" in run.stderr
    failed = subprocess.run(
        [sys.executable, "-m", "convdbn", *train()], capture_output=True, text=True, env=environment(), check=False
    )
    assert (failed.returncode, failed.stdout) == (2, "")
    assert "holds a run already" in failed.stderr and "Traceback" not in failed.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_but_saved(place, convdbn_, monkeypatch, number):
    """A signal while layer 1 is trained: exit code 75, a checkpoint, and the run goes on with --resume."""
    command = [*train(), "--kernel", "0", "--updates", "[10000000, 5]", "--batch", "2", "--log-every", "10"]
    metrics = place / "run" / "metrics.csv"
    code, out, log = interrupted(
        command, number, place / "log", lambda log: metrics.exists() and len(metrics.read_text().splitlines()) > 1
    )
    assert (code, out) == (75, ""), log
    assert re.search(r"layer 1, step \d+: saved; go on with --resume", log) and "Traceback" not in log
    before = convdbn.inspect("run")["progress"]
    assert before["layer"] == 0 and before["step"] >= 1
    code, _, err = convdbn_(*command)
    assert code == 2 and "holds a run already" in err
    monkeypatch.setattr("convdbn.commands.train.stop_on_signal", stop_after(3))
    assert convdbn_(*command, "--resume")[0] == 75
    assert convdbn.inspect("run")["progress"] == {"layer": 0, "step": before["step"] + 3}


@pytest.fixture(scope="module")
def classes(tmp_path_factory):
    """Two kinds of pictures that every feature tells apart: dark and bright noise."""
    root = tmp_path_factory.mktemp("classes")
    random = np.random.default_rng(0)
    for i in range(40):
        path = root / "ab"[i % 2] / f"{i}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(random.integers(0, 60 + 195 * (i % 2), (12, 12), dtype=np.uint8)).save(path)
    return root


@pytest.fixture(scope="module")
def evaluated(classes, tmp_path_factory):
    folder = tmp_path_factory.mktemp("evaluated") / "run"
    recipes = {"filters": [4, 5], "kernel": [3, 2], "updates": 6, "batch": 4, "held_out": 0}
    convdbn.train(recipe="rbm", data=classes, output_dir=folder, **recipes)
    return folder


class TestEvaluate:
    @pytest.mark.parametrize("layers", ["1", "[1, 2]"])
    def test_prints_the_error_of_each_number_of_labels(self, evaluated, classes, layers, capsys):
        words = ["--labels", "[8, 16]", "--layers", layers, "--grid", "[1, 2]", "--draws", "2", "--json"]
        code = cli.main(["evaluate", str(evaluated), "--data", str(classes), *words, "--baselines"])
        printed = json.loads(capsys.readouterr().out)
        assert code == 0
        assert set(printed) == {"features", "pixels", "pca", "random", "kmeans"}
        assert list(printed["features"]) == ["8", "16"]
        assert all(0 <= error <= 100 for row in printed["pixels"].values() for error in row["errors"])
        assert printed["pixels"]["16"]["error"] == 0

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            (["--labels", "33"], "labels=33: must be between 2 .* and 32"),
            (["--layers", "3"], "depth=3: the model has layers 1 to 2"),
            (["--grid", "0"], "grid="),
            (["--noise", "2"], "noise=2.0: must be a share between 0 and 1"),
        ],
    )
    def test_refuses_what_can_not_be(self, evaluated, classes, words, message, caplog):
        assert cli.main(["evaluate", str(evaluated), "--data", str(classes), "--labels", "8", *words]) == 2
        assert re.search(message, caplog.text)

    def test_noise_hides_what_tells_the_test_pictures_apart(self, evaluated, classes):
        """All pixels noise: whatever the class, the answer is the same but for chance."""
        where = {"model": evaluated, "data": classes, "labels": 8, "draws": 2}
        clean, noisy = (convdbn.evaluate(**where, noise=noise)["features"]["8"]["error"] for noise in (0, 1))
        assert clean < 10 < 40 < noisy

    def test_pictures_without_classes(self, evaluated, tmp_path, caplog):
        save_pictures(tmp_path / "x", size=(12, 12))
        flat = tmp_path / "x" / "a"
        assert cli.main(["evaluate", str(evaluated), "--data", str(flat)]) == 3
        assert "has no labels; pass (pictures, labels), or put the pictures of each class into" in caplog.text


class TestFinetune:
    def test_writes_a_classifier_that_python_loads(self, evaluated, classes, tmp_path, capsys):
        output, words = tmp_path / "tuned", ["--epochs", "20", "--batch", "4", "--rate", "0.01", "--held-out", "0.2"]
        where = [str(evaluated), "--data", str(classes), "--output-dir", str(output)]
        assert cli.main(["finetune", *where, *words, "--distort", "0", "--baseline", "--json"]) == 0
        printed = json.loads(capsys.readouterr().out)
        assert printed["labels"] == 32
        assert printed["error"] == 0 and 0 <= printed["error_from_random_weights"] <= 100
        network = convdbn.load_classifier(output)
        images = open_images(classes)
        predicted = network(torch.stack(images[range(len(images))])).argmax(1)
        assert network.classes == images.classes
        assert (predicted == images.labels).float().mean() > 0.9
        assert cli.main(["finetune", *where]) == 2  # the folder holds one

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            (["--labels", "33"], "labels=33: must be between 2 .* and 32"),
            (["--layers", "3"], "the model has layers 1 to 2"),
            (["--epochs", "0"], "epochs=0: must be at least 1"),
            (["--held-out", "0.9"], "held_out=0.9: must be at least 0 and at most 0.5"),
            (
                ["--labels", "4", "--held-out", "0.1"],
                "held_out=0.1: 1 of 4 labeled pictures cannot represent every class",
            ),
            (["--distort", "-1"], "distort=-1.0: must be at least 0"),
        ],
    )
    def test_refuses_what_can_not_be(self, evaluated, classes, tmp_path, words, message, caplog):
        where = [str(evaluated), "--data", str(classes), "--output-dir", str(tmp_path / "x")]
        assert cli.main(["finetune", *where, *words]) == 2
        assert re.search(message, caplog.text)
        assert not (tmp_path / "x").exists()
