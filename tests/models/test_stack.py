import contextlib
import re

import pytest
import torch
from torch.nn import functional as F

from convdbn import recipes
from convdbn.energy import Gaussian
from convdbn.errors import DataError, UsageError
from convdbn.images import ArrayImages, build_transform
from convdbn.learning.greedy import train_greedily
from convdbn.models.files import open_model, save
from convdbn.models.fitting import trimmed
from convdbn.models.machines import conv_dbm, conv_rbm, dbm, rbm
from convdbn.models.stack import Stack
from convdbn.recipes import LayerSettings
from convdbn.recipes.geometry import Geometry, output_side


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def randomized(stack, seed=0, scale=1.0):
    generator = seeded(seed)
    with torch.no_grad():
        for parameter in stack.parameters():
            parameter.normal_(0, scale, generator=generator)
    return stack.eval()


def conv_stack(transform=(), visible=1, picture=(1, 16, 16)):
    """Layer 1: 4 filters 3x3, blocks of 2; layer 2: 5 filters 2x2, blocks of 3."""
    machines = [
        conv_rbm(visible, 4, 3, pool=2),
        conv_rbm(4, 5, 2, pool=3),
    ]
    return randomized(Stack(build_transform(transform), machines, picture))


def pictures(*shape, seed=1):
    return torch.rand(*shape, generator=seeded(seed))


CONTRAST = [{"kind": "pad", "size": 1}, {"kind": "local_contrast", "size": 3, "epsilon": 0.1}]
WHITE = [{"kind": "whiten", "cutoff": 0.4}, {"kind": "local_contrast", "size": 3, "epsilon": 0.5}]


def stacks_and_pictures():
    yield "plain", conv_stack(), pictures(9, 1, 16, 22)
    yield "color", conv_stack(visible=3), pictures(9, 3, 16, 16)
    yield "contrast", conv_stack(CONTRAST, visible=Gaussian(1)), pictures(9, 1, 20, 14)
    yield "white", conv_stack(WHITE, visible=Gaussian(1)), pictures(9, 1, 16, 22)
    dense = [rbm(60, 7), rbm(7, 3)]
    yield "dense", randomized(Stack(build_transform([]), dense, (1, 6, 10))), pictures(9, 1, 6, 10)
    mixed = Stack(build_transform([]), [conv_rbm(1, 4, 3), rbm(4 * 2 * 4, 6)], (1, 6, 10))
    yield "mixed", randomized(mixed), pictures(9, 1, 6, 10)


every_stack = pytest.mark.parametrize(
    ("stack", "images"), [pytest.param(s, x, id=name) for name, s, x in stacks_and_pictures()]
)


