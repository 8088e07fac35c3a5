import dataclasses
import logging

import pytest
import torch
from PIL import Image

from convdbn.errors import DataError
from convdbn.images import ArrayImages, FolderImages, build_transform
from convdbn.learning.layer_inputs import LayerInput, ahead, input_for
from convdbn.models.machines import conv_rbm, rbm
from convdbn.models.stack import Stack
from convdbn.recipes import LayerSettings, Recipe


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def numbered(n=23, side=8):
    """Pictures of which the first pixel is the index over 255."""
    pixels = torch.randint(0, 256, (n, 1, side, side), dtype=torch.uint8, generator=seeded())
    pixels[:, 0, 0, 0] = torch.arange(n, dtype=torch.uint8)
    return ArrayImages(pixels, name="numbered")


def indices(batch):
    return (batch[:, 0, 0, 0] * 255).round().long().tolist()


def bottom(transform=()):
    return Stack(build_transform(transform), [], ())


def two_layers(side=3):
    """A stack whose first machine stands ready below the layer that is trained."""
    stack = Stack(build_transform([]), [conv_rbm(1, 3, side, pool=2)], (1, 8, 8))
    with torch.no_grad():
        for parameter in stack.parameters():
            parameter.normal_(generator=seeded(3))
    return stack


CONV = LayerSettings(filters=4, kernel=3, batch=5, updates=40)


