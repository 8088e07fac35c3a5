"""Features of whole sets of pictures, in memory and in a file."""

import contextlib

import numpy as np
import pytest
import torch
from tiny import save_pictures

import convdbn
from convdbn.errors import DataError, UsageError


class TestFeatures:
    def test_of_a_folder(self, tmp_path, finished, pictures):
        output = tmp_path / "deep" / "maps.npz"
        maps = convdbn.features(model=finished, data=pictures, layer=2, output=output)
        assert maps.shape == (8, 5, 2, 2) and maps.dtype == np.float32
        with np.load(output, allow_pickle=False) as saved:
            assert set(saved) == {"features", "labels", "classes"}
            np.testing.assert_array_equal(saved["features"], maps)
            assert saved["labels"].tolist() == [0] * 4 + [1] * 4
            assert saved["classes"].tolist() == ["a", "b"]

    def test_without_labels(self, tmp_path, finished, pictures):
        convdbn.features(model=finished, data=pictures / "a", output=tmp_path / "maps.npz")
        with np.load(tmp_path / "maps.npz", allow_pickle=False) as saved:
            assert set(saved) == {"features"} and saved["features"].shape == (4, 4, 5, 5)

    def test_an_output_is_written_under_the_name_that_was_given(self, tmp_path, finished, pictures):
        """numpy adds `.npz` to names without it: such a name is refused, or the file is there afterwards."""
        for name in ("maps", "maps.features", "maps.NPZ"):
            with contextlib.suppress(UsageError):
                convdbn.features(model=finished, data=pictures, output=tmp_path / name)
                assert (tmp_path / name).exists()
            assert not (tmp_path / f"{name}.npz").exists()

    def test_a_failure_leaves_an_old_output_whole(self, tmp_path, finished, pictures):
        output = tmp_path / "maps.npz"
        output.write_bytes(b"old")
        for layer in (3, "1", 1.5):
            with pytest.raises(UsageError, match=f"layer={layer!r}: the model has layers 1 to 2; choose one of them"):
                convdbn.features(model=finished, data=pictures, layer=layer, output=output)
        other = save_pictures(tmp_path / "other", size=(13, 12))
        with pytest.raises(DataError, match="nearest legal heights 12 or 14"):
            convdbn.features(model=finished, data=other, layer=1, output=output)
        assert output.read_bytes() == b"old"
        trimmed = convdbn.features(model=finished, data=other, layer=1, sizes="trim")
        assert trimmed.shape == (8, 4, 5, 5)

    def test_splits(self, finished):
        sizes = {
            split: len(convdbn.features(model=finished, data="digits", layer=1, split=split))
            for split in ("train", "test")
        }
        assert sizes == {"train": 1437, "test": 360}
        with pytest.raises(ValueError, match="'valid'"):
            convdbn.features(model=finished, data="digits", split="valid")

    def test_of_color_pictures(self, tmp_path, recipe):
        colorful = save_pictures(tmp_path / "colorful", color=True)
        model = convdbn.train(recipe=recipe, data=colorful, output_dir=tmp_path / "run", color=True)
        assert model.picture == (3, 12, 12)
        assert convdbn.features(model=tmp_path / "run", data=colorful).shape == (8, 4, 5, 5)
        gray = save_pictures(tmp_path / "gray")
        assert convdbn.features(model=tmp_path / "run", data=gray).shape == (8, 4, 5, 5)

    def test_a_gray_model_takes_color_pictures(self, tmp_path, finished):
        colorful = save_pictures(tmp_path / "colorful", color=True)
        assert convdbn.features(model=finished, data=colorful).shape == (8, 4, 5, 5)

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