@every_stack
class TestFeatures:
    def test_shapes_are_those_of_feature_info(self, stack, images):
        maps = stack.features(images)
        assert len(maps) == len(stack.machines) == len(stack.feature_info)
        for x, info in zip(maps, stack.feature_info, strict=True):
            assert x.shape[:2] == (9, info.channels)
            assert x.isfinite().all() and (x >= 0).all() and (x <= 1 + 1e-6).all()
            assert not x.requires_grad
            if info.reduction:
                assert x.ndim == 4
            else:
                assert x.ndim == 2
        assert maps[-1].std() > 0.01

    def test_a_picture_has_the_same_features_whatever_the_batch(self, stack, images):
        together = stack.features(images)
        for i in range(9):
            for one, all_ in zip(stack.features(images[i : i + 1]), together, strict=True):
                torch.testing.assert_close(one[0], all_[i], rtol=1e-4, atol=1e-5)
        strangers = images.clone()
        strangers[1:] = 0
        for other, all_ in zip(stack.features(strangers), together, strict=True):
            torch.testing.assert_close(other[0], all_[0], rtol=1e-4, atol=1e-5)

    def test_training_mode_changes_nothing(self, stack, images):
        before = stack.features(images)
        after = stack.train().features(images)
        stack.eval()
        assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))

    def test_bytes_are_floats_times_255(self, stack, images):
        as_bytes = (images * 255).round().to(torch.uint8)
        for a, b in zip(stack.features(as_bytes), stack.features(as_bytes.float() / 255), strict=True):
            assert torch.equal(a, b)

    def test_double_pictures_are_pictures(self, stack, images):
        for a, b in zip(stack.features(images.double()), stack.features(images), strict=True):
            torch.testing.assert_close(a.float(), b, rtol=1e-3, atol=1e-4)

    def test_depth_takes_the_lowest_layers(self, stack, images):
        whole = stack.features(images)
        for depth in range(1, len(whole) + 1):
            part = stack.features(images, depth=depth)
            assert len(part) == depth
            assert all(torch.equal(a, b) for a, b in zip(part, whole, strict=False))

    def test_save_and_load(self, stack, images, tmp_path):
        save(tmp_path / "model.safetensors", stack, {"note": 1})
        for path in (tmp_path, tmp_path / "model.safetensors", str(tmp_path)):
            loaded = open_model(path, "model").model
            assert loaded.picture == stack.picture and loaded.spec() == stack.spec()
            assert not loaded.training
            for a, b in zip(loaded.features(images), stack.features(images), strict=True):
                assert torch.equal(a, b)

    def test_the_pictures_are_left_alone(self, stack, images):
        before = images.clone()
        stack.features(images)
        assert torch.equal(images, before)

    @pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
    def test_broken_pixels_are_refused_and_the_picture_named(self, stack, images, value):
        broken = images.clone()
        broken[4, 0, 3, 5] = value
        with pytest.raises(DataError, match=r"images.* picture 4 .*(repair|remove)"):
            stack.features(broken)

    def test_too_many_channels(self, stack, images):
        with pytest.raises(DataError, match="the model takes"):
            stack.features(images.repeat(1, 2, 1, 1))

    @pytest.mark.parametrize("dimensions", [1, 2, 3, 5])
    def test_what_is_no_batch_of_pictures(self, stack, images, dimensions):
        shape = [1] * (dimensions - 2) + [16, 16] if dimensions > 1 else [16]
        with pytest.raises(DataError, match="images"):
            stack.features(torch.full(shape, 0.5))

    def test_no_pictures_have_no_features(self, stack, images):
        """An empty batch gives empty maps, or is refused as what it is; never a traceback from inside torch."""
        with contextlib.suppress(DataError):
            assert [x.shape[0] for x in stack.features(images[:0])] == [0] * len(stack.machines)


def test_features_by_hand():
    """Each block: the probability that one of its units is on, exp(f) / (1 + sum exp(f))."""
    stack, x = conv_stack(), pictures(2, 1, 16, 22)
    expected = x
    for machine, pool in zip(stack.machines, (2, 3), strict=True):
        field = F.conv2d(expected, machine.links[0].weight) + machine.units[1].bias.view(-1, 1, 1)
        total = F.avg_pool2d(field.exp(), pool) * pool**2
        expected = total / (1 + total)
    torch.testing.assert_close(stack.features(x)[1], expected)


def test_dense_features_by_hand():
    stack = randomized(Stack(build_transform([]), [rbm(Gaussian(12), 5), rbm(5, 3)], (1, 3, 4)))
    stack.machines[0].units[0].set_scale(0.5)
    x = pictures(4, 1, 3, 4)
    first, second = stack.machines
    hidden = (x.flatten(1) @ first.links[0].weight.T / 0.25 + first.units[1].bias).sigmoid()
    top = (hidden @ second.links[0].weight.T + second.units[1].bias).sigmoid()
    maps = stack.features(x)
    torch.testing.assert_close(maps[0], hidden)
    torch.testing.assert_close(maps[1], top)


