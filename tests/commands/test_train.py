"""Training from Python: options, epochs, existing runs, signals."""

import inspect
import signal
import threading

import pytest
import torch
from tiny import contents, save_pictures

import convdbn
from convdbn import recipes
from convdbn.commands.options import stop_on_signal
from convdbn.errors import CheckpointError, UsageError
from convdbn.models.files import open_model
from convdbn.recipes import LayerSettings


def test_the_five_lines(tmp_path, pictures, recipe):
    trained = convdbn.train(recipe=recipe, data=pictures, output_dir=tmp_path / "run")
    model = convdbn.load(tmp_path / "run")
    images = torch.rand(3, 1, 12, 12, generator=torch.Generator().manual_seed(0))
    maps = model.features(images)
    assert [tuple(x.shape) for x in maps] == [(3, 4, 5, 5), (3, 5, 2, 2)]
    assert all(torch.equal(a, b) for a, b in zip(maps, trained.features(images), strict=True))
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["metrics.csv", "model.safetensors"]


def test_the_default_recipe_and_data_are_there():
    defaults = {name: p.default for name, p in inspect.signature(convdbn.train).parameters.items()}
    assert recipes.load(defaults["recipe"]).layers
    assert defaults["data"] in ("photos", "digits")


def test_python_and_the_recipe_file_have_the_same_options(tmp_path, pictures, recipe):
    model = convdbn.train(recipe=recipe, data=pictures, filters=[3], kernel=5, updates=2, seed=4)
    assert [info.channels for info in model.feature_info] == [3]
    with pytest.raises(UsageError, match="passes=3: no such setting"):
        convdbn.train(recipe=recipe, data=pictures, passes=3)


def test_an_error_in_training_names_the_recipe_of_a_field_that_was_not_written():
    images = torch.rand(8, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    options = {"transform": [], "filters": 2, "kernel": 9, "init": "normal"}
    with pytest.raises(UsageError, match=r"^border=8: leaves nothing .* \(border is that of recipe='images'\)$"):
        convdbn.train(images, **options)
    with pytest.raises(UsageError, match=r"^border=8: leaves nothing of 16x16 pixels; take less, or larger crops$"):
        convdbn.train(images, border=8, **options)


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
    def test_are_refused(self, finished, pictures, recipe):
        before = contents(finished)
        with pytest.raises(UsageError, match=r"output_dir='.*run': holds a run already; .*overwrite.*resume"):
            convdbn.train(recipe=recipe, data=pictures, output_dir=finished)
        assert contents(finished) == before

    def test_are_replaced_with_overwrite(self, finished, pictures, recipe):
        before = contents(finished)
        (finished / "notes.txt").write_text("mine")
        convdbn.train(recipe=recipe, data=pictures, output_dir=finished, overwrite=True, seed=3)
        after = contents(finished)
        assert after["model.safetensors"] != before["model.safetensors"]
        assert after["notes.txt"] == b"mine"
        assert after["metrics.csv"].count(b"\n") == before["metrics.csv"].count(b"\n")

    def test_resume_needs_a_folder(self, pictures, recipe):
        with pytest.raises(UsageError, match="resume=True: needs output_dir"):
            convdbn.train(recipe=recipe, data=pictures, resume=True)

    @pytest.mark.parametrize(
        ("options", "named"), [({"seed": 5}, "seed"), ({"updates": 7}, "layers"), ({"mirror": True}, "mirror")]
    )
    def test_resume_with_other_options_is_refused(self, finished, pictures, recipe, options, named):
        before = contents(finished)
        with pytest.raises(UsageError, match=f"resume=True: {named} differ from the run in .*give the same options"):
            convdbn.train(recipe=recipe, data=pictures, output_dir=finished, resume=True, **options)
        assert contents(finished) == before

    def test_resume_with_other_data_is_refused(self, tmp_path, finished, recipe):
        other = save_pictures(tmp_path / "other")
        with pytest.raises(UsageError, match="resume=True: data differ"):
            convdbn.train(recipe=recipe, data=other, output_dir=finished, resume=True)

    def test_resuming_a_finished_run_gives_it_back(self, finished, pictures, recipe):
        before = contents(finished)
        model = convdbn.train(recipe=recipe, data=pictures, output_dir=finished, resume=True)
        assert contents(finished)["model.safetensors"] == before["model.safetensors"]
        assert len(model.machines) == 2

    def test_resume_without_a_run_begins_one_and_says_so(self, tmp_path, pictures, recipe, caplog):
        convdbn.train(recipe=recipe, data=pictures, output_dir=tmp_path / "new", resume=True)
        assert convdbn.inspect(tmp_path / "new")["finished"]
        (record,) = [record for record in caplog.records if record.levelname == "WARNING"]
        expected = f"output_dir={str(tmp_path / 'new')!r}: holds no run to resume; a new run begins"
        assert record.getMessage() == expected

    def test_the_path_of_the_data_is_absolute(self, tmp_path, pictures, recipe, monkeypatch):
        """A run is resumed, and its pictures are found, from any folder."""
        monkeypatch.chdir(pictures.parent)
        convdbn.train(recipe=recipe, data=pictures.name, output_dir=tmp_path / "run")
        assert convdbn.inspect(tmp_path / "run")["data"] == {"data": str(pictures.resolve())}
        monkeypatch.chdir(tmp_path / "run")
        convdbn.train(recipe=recipe, data=pictures, output_dir=".", resume=True)
        assert convdbn.report(".", device="cpu")["pictures"] == 8

    def test_a_run_of_version_0_1_0_has_the_path_as_it_was_typed(self, tmp_path, pictures, recipe, monkeypatch):
        monkeypatch.chdir(pictures.parent)
        convdbn.train(recipe=recipe, data=pictures.name, output_dir=tmp_path / "run")
        run = open_model(tmp_path / "run", "model")
        run.model.metadata["data"] = {"data": pictures.name}
        run.model.save(tmp_path / "run" / "model.safetensors")
        for data in (pictures.name, pictures):
            convdbn.train(recipe=recipe, data=data, output_dir=tmp_path / "run", resume=True)

    def test_resume_of_a_broken_checkpoint(self, finished, pictures, recipe):
        model = finished / "model.safetensors"
        model.write_bytes(model.read_bytes()[:500])
        before = contents(finished)
        with pytest.raises(CheckpointError, match=r"model\.safetensors': is truncated"):
            convdbn.train(recipe=recipe, data=pictures, output_dir=finished, resume=True)
        assert contents(finished) == before


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
