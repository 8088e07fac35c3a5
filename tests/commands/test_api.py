"""The verbs from Python, on pictures made here and on scikit-learn's."""

import contextlib
import importlib
import inspect
import json
import pkgutil
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from running import stop_after

import convdbn
from convdbn import recipes
from convdbn.commands.options import stop_on_signal
from convdbn.errors import CheckpointError, DataError, Interrupted, UsageError
from convdbn.recipes import LayerSettings

# 12 -> 10 / 2 = 5 -> 4 / 2 = 2
TINY = {"filters": [4, 5], "kernel": [3, 2], "pool": 2, "updates": 6, "batch": 4, "held_out": 0, "log_every": 2}


def write_recipe(path, **fields):
    path.write_text(yaml.safe_dump({**TINY, **fields}))
    return path


def save_pictures(folder, count=8, size=(12, 12), *, color=False):
    """Half of them in each of two classes, a and b."""
    generator = np.random.default_rng(0)
    for i in range(count):
        path = folder / ("a" if i < count // 2 else "b") / f"{i:03d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        shape = (*size, 3) if color else size
        Image.fromarray(generator.integers(0, 256, shape, dtype=np.uint8)).save(path)
    return folder


@pytest.fixture
def pictures(tmp_path):
    return save_pictures(tmp_path / "pictures")


@pytest.fixture
def recipe(tmp_path):
    return write_recipe(tmp_path / "tiny.yaml")


@pytest.fixture
def run(tmp_path, pictures, recipe):
    """A finished run folder."""
    folder = tmp_path / "run"
    convdbn.train(recipe=recipe, data=pictures, output_dir=folder)
    return folder


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_five_lines(tmp_path, pictures, recipe):
    trained = convdbn.train(recipe=recipe, data=pictures, output_dir=tmp_path / "run")
    model = convdbn.load(tmp_path / "run")
    images = torch.rand(3, 1, 12, 12, generator=torch.Generator().manual_seed(0))
    maps = model.features(images)
    assert [tuple(x.shape) for x in maps] == [(3, 4, 5, 5), (3, 5, 2, 2)]
    assert all(torch.equal(a, b) for a, b in zip(maps, trained.features(images), strict=True))
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["metrics.csv", "model.safetensors"]


@pytest.mark.parametrize("name", convdbn.__all__)
def test_every_verb_is_a_function_however_often_it_is_asked_for(name):
    """Also after all modules are loaded, of which one might have the name of a verb."""
    for module in pkgutil.walk_packages(convdbn.__path__, "convdbn."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    assert inspect.isfunction(getattr(convdbn, name))


def test_every_verb_in_a_fresh_interpreter():
    code = "import convdbn\nfor n in convdbn.__all__ * 2: assert callable(getattr(convdbn, n)), n"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_what_is_no_verb():
    with pytest.raises(AttributeError, match="no attribute 'fit'"):
        convdbn.fit  # noqa: B018


def test_the_default_recipe_and_data_are_there():
    defaults = {name: p.default for name, p in inspect.signature(convdbn.train).parameters.items()}
    assert recipes.load(defaults["recipe"]).layers
    assert defaults["data"] in ("photos", "digits")


def test_python_and_the_recipe_file_have_the_same_options(tmp_path, pictures, recipe):
    model = convdbn.train(recipe=recipe, data=pictures, filters=[3], kernel=5, updates=2, seed=4)
    assert [info.channels for info in model.feature_info] == [3]
    with pytest.raises(UsageError, match="passes=3: no such setting"):
        convdbn.train(recipe=recipe, data=pictures, passes=3)


def test_without_an_output_folder_nothing_is_written(tmp_path, pictures, recipe, monkeypatch):
    before = contents(tmp_path)
    monkeypatch.chdir(tmp_path)
    convdbn.train(recipe=recipe, data=pictures)
    assert contents(tmp_path) == before


def test_digits_hold_out_their_test_pictures(tmp_path, recipe):
    """All 1,437 training pictures are trained on, and the gap to test pictures is in the metrics."""
    sizes = {"kernel": [3, 2], "pool": [2, 2], "filters": [3, 4]}
    convdbn.train(recipe=recipe, data="digits", output_dir=tmp_path / "r", **sizes, held_out=50)
    lines = (tmp_path / "r" / "metrics.csv").read_text().split("\n")
    column = lines[0].strip().split(",").index("free_energy_gap")
    assert all(line.split(",")[column] for line in lines[1:] if line.strip())


class TestExistingRuns:
    def test_are_refused(self, run, pictures, recipe):
        before = contents(run)
        with pytest.raises(UsageError, match=r"output_dir='.*run': holds a run already; .*overwrite.*resume"):
            convdbn.train(recipe=recipe, data=pictures, output_dir=run)
        assert contents(run) == before

    def test_are_replaced_with_overwrite(self, run, pictures, recipe):
        before = contents(run)
        (run / "notes.txt").write_text("mine")
        convdbn.train(recipe=recipe, data=pictures, output_dir=run, overwrite=True, seed=3)
        after = contents(run)
        assert after["model.safetensors"] != before["model.safetensors"]
        assert after["notes.txt"] == b"mine"
        assert after["metrics.csv"].count(b"\n") == before["metrics.csv"].count(b"\n")

    def test_resume_needs_a_folder(self, pictures, recipe):
        with pytest.raises(UsageError, match="resume=True: needs output_dir"):
            convdbn.train(recipe=recipe, data=pictures, resume=True)

    @pytest.mark.parametrize(
        ("options", "named"), [({"seed": 5}, "seed"), ({"updates": 7}, "layers"), ({"mirror": True}, "mirror")]
    )
    def test_resume_with_other_options_is_refused(self, run, pictures, recipe, options, named):
        before = contents(run)
        with pytest.raises(UsageError, match=f"resume=True: {named} differ from the run in .*give the same options"):
            convdbn.train(recipe=recipe, data=pictures, output_dir=run, resume=True, **options)
        assert contents(run) == before

    def test_resume_with_other_data_is_refused(self, tmp_path, run, recipe):
        other = save_pictures(tmp_path / "other")
        with pytest.raises(UsageError, match="resume=True: data differ"):
            convdbn.train(recipe=recipe, data=other, output_dir=run, resume=True)

    def test_resuming_a_finished_run_gives_it_back(self, run, pictures, recipe):
        before = contents(run)
        model = convdbn.train(recipe=recipe, data=pictures, output_dir=run, resume=True)
        assert contents(run)["model.safetensors"] == before["model.safetensors"]
        assert len(model.machines) == 2

    def test_resume_without_a_run_begins_one(self, tmp_path, pictures, recipe):
        convdbn.train(recipe=recipe, data=pictures, output_dir=tmp_path / "new", resume=True)
        assert convdbn.inspect(tmp_path / "new")["finished"]

    def test_resume_of_a_broken_checkpoint(self, run, pictures, recipe):
        model = run / "model.safetensors"
        model.write_bytes(model.read_bytes()[:500])
        before = contents(run)
        with pytest.raises(CheckpointError, match=r"model\.safetensors': truncated"):
            convdbn.train(recipe=recipe, data=pictures, output_dir=run, resume=True)
        assert contents(run) == before


class TestFeatures:
    def test_of_a_folder(self, tmp_path, run, pictures):
        output = tmp_path / "deep" / "maps.npz"
        maps = convdbn.features(model=run, data=pictures, layer=2, output=output)
        assert maps.shape == (8, 5, 2, 2) and maps.dtype == np.float32
        with np.load(output, allow_pickle=False) as saved:
            assert set(saved) == {"features", "labels", "classes"}
            np.testing.assert_array_equal(saved["features"], maps)
            assert saved["labels"].tolist() == [0] * 4 + [1] * 4
            assert saved["classes"].tolist() == ["a", "b"]

    def test_without_labels(self, tmp_path, run, pictures):
        convdbn.features(model=run, data=pictures / "a", output=tmp_path / "maps.npz")
        with np.load(tmp_path / "maps.npz", allow_pickle=False) as saved:
            assert set(saved) == {"features"} and saved["features"].shape == (4, 4, 5, 5)

    def test_an_output_is_written_under_the_name_that_was_given(self, tmp_path, run, pictures):
        """numpy adds `.npz` to names without it: such a name is refused, or the file is there afterwards."""
        for name in ("maps", "maps.features", "maps.NPZ"):
            with contextlib.suppress(UsageError):
                convdbn.features(model=run, data=pictures, output=tmp_path / name)
                assert (tmp_path / name).exists()
            assert not (tmp_path / f"{name}.npz").exists()

    def test_a_failure_leaves_an_old_output_whole(self, tmp_path, run, pictures):
        output = tmp_path / "maps.npz"
        output.write_bytes(b"old")
        with pytest.raises(ValueError, match="layer=3: the model has layers 1 to 2"):
            convdbn.features(model=run, data=pictures, layer=3, output=output)
        other = save_pictures(tmp_path / "other", size=(13, 12))
        with pytest.raises(DataError, match="nearest legal heights 12 or 14"):
            convdbn.features(model=run, data=other, layer=1, output=output)
        assert output.read_bytes() == b"old"
        trimmed = convdbn.features(model=run, data=other, layer=1, sizes="trim")
        assert trimmed.shape == (8, 4, 5, 5)

    def test_splits(self, run):
        sizes = {
            split: len(convdbn.features(model=run, data="digits", layer=1, split=split))
            for split in ("train", "test")
        }
        assert sizes == {"train": 1437, "test": 360}
        with pytest.raises(ValueError, match="'valid'"):
            convdbn.features(model=run, data="digits", split="valid")

    def test_of_color_pictures(self, tmp_path, recipe):
        colorful = save_pictures(tmp_path / "colorful", color=True)
        model = convdbn.train(recipe=recipe, data=colorful, output_dir=tmp_path / "run", color=True)
        assert model.picture == (3, 12, 12)
        assert convdbn.features(model=tmp_path / "run", data=colorful).shape == (8, 4, 5, 5)
        gray = save_pictures(tmp_path / "gray")
        assert convdbn.features(model=tmp_path / "run", data=gray).shape == (8, 4, 5, 5)

    def test_a_gray_model_takes_color_pictures(self, tmp_path, run):
        colorful = save_pictures(tmp_path / "colorful", color=True)
        assert convdbn.features(model=run, data=colorful).shape == (8, 4, 5, 5)

    @pytest.mark.parametrize("color", [False, True])
    def test_of_a_fully_connected_model(self, tmp_path, recipe, color):
        pictures = save_pictures(tmp_path / "p", color=True)
        dense = {"filters": 6, "kernel": 0}
        convdbn.train(recipe=recipe, data=pictures, output_dir=tmp_path / "run", color=color, **dense)
        assert convdbn.features(model=tmp_path / "run", data=pictures).shape == (8, 6)

    def test_of_a_model_that_makes_its_pictures_gray(self, tmp_path, recipe):
        """Trained on color pictures with a transform to gray: its features come from color pictures as well."""
        pictures = save_pictures(tmp_path / "p", color=True)
        options = {"color": True, "transform": [{"kind": "gray"}]}
        model = convdbn.train(recipe=recipe, data=pictures, output_dir=tmp_path / "run", **options)
        images = convdbn.images.open_images(pictures, gray=False)
        expected = model.features(torch.stack(images[range(8)]))[0]
        found = convdbn.features(model=tmp_path / "run", data=pictures)
        np.testing.assert_allclose(found, expected.numpy(), rtol=1e-4, atol=1e-5)


class TestVisualize:
    def test_writes_the_figure_that_it_returns(self, tmp_path, run):
        for layer, count in ((None, 2), (1, 1), (2, 1)):
            figure = convdbn.visualize(run, output=tmp_path / f"{layer}.png", layer=layer)
            assert len(figure.axes) == count
            assert (tmp_path / f"{layer}.png").read_bytes().startswith(b"\x89PNG")

    @pytest.mark.parametrize("layer", [0, 3])
    def test_layers_that_are_not_there(self, tmp_path, run, layer):
        with pytest.raises(ValueError, match=f"layer={layer}: the model has layers 1 to 2"):
            convdbn.visualize(model=run, output=tmp_path / "a.png", layer=layer)
        assert not (tmp_path / "a.png").exists()

    def test_fully_connected_layers(self, tmp_path, pictures, recipe):
        for name, kernel in (("above", [3, 0]), ("both", 0)):
            convdbn.train(recipe=recipe, data=pictures, output_dir=tmp_path / name, kernel=kernel)
            assert len(convdbn.visualize(tmp_path / name).axes) == 2


class TestInspect:
    def test_a_finished_run(self, run, pictures):
        found = convdbn.inspect(run)
        assert found["finished"] is True
        assert found["file"] == str(run / "model.safetensors")
        assert found["parameters"] == 4 * 9 + 4 + 1 + 5 * 4 * 4 + 5 + 4
        assert found["picture"] == [1, 12, 12]
        assert [layer["receptive_field"] for layer in found["layers"]] == [4, 8]
        assert [layer["channels"] for layer in found["layers"]] == [4, 5]
        assert found["data"] == {"data": str(pictures)}
        assert found["recipe"]["updates" if "updates" in found["recipe"] else "layers"]
        assert json.loads(json.dumps(found)) == found

    def test_a_run_in_progress(self, tmp_path, pictures, recipe, monkeypatch):
        with monkeypatch.context() as patch:
            patch.setattr("convdbn.commands.train.stop_on_signal", stop_after(1))
            with pytest.raises(Interrupted, match="layer 1, step 1"):
                convdbn.train(recipe=recipe, data=pictures, output_dir=tmp_path / "run")
        found = convdbn.inspect(tmp_path / "run")
        assert found["finished"] is False
        assert found["progress"] == {"layer": 0, "step": 1}
        convdbn.train(recipe=recipe, data=pictures, output_dir=tmp_path / "run", resume=True)
        assert convdbn.inspect(tmp_path / "run")["finished"] is True

    def test_the_scale_of_gaussian_visibles(self, tmp_path, pictures, recipe):
        options = {"visible": ["gaussian", "bernoulli"], "sigma": 0.9, "sigma_end": 0.6, "updates": 10}
        convdbn.train(recipe=recipe, data=pictures, output_dir=tmp_path / "run", **options)
        scales = convdbn.inspect(tmp_path / "run")["scales"]
        assert scales == [pytest.approx(0.6), None]

    def test_a_model_that_was_saved_without_its_training(self, tmp_path, run, pictures):
        """`stack.save` takes any metadata; what is missing is named by all that tell of the training."""
        from convdbn.models import stack

        bare = tmp_path / "bare.safetensors"
        stack.save(bare, convdbn.load(run), {"data": {"data": str(pictures)}})
        message = r"bare.*: a model without its training \(no recipe, progress in it\); give a run of `convdbn train`"
        tells = {
            "inspect": lambda: convdbn.inspect(bare),
            "report": lambda: convdbn.report(bare, output=tmp_path / "a.html", data=pictures, device="cpu"),
            "updates": lambda: convdbn.plot(
                model=bare, figure="updates", output=tmp_path / "a.png", data=pictures, device="cpu"
            ),
        }
        for tell in tells.values():
            with pytest.raises(CheckpointError, match=message):
                tell()
        assert len(convdbn.plot(bare, figure="weights", device="cpu").axes) == 2


class TestSignals:
    def test_handlers_are_put_back(self):
        before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
        with stop_on_signal() as stop:
            assert not stop()
            signal.raise_signal(signal.SIGTERM)
            assert stop()
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)
        assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before

    def test_other_threads_train_without_them(self, pictures, recipe):
        done = []
        thread = threading.Thread(target=lambda: done.append(convdbn.train(recipe=recipe, data=pictures)))
        thread.start()
        thread.join()
        assert len(done) == 1


@pytest.mark.parametrize("device", ["gpu", "nowhere", "cuda:99"])
def test_unknown_devices_are_named(run, pictures, recipe, device):
    before = contents(run)
    with pytest.raises(UsageError, match=f"device='{device}'"):
        convdbn.load(run, device=device)
    with pytest.raises(UsageError, match=f"device='{device}'"):
        convdbn.train(recipe=recipe, data=pictures, output_dir=run, overwrite=True, device=device)
    assert contents(run) == before


@pytest.fixture
def demonstration():
    """The module that the verb `demo` lives in."""
    found = convdbn.demo
    return found if inspect.ismodule(found) else sys.modules[found.__module__]


class TestDemo:
    """The demonstration's parts; the whole takes minutes."""

    def test_shifted_digits(self, demonstration):
        shifted, labels = demonstration.shifted_digits()
        assert shifted.shape == (5 * 1797, 1, 8, 8) and shifted.dtype == np.float32
        assert (shifted.min(), shifted.max()) == (0, 1)
        plain, *moved = shifted.reshape(5, 1797, 8, 8)
        assert (labels.reshape(5, 1797) == labels[:1797]).all()
        directions = set()
        for copy in moved:
            found = [
                (down, right)
                for down, right in ((1, 0), (-1, 0), (0, 1), (0, -1))
                if (np.roll(plain, (down, right), (1, 2))[:, 1:-1, 1:-1] == copy[:, 1:-1, 1:-1]).all()
            ]
            assert len(found) == 1
            directions |= {*found}
            (down, right) = found[0]
            edge = copy[:, 0 if down == 1 else -1] if down else copy[:, :, 0 if right == 1 else -1]
            assert (edge == 0).all()
        assert len(directions) == 4

    def test_random_filters_have_the_same_scale_and_leave_the_rest(self, run, demonstration):
        from convdbn.evaluation.baselines import with_random_filters

        model = convdbn.load(run)
        before = {name: value.clone() for name, value in model.state_dict().items()}
        random = with_random_filters(model, seed=0)
        for name, value in model.state_dict().items():
            assert torch.equal(value, before[name])
            if name.endswith("weight"):
                assert not torch.equal(random.state_dict()[name], value)
                assert 0.5 < float(random.state_dict()[name].std() / value.std()) < 2
            else:
                assert torch.equal(random.state_dict()[name], value)
        again = with_random_filters(model, seed=0).state_dict()
        assert all(torch.equal(again[name], value) for name, value in random.state_dict().items())

    def test_pictures_and_summary_are_written(self, tmp_path, monkeypatch, demonstration):
        """With four filters and four updates a layer, and without the baselines."""
        train, model = convdbn.train, {}

        def briefly(**options):
            model["photos"] = train(**options, filters=[4, 4], updates=4, log_every=1)
            return model["photos"]

        monkeypatch.setattr(demonstration, "train", briefly)
        monkeypatch.setattr(demonstration, "_digits", lambda: ({"features": 0.98765}, model["photos"]))
        summary = demonstration.demo(output_dir=str(tmp_path / "demo"))
        assert json.loads((tmp_path / "demo" / "summary.json").read_text()) == summary
        assert summary["digits"] == {"features": 0.9877}
        assert summary["seconds"] >= 0
        assert len(summary["figures"]) >= 2
        assert all(Path(figure).read_bytes().startswith(b"\x89PNG") for figure in summary["figures"])
        assert convdbn.inspect(tmp_path / "demo" / "photos")["finished"]


def test_the_readme_speaks_of_recipes_that_are_there():
    readme = (Path(convdbn.__file__).parents[1] / "README.md").read_text()
    assert set(re.findall(r"--recipe ([a-z]+) ", readme)) <= set(recipes.names())


def test_a_run_of_epochs_is_that_of_as_many_updates_and_resumes(tmp_path, pictures, recipe):
    """8 pictures in batches of 4: 3 epochs are 6 updates."""
    counted = convdbn.train(recipe=recipe, data=pictures, updates=6, output_dir=tmp_path / "counted")
    epochs = convdbn.train(recipe=recipe, data=pictures, epochs=3, output_dir=tmp_path / "epochs")
    for one, other in zip(counted.parameters(), epochs.parameters(), strict=True):
        assert torch.equal(one, other)
    again = convdbn.train(recipe=recipe, data=pictures, epochs=3, output_dir=tmp_path / "epochs", resume=True)
    assert all(torch.equal(one, other) for one, other in zip(again.parameters(), epochs.parameters(), strict=True))
    with pytest.raises(UsageError, match="layers differ from the run"):
        convdbn.train(recipe=recipe, data=pictures, epochs=4, output_dir=tmp_path / "epochs", resume=True)


def test_layers_as_objects(pictures, recipe):
    layers = [LayerSettings(filters=3, kernel=3, updates=4, batch=4), LayerSettings(filters=5, updates=4, batch=4)]
    model = convdbn.train(recipe=recipe, data=pictures, layers=layers)
    assert [info.channels for info in model.feature_info] == [3, 5]