@pytest.mark.parametrize(
    "layers", [[(3, 2)], [(3, 2), (2, 3)], [(1, 1), (4, 1)], [(2, 3), (3, 2), (2, 2)], [(5, 1)]], ids=str
)
def test_receptive_field_and_reduction_by_touching_single_pixels(layers):
    """Which positions of a map change with one pixel of the input is just what `feature_info` says."""
    machines, below = [], 1
    for kernel, pool in layers:
        machines.append(conv_rbm(below, 3, kernel, pool=pool).double())
        below = 3
    stack = randomized(Stack(build_transform([]), machines, (1, 1, 1)), scale=0.5)
    side = next(s for s in range(20, 60) if output_side(s, [Geometry((k, k), p) for k, p in layers], 0))
    x = pictures(1, 1, side, side).double().repeat(side, 1, 1, 1)  # batches of one shape round alike
    touched = x.clone()
    touched[range(side), 0, range(side), range(side)] = 1 - x[0, 0].diagonal()
    before, after = stack.features(x), stack.features(touched)
    for info, old, new in zip(stack.feature_info, before, after, strict=True):
        changed = (new != old).any(1)  # pixel, row, column
        for pixel in range(side):
            start = torch.arange(old.shape[-1]) * info.reduction
            sees = (start <= pixel) & (pixel < start + info.receptive_field)
            assert torch.equal(changed[pixel].any(1), sees), (info, pixel)
            assert torch.equal(changed[pixel].any(0), sees), (info, pixel)


def test_layers_say_where_they_stand():
    """Label units are no hidden layer."""
    lower, upper = conv_rbm(1, 2, 2, pool=2), conv_dbm(2, [2, 3], [2, 1], [2, 1])
    stack = Stack(build_transform([]), [lower, upper], (1, 7, 7))
    assert [(layer.machine, layer.position) for layer in stack.layers] == [(0, 1), (1, 1), (1, 2)]
    assert [layer.unit for layer in stack.layers] == [lower.units[1], *upper.units[1:]]
    assert [layer.link for layer in stack.layers] == [*lower.links, *upper.links]
    assert stack.geometry == [((2, 2), 2), ((2, 2), 2), ((1, 1), 1)]
    assert stack.deep and not conv_stack().deep
    labeled = Stack(build_transform([]), [dbm(3, [2, 2], 4)], (1, 1, 3))
    labeled = [(layer.position, layer.unit.n, layer.geometry.dense) for layer in labeled.layers]
    assert labeled == [(1, 2, True), (2, 2, True)]


def test_feature_info():
    info = conv_stack().feature_info
    assert [i._asdict() for i in info] == [
        {"layer": 1, "channels": 4, "reduction": 2, "receptive_field": 4},
        {"layer": 2, "channels": 5, "reduction": 6, "receptive_field": 10},
    ]
    dense = Stack(build_transform([]), [rbm(8, 5), rbm(5, 2)], (1, 2, 4)).feature_info
    assert [(i.channels, i.reduction, i.receptive_field) for i in dense] == [(5, 0, 0), (2, 0, 0)]


# Legal sides of `conv_stack` are 3 + 2 * (3 m + 1) - 1: 10, 16, 22, ...
@pytest.mark.parametrize("size", [(15, 16), (16, 17), (11, 27), (9, 16), (100, 53)])
def test_sizes_that_do_not_divide_name_the_nearest_legal_ones(size):
    stack = conv_stack()
    with pytest.raises(DataError) as caught:
        stack.features(pictures(1, 1, *size))
    message = str(caught.value)
    assert f"{size[0]}x{size[1]}" in message
    heights, widths = re.search(r"heights ([\d or]+), widths ([\d or]+)", message).groups()
    for side, named in zip(size, (heights, widths), strict=True):
        named = [int(n) for n in named.split(" or ")]
        legal = [n for n in range(1, 120) if n >= 10 and (n - 10) % 6 == 0]
        if side in legal:
            assert named == [side]
        else:
            nearest = [n for n in legal if n < side][-1:] + [n for n in legal if n > side][:1]
            assert named == nearest
    # And they are legal indeed.
    for height in map(int, heights.split(" or ")):
        for width in map(int, widths.split(" or ")):
            assert len(stack.features(pictures(1, 1, height, width))) == 2


