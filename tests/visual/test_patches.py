"""The best patches against a search of every position of every picture."""

import pytest
import torch

from convdbn.energy import Gaussian
from convdbn.images import ArrayImages, Images, build_transform
from convdbn.models import extract
from convdbn.models.machines import conv_dbm, conv_rbm, rbm
from convdbn.models.passes import upward
from convdbn.models.stack import Stack
from convdbn.recipes.geometry import receptive_field, trimmed_size
from convdbn.visual.patches import best_patches


class Several(Images):
    """Pictures of several sizes."""

    def __init__(self, pictures):
        self.pictures, self.name, self.labels, self.classes = pictures, "several", None, []

    def __len__(self):
        return len(self.pictures)

    def __getitem__(self, indices):
        return [self.pictures[index] for index in torch.as_tensor(indices).tolist()]


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def stack_of(*machines, picture, transform=()):
    stack = Stack(build_transform(transform), machines, picture).double()
    generator = seeded()
    for parameter in stack.parameters():
        parameter.data = 0.5 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
    return stack


def two_layers(picture=(1, 12, 14), transform=()):
    visible = Gaussian(picture[0]) if transform else picture[0]  # what is normalized leaves [0, 1]
    lower, upper = conv_rbm(visible, 3, (3, 2), pool=2), conv_rbm(3, 4, (2, 3), pool=2)
    return stack_of(lower, upper, picture=picture, transform=transform)


def deep(picture=(1, 12, 14), transform=()):
    visible = Gaussian(picture[0]) if transform else picture[0]
    machine = conv_dbm(visible, [3, 4], [(3, 2), (2, 3)], [2, 2])
    return stack_of(machine, picture=picture, transform=transform)


def search(stack, layer, images):
    """Each patch alone through the layers: for each unit and picture, the largest input, its patch and its corner."""
    below = stack.geometry[:layer]
    found = []
    for number in range(len(images)):
        picture = images[[number]][0][None]
        seen, shown = stack.prepare(picture), stack.transform.shaping(picture)[0]
        height, width = trimmed_size(seen.shape[2:], below)
        top, left = (seen.shape[2] - height) // 2, (seen.shape[3] - width) // 2
        (tall, down), (wide, right) = (receptive_field(below, axis) for axis in (0, 1))
        for y in range(0, height - tall + 1, down):
            for x in range(0, width - wide + 1, right):
                part = (slice(top + y, top + y + tall), slice(left + x, left + x + wide))
                with torch.no_grad():
                    field = upward(stack, seen[:, :, *part], layer)[-1]
                    inputs = field[0, :, 0, 0] + stack.layers[layer - 1].unit.bias
                assert field.shape[2:] == (1, 1)
                found.append((inputs, number, (top + y, left + x), shown[:, *part]))
    best = []
    for unit in range(stack.layers[layer - 1].unit.n):
        highest = {}
        for inputs, number, corner, patch in found:
            if number not in highest or inputs[unit] > highest[number][0]:
                highest[number] = (inputs[unit], number, corner, patch)
        best.append(sorted(highest.values(), key=lambda entry: -entry[0]))
    return best


def agree(stack, layer, images, count):
    found, expected = best_patches(stack, layer, images=images, count=count), search(stack, layer, images)
    for unit, entries in enumerate(expected):
        for rank, (value, number, corner, patch) in enumerate(entries[:count]):
            assert float(found.inputs[unit, rank]) == pytest.approx(float(value), rel=1e-5, abs=1e-6)
            assert int(found.pictures[unit, rank]) == number
            assert tuple(found.corners[unit, rank].tolist()) == corner
            torch.testing.assert_close(found.patches[unit, rank], patch, check_dtype=False)
    assert found.patches.shape[:2] == (len(expected), min(count, len(images)))
    return found


def pictures(n=5, size=(12, 14), channels=1):
    return torch.rand(n, channels, *size, generator=seeded(5))


TRANSFORMS = {
    "none": (),
    "padded": ({"kind": "pad", "size": 2},),
    "resized": ({"kind": "resize", "size": [13, 15]},),
    "contrast": ({"kind": "pad", "size": 1, "mode": "reflect"}, {"kind": "local_contrast", "size": 3}),
}


@pytest.mark.parametrize("make", [two_layers, deep])
@pytest.mark.parametrize("layer", [1, 2])
@pytest.mark.parametrize("transform", TRANSFORMS)
def test_a_search_of_every_position_finds_the_same(make, layer, transform):
    """Sizes of 12 x 14 lose a border that the blocks do not divide."""
    agree(make(transform=TRANSFORMS[transform]), layer, ArrayImages(pictures()), count=3)


def test_color_pictures():
    agree(two_layers((3, 12, 14)), 2, ArrayImages(pictures(channels=3)), count=2)


@pytest.mark.parametrize("layer", [1, 2])
def test_pictures_of_several_sizes(layer):
    sizes = [(12, 14), (9, 11), (20, 13), (11, 25)]
    images = Several([pictures(1, size)[0] for size in sizes])
    agree(two_layers(), layer, images, count=3)


@pytest.mark.parametrize("batch", [1, 2, 3, 7, 100])
def test_however_the_pictures_are_batched(batch, monkeypatch):
    monkeypatch.setattr(extract, "BATCH", batch)
    agree(two_layers(), 2, ArrayImages(pictures(7)), count=4)


def test_more_pictures_than_a_batch_takes():
    images = ArrayImages(pictures(extract.BATCH + 3, (8, 8)))
    agree(stack_of(conv_rbm(1, 2, 3, pool=2), picture=(1, 8, 8)), 1, images, count=5)


def test_more_are_asked_for_than_there_are_pictures():
    found = agree(two_layers(), 1, ArrayImages(pictures(3)), count=9)
    assert found.patches.shape[1] == 3


def test_the_strongest_come_first_and_equals_in_the_order_of_the_pictures():
    twice = torch.cat([pictures(3), pictures(3)])
    found = best_patches(two_layers(), 2, images=ArrayImages(twice), count=6)
    assert (found.inputs.diff(dim=1) <= 0).all()
    assert (found.pictures[:, 1::2] - found.pictures[:, ::2] == 3).all()


def test_some_units_are_those_of_all():
    images = ArrayImages(pictures())
    every, some = (best_patches(two_layers(), 2, units, images=images, count=2) for units in (None, [2, 0]))
    for name in some._fields:
        assert torch.equal(getattr(some, name), getattr(every, name)[[2, 0]]), name


def test_connected_layers_see_whole_pictures():
    stack = stack_of(conv_rbm(1, 3, 3, pool=2), rbm(3 * 2 * 4, 5), picture=(1, 6, 10))
    images = ArrayImages(pictures(6, (6, 10)))
    found = best_patches(stack, 2, images=images, count=2)
    inputs = upward(stack, stack.prepare(images[range(6)]), 2)[-1] + stack.layers[1].unit.bias
    best = inputs.argsort(0, descending=True)[:2].T
    assert torch.equal(found.pictures, best)
    assert torch.equal(found.patches, images[range(6)][best].to(found.patches))
    assert not found.corners.any()
