"""The network that fine-tuning trains: at first it is the stack, and afterwards an ordinary module."""

import pytest
import torch
from torch.nn import functional as F

from convdbn.energy import Bernoulli, Binomial, BlockSoftmax, Gaussian, NoisyReLU
from convdbn.errors import CheckpointError, DataError, UsageError
from convdbn.images import Raw, build_transform
from convdbn.models.classifier import Classifier
from convdbn.models.files import open_model, save
from convdbn.models.machines import conv_rbm, dbm, rbm
from convdbn.models.pyramid import SpatialPyramid
from convdbn.models.stack import Stack
from convdbn.storage.checkpoint import FILES

CLASSES = ["a", "b", "c"]


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def randomized(stack):
    for machine in stack.machines:
        for parameter in machine.parameters():
            parameter.data.normal_(0, 0.5, generator=seeded())
    return stack


def conv_stack():
    """Gaussian pixels of scale .7, two convolutional layers, one fully connected."""
    machines = [
        conv_rbm(Gaussian(1), 4, 3, pool=2),
        conv_rbm(4, 5, (2, 3), pool=1),
        rbm(5 * 4 * 3, 6),
    ]
    machines[0].units[0].set_scale(0.7)
    transform = build_transform([{"kind": "local_contrast", "size": 3, "epsilon": 0.1}])
    return randomized(Stack(transform, machines, (1, 12, 12)))


@pytest.mark.parametrize("layers", [(1,), (2,), (1, 2, 3)])
def test_maps_are_the_features_of_the_stack(layers):
    stack, images = conv_stack(), torch.rand(4, 1, 12, 12, generator=seeded())
    network = Classifier.from_stack(stack, CLASSES, SpatialPyramid(layers, (2,)))
    maps = network.maps(network.inputs(images))
    assert len(maps) == max(layers)
    for ours, theirs in zip(maps, stack.features(images), strict=False):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)


def test_pooling_probability_is_one_minus_that_of_all_off():
    """Against enumeration of the states of every block."""
    field = 3 * torch.randn(2, 3, 4, 6, generator=seeded(), dtype=torch.float64)
    states = BlockSoftmax(1, 2).states((1, 2, 2)).double().flatten(1)
    blocks = field.unfold(2, 2, 2).unfold(3, 2, 2).flatten(4)
    weights = (blocks @ states.T).exp()
    on = (weights * states.sum(1)).sum(-1) / weights.sum(-1)
    torch.testing.assert_close(BlockSoftmax(1, 2).as_module()(field), on)
    assert torch.autograd.gradcheck(BlockSoftmax(1, 2).as_module(), field.requires_grad_())


def test_every_weight_gets_a_finite_gradient_even_of_maps_that_are_off():
    network = Classifier.from_stack(conv_stack(), CLASSES, SpatialPyramid((1, 2, 3), (2,)))
    network.linear.weight.data.normal_(generator=seeded())
    network.layers[0][0].bias.data[0] = -200.0  # its probability is 0 in float32
    loss = F.cross_entropy(network(torch.rand(6, 1, 12, 12, generator=seeded())), torch.tensor([0, 1, 2, 0, 1, 2]))
    loss.backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().sum() > 0, name


def test_before_training_every_class_is_as_likely():
    network = Classifier.from_stack(conv_stack(), CLASSES, SpatialPyramid((2,), (2,)))
    assert (network(torch.rand(4, 1, 12, 12)) == 0).all()


def test_values_are_standardized_once_and_not_by_the_batch():
    network = Classifier.from_stack(conv_stack(), CLASSES, SpatialPyramid((1, 2), (2,)))
    network.linear.weight.data.normal_(generator=seeded())
    images = torch.rand(40, 1, 12, 12, generator=seeded())
    network.standardize(network.inputs(batch) for batch in images.split(7))
    values = network.values(network.inputs(images))
    torch.testing.assert_close(values.mean(0), torch.zeros(len(network.center)), atol=1e-5, rtol=0)
    assert 0.4 < values.var(0).mean() < 1 and values.var(0).max() < 1.1
    network.train()
    torch.testing.assert_close(network(images[:1]), network(images)[:1], rtol=1e-4, atol=1e-5)