def test_sizes_matter_only_for_the_layers_asked_for():
    stack = conv_stack()
    assert stack.features(pictures(1, 1, 14, 12), depth=1)[0].shape == (1, 4, 6, 5)
    with pytest.raises(DataError, match="heights 10 or 16, widths 10 or 16"):
        stack.features(pictures(1, 1, 14, 12))


@pytest.mark.parametrize("size", [(2, 16), (16, 9), (1, 1)])
@pytest.mark.parametrize("sizes", ["error", "trim"])
def test_pictures_smaller_than_the_filters(size, sizes):
    with pytest.raises(DataError, match=f"{size[0]}x{size[1]}.*10"):
        conv_stack().features(pictures(1, 1, *size), sizes=sizes)


def test_trim_takes_the_center():
    stack, x = conv_stack(), pictures(3, 1, 19, 23)
    trimmed = stack.features(x, sizes="trim")
    inner = stack.features(x[:, :, 1:17, 0:22])
    assert all(torch.equal(a, b) for a, b in zip(trimmed, inner, strict=True))
    legal = x[:, :, :16, :22]
    for a, b in zip(stack.features(legal, sizes="trim"), stack.features(legal), strict=True):
        assert torch.equal(a, b)


def test_padding_repeats_the_edge():
    stack, x = conv_stack(), pictures(3, 1, 15, 21)
    wide = torch.cat([x, x[..., -1:]], 3)
    wide = torch.cat([wide, wide[:, :, -1:]], 2)  # 16 x 22: one odd pixel goes below and right
    for a, b in zip(stack.features(x, sizes="pad"), stack.features(wide), strict=True):
        assert torch.equal(a, b)


def test_the_old_spelling_of_sizes():
    stack, x = conv_stack(), pictures(1, 1, 19, 23)
    with pytest.warns(DeprecationWarning, match="sizes='trim'"):
        old = stack.features(x, trim=True)
    assert all(torch.equal(a, b) for a, b in zip(old, stack.features(x, sizes="trim"), strict=True))


def test_trim_comes_after_the_transform():
    """The border of the transformed picture goes, so no artificial edge is made inside the picture."""
    stack, x = conv_stack(CONTRAST, visible=Gaussian(1)), pictures(2, 1, 17, 17)  # 19 after padding, 16 left
    prepared = stack.prepare(x)
    (expected,) = stack.infer(prepared[:, :, 1:17, 1:17], 0)
    assert torch.equal(stack.features(x, sizes="trim")[0], expected)


RAW = [{"kind": "raw"}]
"""The transform of a model of data that is whitened already."""


@pytest.mark.parametrize("value", [-0.1, 1.5, 255.0])
class TestValuesOutsideTheUnitInterval:
    def broken(self, value):
        x = pictures(3, 1, 16, 16)
        x[1, 0, 2, 2] = value
        return x

    @pytest.mark.parametrize("transform", [[], CONTRAST])
    def test_are_refused_before_the_transform(self, value, transform):
        stack = conv_stack(transform, visible=Gaussian(1))
        message = rf"images: picture 1 of the batch holds {value:.4g}, but the model takes floats in \[0, 1\]; divide"
        for method in (stack.features, stack, stack.prepare, lambda x: stack.activations(x, 1)):
            with pytest.raises(DataError, match=message):
                method(self.broken(value))

    def test_are_taken_by_a_model_of_raw_data(self, value, tmp_path):
        conv_stack(RAW, visible=Gaussian(1)).save(tmp_path / "raw.safetensors")
        loaded = open_model(tmp_path / "raw.safetensors", "model").model
        assert loaded.features(self.broken(value))[1].isfinite().all()

    def test_do_not_fit_bernoulli_units(self, value):
        with pytest.raises(DataError, match=rf"images: has values from .*{value:.4g}.*\[0, 1\]; scale the pictures"):
            conv_stack(RAW).features(self.broken(value))


