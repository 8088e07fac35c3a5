import numpy as np
import pytest
import torch
from PIL import Image

from convdbn.errors import DataError
from convdbn.images import ArrayImages, as_images, in_channels

COLOR = np.random.default_rng(0).integers(0, 256, (3, 40, 40, 3), dtype=np.uint8)


@pytest.fixture
def folder(tmp_path):
    for i, picture in enumerate(COLOR):
        Image.fromarray(picture).save(tmp_path / f"{i}.png")
    return tmp_path


@pytest.mark.parametrize("scale", [1, 255])
def test_color_becomes_gray_as_in_a_folder(folder, scale):
    """Bit for bit, from bytes and from the floats that torchvision's ToTensor makes of them."""
    gray = in_channels(as_images(COLOR if scale == 1 else COLOR.astype(np.float32) / scale), 1)
    assert gray.channels == 1
    assert torch.equal(gray[range(3)], torch.stack(as_images(folder)[range(3)]))
    assert torch.equal(
        torch.stack(in_channels(as_images(folder, color=True), 1)[range(3)]), torch.stack(as_images(folder)[range(3)])
    )


def test_gray_becomes_color_as_in_a_folder(folder):
    gray = as_images(folder)
    color = in_channels(gray, 3)
    assert color.channels == 3
    assert torch.equal(color[[1]][0], gray[[1]][0].repeat(3, 1, 1))
    assert color.title(1) == "1.png"


def test_floats_that_are_no_bytes_keep_their_precision():
    color = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    gray = in_channels(ArrayImages(color), 1)[range(2)]
    weights = torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)
    torch.testing.assert_close(gray, (color * weights).sum(1, keepdim=True), rtol=0, atol=1e-6)


def test_pictures_that_are_right_stay_the_same_object():
    images = as_images(COLOR)
    assert in_channels(images, 3) is images


def test_labels_and_batches_come_along():
    gray = in_channels(as_images(COLOR, ["b", "a", "b"]), 1)
    assert gray.labels.tolist() == [1, 0, 1] and gray.classes == ["a", "b"]
    batches = list(gray.select([2, 0]).batches(iter([[0], [1, 0], []])))
    assert torch.equal(batches[1], gray[[0, 2]]) and [len(batch) for batch in batches] == [1, 2, 0]


@pytest.mark.parametrize(("have", "take"), [(2, 1), (4, 3), (4, 1), (3, 2)])
def test_other_numbers_of_channels(have, take):
    with pytest.raises(DataError, match=f"images='pictures': have {have} channels, but the model takes {take}; give"):
        in_channels(ArrayImages(torch.zeros(2, have, 8, 8)), take)