def test_what_is_saved_is_what_is_loaded(tmp_path):
    network = Classifier.from_stack(conv_stack(), CLASSES, SpatialPyramid((1, 2), (2, 1), 0.7))
    network.linear.weight.data.normal_(generator=seeded())
    save(tmp_path / FILES["classifier"], network, {})
    loaded = open_model(tmp_path, "classifier").model
    images = torch.rand(4, 1, 12, 12, generator=seeded())
    assert not loaded.training
    assert (loaded(images) == network.eval()(images)).all()
    assert loaded.spec() == network.spec()
    assert set(loaded.state_dict()) == set(network.state_dict())


def test_refusals(tmp_path):
    with pytest.raises(UsageError, match=r"layers=\(4,\): the model has layers 1 to 3"):
        Classifier.from_stack(conv_stack(), CLASSES, SpatialPyramid((4,)))
    with pytest.raises(CheckpointError, match="no such file"):
        open_model(tmp_path, "classifier")


def test_values_outside_the_unit_interval_are_refused_unless_the_stack_was_trained_on_raw_data():
    images = 255 * torch.rand(4, 1, 12, 12, generator=seeded())
    network = Classifier.from_stack(conv_stack(), CLASSES, SpatialPyramid((1,)))
    with pytest.raises(DataError, match=r"picture 0 of the batch holds .* but the model takes floats in"):
        network(images)
    stack = conv_stack()
    stack.transform.insert(0, Raw())
    assert Classifier.from_stack(stack, CLASSES, SpatialPyramid((1,)))(images).isfinite().all()


@pytest.mark.parametrize("hidden", [[6, 5], [6, 5, 4]])
def test_an_unrolled_deep_machine_says_what_mean_field_says(hidden, tmp_path):
    """A fixed point of mean field comes out of one pass that sees it; fine-tuning leaves the machine alone."""
    stack = randomized(Stack(build_transform([]), [dbm(Gaussian(9, 0.8), hidden)], (1, 3, 3)))
    images = torch.rand(7, 1, 3, 3, generator=seeded())
    network = Classifier.from_stack(stack, CLASSES, SpatialPyramid((len(hidden),)))
    for ours, theirs in zip(network.maps(network.inputs(images)), stack.features(images), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-3)  # mean field stops at 1e-4
    network.linear.weight.data.normal_(generator=seeded())
    F.cross_entropy(network(images), torch.tensor([0, 1, 2, 0, 1, 2, 0])).backward()
    for name, parameter in network.named_parameters():
        assert (parameter.grad is None) == name.startswith("machine."), name
    save(tmp_path / FILES["classifier"], network, {})
    assert torch.equal(open_model(tmp_path, "classifier").model(images), network.eval()(images))
    with pytest.raises(UsageError, match="taken whole"):
        Classifier.from_stack(stack, CLASSES, SpatialPyramid((1,)))


def test_a_linear_code_is_no_layer_of_a_classifier():
    stack = randomized(Stack(build_transform([]), [rbm(9, 6), rbm(6, Gaussian(2))], (1, 3, 3)))
    with pytest.raises(UsageError, match="is a code"):
        Classifier.from_stack(stack, CLASSES, SpatialPyramid((2,)))
    Classifier.from_stack(stack, CLASSES, SpatialPyramid((1,)))


@pytest.mark.parametrize("unit", [Binomial(5, 3), NoisyReLU(5), Bernoulli(5)], ids=lambda unit: unit.kind)
@pytest.mark.parametrize("deep", [False, True], ids=["one layer", "deep"])
def test_maps_are_the_features_of_every_kind_of_units(unit, deep, tmp_path):
    """Before any training, and read back from a file."""
    machine = dbm(12, [unit, Bernoulli(4)] if deep else [unit])
    stack = Stack(build_transform([]), [machine], (1, 3, 4)).double()
    generator = torch.Generator().manual_seed(0)
    for parameter in stack.parameters():
        parameter.data.normal_(0, 0.3, generator=generator)
    layers = (1, 2) if deep else (1,)
    network = Classifier.from_stack(stack, ["a", "b"], SpatialPyramid(layers=layers))
    x = torch.rand(6, 1, 3, 4, generator=generator, dtype=torch.float64)
    save(tmp_path / "c.safetensors", network, {})
    for found in (network, open_model(tmp_path / "c.safetensors", "classifier").model.double()):
        for maps, features in zip(found.maps(found.inputs(x)), stack.features(x), strict=True):
            torch.testing.assert_close(maps, features, rtol=1e-3, atol=1e-3)