def test_a_model_that_was_trained_on_raw_data_describes_raw_data():
    whitened = torch.randn(8, 1, 12, 12, generator=seeded())
    images = ArrayImages(whitened, value_range="raw")
    layers = [LayerSettings(filters=4, kernel=3, pool=2, visible="gaussian", updates=2, batch=4)]
    stack = train_greedily(recipes.Recipe(layers=layers, mirror=True), images, verbose=False)
    assert stack.features(whitened)[0].shape == (8, 4, 5, 5)
    plain = train_greedily(recipes.Recipe(layers=layers), ArrayImages(whitened.sigmoid()), verbose=False)
    with pytest.raises(DataError, match="but the model takes floats"):
        plain.features(whitened)


def test_rounding_at_the_edge_of_the_interval_is_none_of_the_users():
    x = torch.full((1, 1, 16, 16), 1.0000005)
    assert conv_stack(visible=Gaussian(1)).features(x)[0].isfinite().all()


def test_integers_are_bytes_or_have_16_bits():
    stack, whole = conv_stack(), torch.arange(256, dtype=torch.int32).view(1, 1, 16, 16)
    for dtype in (torch.int32, torch.int64, torch.int8, torch.complex64):
        with pytest.raises(
            DataError, match=rf"images={str(dtype)[6:]}\(1, 1, 16, 16\): numbers of this type .*uint8"
        ):
            stack.features(whole.to(dtype))
    expected = stack.features(whole / 255)[0]
    assert torch.equal(stack.features(whole.to(torch.uint8))[0], expected)
    assert torch.equal(stack.features((whole * 257).to(torch.uint16))[0], expected)


def test_arrays_are_taken_in_every_layout_of_as_images():
    stack, x = conv_stack(visible=3), pictures(2, 3, 16, 16)
    gray = conv_stack()
    assert torch.equal(stack.features(x.numpy())[1], stack.features(x)[1])
    assert torch.equal(stack.features(x.movedim(1, 3).numpy())[1], stack.features(x)[1])
    assert torch.equal(gray(x[:, 0].numpy())[1], gray(x[:, :1])[1])
    with pytest.raises(DataError, match="images=list: is no batch of pictures; give a tensor or an array"):
        gray.features([x[0]])


def test_dense_stacks_take_one_size():
    stack = randomized(Stack(build_transform([]), [rbm(60, 7)], (1, 6, 10)))
    with pytest.raises(DataError, match=r"images=\(2, 64\): the model takes \(batch, 60\)"):
        stack.features(pictures(2, 1, 8, 8))


def test_a_fitted_transform_travels_in_the_checkpoint(tmp_path):
    stack = conv_stack([{"kind": "zca", "epsilon": 0.1}], visible=Gaussian(1))
    with pytest.raises(RuntimeError, match="not fitted"):
        stack.features(pictures(1, 1, 16, 16))
    stack.transform.fit([pictures(50, 1, 16, 16)])
    save(tmp_path / "m.safetensors", stack, {})
    x = pictures(2, 1, 16, 16, seed=9)
    loaded = open_model(tmp_path / "m.safetensors", "model").model
    assert torch.equal(loaded.features(x)[1], stack.features(x)[1])


def test_before_the_first_machine_pictures_go_where_the_fitted_transform_is():
    """As in training on a GPU, whose first layer is made from pictures that a whitening there has seen."""
    stack = Stack(build_transform([{"kind": "zca"}]), [], ())
    stack.transform.fit([pictures(50, 1, 4, 4)])
    assert stack.double().prepare(pictures(2, 1, 4, 4)).dtype == torch.float64


