import numpy as np
import pytest
import torch
from PIL import Image

from convdbn.energy import Gaussian
from convdbn.errors import DataError, UsageError
from convdbn.images import ArrayImages, FolderImages, build_transform
from convdbn.models.extract import BATCH, extract
from convdbn.models.machines import conv_rbm, rbm
from convdbn.models.stack import Stack


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def stack_of(*machines, transform=(), picture=(1, 10, 10)):
    stack = Stack(build_transform(transform), machines, picture)
    generator = seeded()
    with torch.no_grad():
        for parameter in stack.parameters():
            parameter.normal_(generator=generator)
    return stack


def conv_stack(transform=()):
    return stack_of(conv_rbm(1, 4, 3), conv_rbm(4, 5, 3, pool=1), transform=transform)


def noise(n, *shape):
    return torch.randint(0, 256, (n, *shape), dtype=torch.uint8, generator=seeded(1))


@pytest.mark.parametrize("n", [1, BATCH - 1, BATCH, BATCH + 1, 2 * BATCH + 30])
@pytest.mark.parametrize("layer", [1, 2])
def test_all_pictures_in_their_order(n, layer):
    stack, pixels = conv_stack(), noise(n, 1, 10, 10)
    maps = extract(stack, ArrayImages(pixels), layer)
    assert maps.dtype == np.float32
    assert maps.shape == (n, *[(4, 4, 4), (5, 2, 2)][layer - 1])
    expected = stack.features(pixels)[layer - 1]
    torch.testing.assert_close(torch.from_numpy(maps), expected, rtol=1e-4, atol=1e-5)


def test_a_picture_alone_has_the_same_features():
    stack, images = conv_stack([{"kind": "local_contrast", "size": 3}]), ArrayImages(noise(130, 1, 10, 10))
    stack.machines[0].units[0] = conv_rbm(Gaussian(1), 4, 3).units[0]
    together = extract(stack, images, 2)
    for i in (0, 99, 100, 129):
        np.testing.assert_allclose(extract(stack, images.select([i]), 2)[0], together[i], rtol=1e-4, atol=1e-5)


def test_fully_connected_layers_give_vectors():
    stack = stack_of(rbm(100, 7), rbm(7, 3))
    assert extract(stack, ArrayImages(noise(5, 1, 10, 10)), 2).shape == (5, 3)


def save_pictures(folder, sizes):
    folder.mkdir()
    for i, (height, width) in enumerate(sizes):
        Image.fromarray(noise(1, height, width)[0].numpy()).save(folder / f"{i:03d}.png")
    return FolderImages(folder)


def test_pictures_of_a_folder(tmp_path):
    stack, images = conv_stack(), save_pictures(tmp_path / "p", [(10, 14)] * 3)
    expected = stack.features(torch.stack(images[range(3)]))[1]
    np.testing.assert_allclose(extract(stack, images, 2), expected.numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("different", [1, BATCH + 2])
def test_several_sizes(tmp_path, different):
    sizes = [(10, 10)] * (BATCH + 3)
    sizes[different] = (10, 14)
    images = save_pictures(tmp_path / "p", sizes)
    with pytest.raises(DataError, match=r"images='p': pictures of several sizes .*kind: resize"):
        extract(conv_stack(), images, 1)
    assert extract(conv_stack([{"kind": "resize", "size": 10}]), images, 1).shape == (BATCH + 3, 4, 4, 4)


def test_trim():
    stack, pixels = conv_stack(), noise(3, 1, 11, 11)
    with pytest.raises(DataError, match=r"11x11 .*nearest legal heights 10 or 12"):
        extract(stack, ArrayImages(pixels), 1)
    trimmed = extract(stack, ArrayImages(pixels), 1, sizes="trim")
    np.testing.assert_allclose(trimmed, extract(stack, ArrayImages(pixels[..., :10, :10]), 1), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("layer", [0, 3, -1])
def test_layers_that_are_not_there(layer):
    with pytest.raises((ValueError, UsageError), match=f"layer={layer}: the model has layers 1 to 2"):
        extract(conv_stack(), ArrayImages(noise(2, 1, 10, 10)), layer)


def test_only_the_result_grows_with_the_pictures(monkeypatch):
    """Pictures are asked for a hundred at a time."""
    asked = []
    images = ArrayImages(noise(250, 1, 10, 10))
    original = ArrayImages.__getitem__

    def counted(self, indices):
        asked.append(len(indices))
        return original(self, indices)

    monkeypatch.setattr(ArrayImages, "__getitem__", counted)
    extract(conv_stack(), images, 1)
    assert sum(asked) == 250 and max(asked) <= BATCH


def test_a_broken_picture_is_named(tmp_path):
    images = save_pictures(tmp_path / "p", [(10, 10)] * 4)
    (tmp_path / "p" / "002.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"002\.png"):
        extract(conv_stack(), images, 1)