class CountedImages(ArrayImages):
    """Notes how many pictures were asked for at once, and in all."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.largest, self.total = 0, 0

    def __getitem__(self, indices):
        self.largest, self.total = max(self.largest, len(indices)), self.total + len(indices)
        return super().__getitem__(indices)


def counted(n=230, side=8):
    return CountedImages(torch.randint(0, 256, (n, 1, side, side), dtype=torch.uint8, generator=seeded()))


@pytest.mark.parametrize("crop", [0, 5])
@pytest.mark.parametrize("cache_bytes", [0, 2**20])
@pytest.mark.parametrize("depth", [0, 1])
def test_batches_are_a_function_of_seed_and_step(crop, cache_bytes, depth):
    settings = LayerSettings(filters=4, kernel=2, batch=5, updates=40, crop=min(crop, 2) if depth else crop)

    def inputs(seed):
        stack = two_layers() if depth else bottom()
        return LayerInput(stack, numbered(), settings, depth, seed=seed, cache_bytes=cache_bytes)

    first, second, other = inputs(1), inputs(1), inputs(2)
    steps = list(range(12))
    forward = {step: first.batch(step) for step in steps}
    backward = {step: second.batch(step) for step in reversed(steps)}
    assert all(torch.equal(forward[step], backward[step]) for step in steps)
    assert all(not torch.equal(forward[step], other.batch(step)) for step in steps)
    assert len({tuple(x.flatten().tolist()) for x in forward.values()}) == len(steps)
    state = torch.get_rng_state()
    first.batch(3)
    assert torch.equal(torch.get_rng_state(), state)


def test_batches_go_on_from_any_step():
    inputs = LayerInput(bottom(), numbered(), CONV, 0, seed=1)
    whole = list(inputs.batches(0))
    assert len(whole) == 40
    for start in (0, 1, 17, 39):
        rest = list(inputs.batches(start))
        assert len(rest) == 40 - start
        assert all(torch.equal(a, b) for a, b in zip(rest, whole[start:], strict=True))
    assert list(inputs.batches(40)) == []


@pytest.mark.parametrize("batch", [1, 5, 23, 30, 60])
def test_every_epoch_shows_every_picture_once(batch):
    """Whatever the batch: also where it does not divide the number of pictures, or is larger than it."""
    settings = LayerSettings(filters=4, kernel=3, batch=batch, updates=4 * 23 // batch + 5)
    inputs = LayerInput(bottom(), numbered(), settings, 0, seed=4)
    seen = [i for x in inputs.batches(0) for i in indices(x)]
    epochs = [seen[first : first + 23] for first in range(0, 4 * 23, 23)]
    assert all(sorted(epoch) == list(range(23)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 4
    assert all(epoch != sorted(epoch) for epoch in epochs)
    assert all(len(x) == batch for x in inputs.batches(0))


@pytest.mark.parametrize("crop", [0, 2])
@pytest.mark.parametrize("depth", [0, 1])
def test_cached_and_streamed_batches_are_equal(crop, depth):
    settings = LayerSettings(filters=4, kernel=2, batch=5, updates=400, crop=crop)
    stack = two_layers() if depth else bottom([{"kind": "local_contrast", "size": 3}])
    cached = LayerInput(stack, counted(), settings, depth, seed=1)
    streamed = LayerInput(stack, counted(), settings, depth, seed=1, cache_bytes=0)
    assert cached.cache is not None and streamed.cache is None
    for step in (0, 1, 44, 46, 47, 399):
        torch.testing.assert_close(cached.batch(step), streamed.batch(step), rtol=1e-5, atol=1e-6)


def test_cached_and_streamed_crops_of_several_sizes_are_equal(tmp_path):
    for i, size in enumerate([(9, 12), (12, 9), (20, 8), (8, 8)]):
        pixels = torch.randint(0, 256, size, dtype=torch.uint8, generator=seeded(i))
        Image.fromarray(pixels.numpy()).save(tmp_path / f"{i}.png")
    settings = LayerSettings(filters=4, kernel=3, batch=3, updates=9, crop=6)
    images = FolderImages(tmp_path)
    cached = LayerInput(bottom(), images, settings, 0, seed=1)
    streamed = LayerInput(bottom(), images, settings, 0, seed=1, cache_bytes=0)
    assert isinstance(cached.cache, list)
    for a, b in zip(cached.batches(0), streamed.batches(0), strict=True):
        assert a.shape == (3, 1, 6, 6)
        assert torch.equal(a, b)


def test_the_second_layer_sees_the_pooled_maps_of_the_first():
    stack, images = two_layers(), numbered()
    inputs = LayerInput(stack, images, CONV, 1, seed=0)
    order = LayerInput(bottom(), images, CONV, 0, seed=0)
    for step in range(6):
        shown = indices(order.batch(step))
        expected = stack.features(images[shown])[0]
        torch.testing.assert_close(inputs.batch(step), expected, rtol=1e-5, atol=1e-6)
        assert not inputs.batch(step).requires_grad


def test_the_first_layer_sees_transformed_pictures():
    spec = [{"kind": "pad", "size": 1}, {"kind": "local_contrast", "size": 3, "epsilon": 0.2}]
    images = numbered()
    inputs = LayerInput(bottom(spec), images, CONV, 0, seed=0)
    shown = indices(LayerInput(bottom(), images, CONV, 0, seed=0).batch(2))
    torch.testing.assert_close(inputs.batch(2), build_transform(spec)(images[shown]))


def test_dense_layers_see_vectors():
    images = numbered()
    settings = LayerSettings(filters=4, kernel=0, batch=5, updates=40)
    vectors = LayerInput(bottom(), images, settings, 0, seed=0).batch(0)
    maps = LayerInput(bottom(), images, CONV, 0, seed=0).batch(0)
    assert torch.equal(vectors, maps.flatten(1))
    stack = Stack(build_transform([]), [rbm(64, 6)], (1, 8, 8))
    assert LayerInput(stack, images, settings, 1, seed=0).batch(0).shape == (5, 6)
    above_maps = LayerInput(two_layers(), images, settings, 1, seed=0).batch(0)
    assert above_maps.shape == (5, 3 * 3 * 3)


def test_crops_are_pieces_of_their_pictures_and_differ_between_epochs():
    ramp = torch.arange(64.0).view(1, 1, 8, 8) / 64
    images = ArrayImages(ramp.expand(4, 1, 8, 8).clone())
    settings = LayerSettings(filters=4, kernel=3, batch=4, updates=30, crop=5)
    inputs = LayerInput(bottom(), images, settings, 0, seed=0)
    corners = set()
    for x in inputs.batches(0):
        for crop in x:
            top, left = divmod(round(float(crop[0, 0, 0]) * 64), 8)
            assert torch.equal(crop, ramp[0, :, top : top + 5, left : left + 5])
            corners.add((top, left))
    assert corners == {(top, left) for top in range(4) for left in range(4)}


def test_crops_of_upper_maps_come_from_pictures_of_any_size():
    """The border that the blocks below do not divide is trimmed: 9 - 3 + 1 = 7, and 6 goes into blocks of 2."""
    settings = LayerSettings(filters=4, kernel=2, batch=5, updates=40, crop=2)
    assert LayerInput(two_layers(), numbered(side=9), settings, 1, seed=0).batch(0).shape == (5, 3, 2, 2)


def test_a_crop_larger_than_the_pictures():
    with pytest.raises(DataError, match=r"size=9x9: the crop does not fit .* 8x8; crop less"):
        LayerInput(bottom(), numbered(), LayerSettings(kernel=3, crop=9), 0, seed=0).batch(0)


def test_several_sizes_without_crop(tmp_path):
    for i, size in enumerate([(9, 12), (12, 9)]):
        Image.new("L", size).save(tmp_path / f"{i}.png")
    inputs = LayerInput(bottom(), FolderImages(tmp_path), LayerSettings(kernel=3, batch=2), 0, seed=0)
    with pytest.raises(DataError, match=r"images='.*': have several sizes; set `crop` .*kind: resize"):
        inputs.batch(0)


def test_pictures_that_are_seen_once_are_not_kept():
    images = counted()
    inputs = LayerInput(bottom(), images, LayerSettings(kernel=3, batch=10, updates=23), 0, seed=0)
    assert inputs.cache is None and images.total == 0
    for _ in inputs.batches(0):
        pass
    assert images.total == 230


def test_streaming_holds_no_more_than_a_batch(caplog):
    images = counted()
    with caplog.at_level(logging.INFO):
        inputs = LayerInput(
            bottom(), images, LayerSettings(kernel=3, batch=10, updates=90), 0, seed=0, cache_bytes=20_000
        )
    assert inputs.cache is None
    assert "layer 1: input is not cached" in caplog.text and "MiB" in caplog.text
    looked = images.total
    assert looked < 230  # one look was enough to see that all of it does not fit
    images.largest = 0
    for _ in inputs.batches(0):
        pass
    assert images.largest == 10 and images.total == looked + 900
    held = [x for x in vars(inputs).values() if isinstance(x, torch.Tensor)]
    assert sum(x.numel() for x in held) < 1000


def test_the_cache_is_filled_once_and_its_size_printed(caplog):
    images = counted()
    with caplog.at_level(logging.INFO):
        inputs = LayerInput(bottom(), images, LayerSettings(kernel=3, batch=10, updates=90), 0, seed=0)
    assert inputs.cache.shape == (230, 1, 8, 8)
    assert images.total == 230 and images.largest <= 100
    assert "layer 1: input of 230 pictures is cached" in caplog.text and "MiB" in caplog.text
    for _ in inputs.batches(0):
        pass
    assert images.total == 230


def test_the_cache_is_not_handed_out_to_be_changed():
    inputs = LayerInput(bottom(), numbered(), CONV, 0, seed=0)
    before = inputs.batch(0).clone()
    inputs.batch(0).zero_()
    assert torch.equal(inputs.batch(0), before)


def test_samples_are_the_first_batches():
    inputs = LayerInput(bottom(), numbered(), CONV, 0, seed=0)
    assert torch.equal(inputs.sample(12), torch.cat([inputs.batch(step) for step in range(3)]))


def test_batches_made_ahead_are_the_same_in_the_same_order():
    made = []

    def batches(steps):
        for step in steps:
            made.append(step)
            yield torch.tensor(step)

    coming = ahead(batches(range(3, 8)))
    assert int(next(coming)) == 3
    assert [int(x) for x in coming] == [4, 5, 6, 7] and made == [3, 4, 5, 6, 7]
    assert not list(ahead(batches([])))


def test_an_error_in_a_batch_made_ahead_reaches_the_training():
    def batches():
        yield torch.zeros(1)
        raise DataError("picture 1")

    with pytest.raises(DataError, match="picture 1"):
        list(ahead(batches()))


@pytest.mark.parametrize("cache_bytes", [0, 2**20])
def test_layers_below_are_drawn_from_the_pictures_up(cache_bytes):
    """A layer that copies its input in black and white sees gray pixels as bits with their probability."""
    machine = rbm(16, 16)
    with torch.no_grad():
        machine.links[0].weight.copy_(60 * torch.eye(16))
        machine.units[1].bias.fill_(-30)
    stack, gray = Stack(build_transform([]), [machine], (1, 4, 4)), torch.full((40, 1, 4, 4), 77, dtype=torch.uint8)
    images = ArrayImages(gray, name="gray")

    def inputs(**options):
        settings = LayerSettings(filters=3, batch=40, updates=100, **options)
        return LayerInput(stack, images, settings, 1, seed=2, cache_bytes=cache_bytes)

    assert float(inputs().batch(0).max()) < 1e-4
    drawn = torch.stack([inputs(sample_input=True).batch(step) for step in range(20)])
    assert ((drawn < 1e-4) | (drawn > 1 - 1e-4)).all()
    # 12,800 bits: false alarm 1e-4 at 3.9 standard errors of sqrt(.3 * .7 / 12800) = .004.
    assert abs(float(drawn.mean()) - 77 / 255) < 0.016
    assert torch.equal(inputs(sample_input=True).batch(3), drawn[3]) and not torch.equal(drawn[3], drawn[4])


class Changing(ArrayImages):
    """Pictures that are brighter every time they are read, in batches that a worker would have loaded."""

    changing = True

    def __init__(self):
        super().__init__(torch.zeros(10, 1, 8, 8))
        self.reads = 0

    def __getitem__(self, indices):
        self.reads += 1
        return super().__getitem__(indices) + self.reads / 1000

    def batches(self, indices):
        self.asked = [torch.as_tensor(x).tolist() for x in indices]  # all at once: it reads ahead
        return (self[x] for x in self.asked)


def test_pictures_that_change_are_never_kept_and_are_read_as_their_set_wants():
    images = Changing()
    inputs = LayerInput(bottom(), images, LayerSettings(kernel=3, batch=5, updates=40), 0, seed=0)
    assert inputs.cache is None and images.reads == 0
    seen = [round(1000 * float(x.mean())) for x in inputs.batches(30)]
    assert seen == list(range(1, 11))
    still = LayerInput(bottom(), numbered(10), LayerSettings(kernel=3, batch=5, updates=40), 0, seed=0)
    assert images.asked == [indices(x) for x in still.batches(30)]


@pytest.mark.parametrize(("sizes", "side"), [("trim", 7), ("pad", 9)])
def test_sizes_that_blocks_do_not_divide(sizes, side):
    """Filters of 2 and blocks of 2 take odd sides alone."""
    images, settings = numbered(), LayerSettings(filters=4, kernel=2, batch=5, updates=40)
    whole = LayerInput(bottom(), images, CONV, 0, seed=0).batch(0)
    x = LayerInput(bottom(), images, settings, 0, seed=0, sizes=sizes).batch(0)
    assert x.shape == (5, 1, side, side)
    inner = min(side, 8)
    assert torch.equal(x[..., :inner, :inner], whole[..., :inner, :inner])


def test_pictures_suit_the_layers_above_too():
    """12 becomes 10 and 5 in layer 1, and 4 in layer 2, which 3 does not divide; 10 ends at 1, and 16 at 2."""
    recipe = Recipe(layers=(LayerSettings(kernel=3), LayerSettings(kernel=2, pool=3)), sizes="pad")
    assert input_for(bottom(), numbered(side=12), recipe, 0).batch(0).shape[2:] == (16, 16)
    trimmed = dataclasses.replace(recipe, sizes="trim")
    assert input_for(bottom(), numbered(side=12), trimmed, 0).batch(0).shape[2:] == (10, 10)