def test_the_scale_of_gaussian_visibles_travels_in_the_checkpoint(tmp_path):
    stack = conv_stack(visible=Gaussian(1))
    stack.machines[0].units[0].set_scale(0.37)
    save(tmp_path / "m.safetensors", stack, {})
    loaded = open_model(tmp_path / "m.safetensors", "model").model
    assert float(loaded.machines[0].units[0].scale) == pytest.approx(0.37)


def test_trainer_tensors_are_kept_apart(tmp_path):
    stack = conv_stack()
    save(tmp_path / "m.safetensors", stack, {"progress": 3}, {"step": torch.tensor(5)})
    loaded, metadata, trainer = open_model(tmp_path / "m.safetensors", "model")[:3]
    assert trainer == {"step": torch.tensor(5)}
    assert metadata["progress"] == 3
    assert set(loaded.state_dict()) == set(stack.state_dict())


def test_a_layer_runs_on_the_meta_device():
    """No hidden `.item()` and no tensor left on the host."""
    stack = conv_stack().to("meta")
    machine, x = stack.machines[1], torch.empty(2, 4, 7, 10, device="meta")
    assert machine.units[1].mean(machine.field((x, None), 1)).shape == (2, 5, 6, 9)
    assert trimmed(torch.empty(2, 4, 9, 8, device="meta"), stack.geometry[:1]).shape == (2, 4, 8, 8)


def test_sizes_of_non_square_filters():
    """`conv_rbm` takes them: heights and widths then divide differently."""
    stack = randomized(Stack(build_transform([]), [conv_rbm(1, 3, (3, 4), pool=2)], (1, 8, 9)))
    assert stack.features(pictures(2, 1, 8, 9))[0].shape == (2, 3, 3, 3)
    with pytest.raises(DataError, match="heights 8, widths 9 or 11"):
        stack.features(pictures(2, 1, 8, 10))


