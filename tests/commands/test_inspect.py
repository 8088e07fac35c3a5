"""What a file says of itself."""

import json
import re

import pytest
from running import stop_after

import convdbn
from convdbn.errors import CheckpointError, Interrupted
from convdbn.models.files import names, save


class TestInspect:
    def test_a_finished_run(self, finished, pictures):
        found = convdbn.inspect(finished)
        assert found["finished"] is True
        assert found["file"] == str(finished / "model.safetensors")
        assert found["parameters"] == 4 * 9 + 4 + 1 + 5 * 4 * 4 + 5 + 4
        assert found["picture"] == [1, 12, 12]
        assert [layer["receptive_field"] for layer in found["layers"]] == [4, 8]
        assert [layer["receptive_field_before_pooling"] for layer in found["layers"]] == [3, 6]
        assert [layer["channels"] for layer in found["layers"]] == [4, 5]
        assert found["data"] == {"data": str(pictures)}
        assert found["recipe"]["updates" if "updates" in found["recipe"] else "layers"]
        assert json.loads(json.dumps(found)) == found

    def test_runs_of_version_0_1_0_are_shown_under_present_names(self, tmp_path, finished):
        for name in names():
            text = json.dumps(convdbn.inspect(name))
            assert not re.search("colour|centring|labelled", text), name
        assert convdbn.inspect("cdbm_faces")["recipe"]["layers"][0]["centering"] == "data"
        model = convdbn.load(finished)
        metadata = {**model.metadata, "refined": {"checkpoint": "run", "data": "digits"}}
        save(tmp_path / "model.safetensors", model, metadata)
        assert convdbn.inspect(tmp_path)["refined"] == {"model": "run", "data": "digits"}

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

    def test_a_model_that_was_saved_without_its_training(self, tmp_path, finished, pictures):
        """`stack.save` takes any metadata; what is missing is named by all that tell of the training."""

        bare = tmp_path / "bare.safetensors"
        save(bare, convdbn.load(finished), {"data": {"data": str(pictures)}})
        message = r"bare.*: has no record of its training \(recipe, progress\); give a run of `convdbn train`"
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