def recipe_of_two():
    lower = LayerSettings(filters=3, kernel=3, pool=2, batch=5, updates=4)
    upper = LayerSettings(filters=2, kernel=2, pool=1, batch=5, updates=4)
    return recipes.load("crbm_mnist", layers=[lower, upper], log_every=2)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The same model, trained in memory and into a run folder."""
    folder, images = tmp_path_factory.mktemp("run"), ArrayImages(pictures(20, 1, 8, 8))
    recipe = recipe_of_two()
    in_memory = train_greedily(recipe, images, data={"data": "x"}, verbose=False)
    train_greedily(recipe, images, data={"data": "x"}, folder=folder, verbose=False)
    return in_memory, folder


def test_a_model_of_memory_that_was_saved_is_that_of_a_run_folder(trained, tmp_path):
    in_memory, folder = trained
    file = in_memory.save(tmp_path / "model.safetensors")
    saved, of_run = open_model(file, "model").model, open_model(folder, "model").model
    for model in (saved, of_run):
        assert all(torch.equal(x, in_memory.state_dict()[name]) for name, x in model.state_dict().items())
        assert model.metadata == in_memory.metadata and model.metadata["data"] == {"data": "x"}
        assert model.recipe == in_memory.recipe and [layer.filters for layer in model.recipe.layers] == [3, 2]
        assert model.history == in_memory.history
        steps = [(row["layer"], row["step"]) for row in model.history]
        assert steps == [(1, 1), (1, 3), (1, 4), (2, 1), (2, 3), (2, 4)]
    assert open_model(of_run.save(tmp_path / "again.safetensors"), "model").model.history == in_memory.history


def test_a_model_made_by_hand_has_no_training():
    stack = conv_stack()
    assert stack.recipe is None and stack.history == [] and stack.metadata == {}


def test_a_model_says_what_it_is_in_a_few_lines():
    assert repr(conv_stack()) == (
        "Stack(picture=(1, 16, 16), transform=[]\n"
        "  layer 1: 4 block_softmax, filters 3x3, blocks 2x2\n"
        "  layer 2: 5 block_softmax, filters 2x2, blocks 3x3)"
    )


def test_activations_are_those_of_the_units_before_pooling():
    stack, x = conv_stack(), pictures(2, 1, 16, 16)
    for layer, maps in enumerate(stack.features(x), start=1):
        units = stack.activations(x, layer)
        pool = stack.geometry[layer - 1].pool
        torch.testing.assert_close(F.avg_pool2d(units, pool, divisor_override=1), maps)
        assert torch.equal(stack.activations(x, layer, pooled=True), maps)
    with pytest.raises(UsageError, match="layer=3: the model has layers 1 to 2"):
        stack.activations(x, 3)


def test_samples_are_drawn_by_their_seed():
    stack = conv_stack()
    first, same, other = (stack.sample(3, sweeps=4, seed=seed) for seed in (0, 0, 1))
    assert first.shape == (3, 1, 16, 16) and torch.equal(first, same) and not torch.equal(first, other)
    with pytest.raises(UsageError, match="count=0: must be at least 1"):
        stack.sample(0)


MODELS = {
    "convolutional": lambda: Stack(
        build_transform([]), [conv_rbm(1, 3, 3, pool=2), conv_rbm(3, 2, 2, pool=1)], (1, 6, 6)
    ),
    "connected": lambda: Stack(build_transform([{"kind": "invert"}]), [rbm(36, 5), rbm(5, 4)], (1, 6, 6)),
    "deep": lambda: Stack(build_transform([]), [dbm(36, [5, 4])], (1, 6, 6)),
    "deep convolutional": lambda: Stack(build_transform([]), [conv_dbm(1, [3, 2], [3, 2], [2, 1])], (1, 6, 6)),
}


@pytest.mark.parametrize("name", MODELS)
def test_forward_gives_the_features(name):
    """To rounding: the features come from kernels where there are some. In float64 there are none."""
    stack, x = randomized(MODELS[name](), scale=0.3), pictures(4, 1, 6, 6)
    for maps, features in zip(stack(x), stack.features(x), strict=True):
        torch.testing.assert_close(maps, features)
        assert maps.requires_grad and not features.requires_grad
    stack, x = stack.double(), x.double()
    for maps, features in zip(stack(x), stack.features(x), strict=True):
        assert torch.equal(maps, features)


@pytest.mark.parametrize("name", MODELS)
def test_forward_has_the_gradient_of_finite_differences(name):
    stack = randomized(MODELS[name](), scale=0.3).double()
    x = pictures(2, 1, 6, 6).double().mul(0.8).add(0.1).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: stack(x)[-1], x, atol=1e-6)
    wanted = {name: p for name, p in stack.named_parameters() if "weight" in name}
    gradients = torch.autograd.grad(stack(x)[-1].square().sum(), list(wanted.values()))
    for weight, gradient in zip(wanted.values(), gradients, strict=True):
        direction = torch.randn(weight.shape, generator=seeded(1), dtype=torch.float64)
        sums = []
        for step in (1e-6, -1e-6):
            weight.data.add_(direction, alpha=step)
            sums.append(stack.features(x.detach())[-1].square().sum())
            weight.data.sub_(direction, alpha=step)
        torch.testing.assert_close((sums[0] - sums[1]) / 2e-6, (gradient * direction).sum(), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("name", MODELS)
def test_an_ordinary_training_loop_moves_the_filters_of_every_layer(name):
    stack, x = randomized(MODELS[name](), scale=0.3), pictures(16, 1, 6, 6)
    target = x.mean((1, 2, 3))
    read = torch.nn.LazyLinear(1)
    read(stack(x)[-1].flatten(1))
    before = [layer.link.weight.detach().clone() for layer in stack.layers]
    optimizer = torch.optim.AdamW([*stack.parameters(), *read.parameters()], lr=0.01, weight_decay=0)
    losses = []
    for _ in range(20):
        loss = (read(stack(x)[-1].flatten(1))[:, 0] - target).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.5 * losses[0]
    assert all(not torch.equal(w, layer.link.weight) for w, layer in zip(before, stack.layers, strict=True))
