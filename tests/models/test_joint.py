"""Layers trained together, as one deep Boltzmann machine: learning, features, and what is refused."""

import itertools

import pytest
import torch

from convdbn.errors import Interrupted, UsageError
from convdbn.images import ArrayImages, build_transform
from convdbn.learning.greedy import train_greedily
from convdbn.models.classifier import Classifier
from convdbn.models.files import open_model
from convdbn.models.machines import conv_dbm, dbm
from convdbn.models.pyramid import SpatialPyramid
from convdbn.models.stack import Stack
from convdbn.recipes import LayerSettings, Recipe
from convdbn.sampling import exact
from convdbn.visual import projections

DENSE = {"batch": 50, "phase": "pcd", "centering": "data", "momentum_end": 0.0, "sample_input": True}


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def bars(count=400, side=3):
    """Pictures of one lit row or one lit column, with a little noise."""
    rows = torch.randint(2 * side, (count,), generator=seeded(1))
    x = torch.full((count, 1, side, side), 0.02)
    for picture, index in zip(x, rows.tolist(), strict=True):
        (picture[0] if index < side else picture[0].T)[index % side] = 0.98
    return ArrayImages(x)


def recipe(*layers, **general):
    return Recipe(layers=tuple(LayerSettings(**layer) for layer in layers), joint=True, held_out=0, **general)


def trained(chosen, images, **options):
    return train_greedily(chosen, images, **options)


def test_joint_training_raises_the_exact_likelihood():
    images = bars()
    x = images[range(len(images))].flatten(1).round()

    def nats(updates, rate):
        plan = recipe(dict(DENSE, filters=6, updates=updates, rate=rate), dict(DENSE, filters=4))
        (machine,) = trained(plan, images).machines
        assert [unit.n for unit in machine.units] == [9, 6, 4]
        with torch.no_grad():
            return float(exact.log_likelihood(machine, x, machine.shapes((9,))).mean())

    before, after = nats(1, 1e-6), nats(1500, 0.3)
    assert before < -5.5 and after > -2.4  # the best that can be is the entropy of the pictures, -1.9 or so


def test_features_are_the_fixed_point_of_mean_field():
    machine = dbm(9, [6, 4, 3])
    for seed, parameter in enumerate(machine.parameters()):
        parameter.data.normal_(0, 0.5, generator=seeded(seed))
    stack = Stack(build_transform([]), [machine], (1, 3, 3))
    x = torch.rand(5, 1, 3, 3, generator=seeded())
    state = (x.flatten(1), *stack.features(x))
    assert [tuple(h.shape) for h in state[1:]] == [(5, 6), (5, 4), (5, 3)]
    for layer in (1, 2, 3):
        expected = machine.units[layer].mean(machine.field(state, layer))
        torch.testing.assert_close(state[layer], expected, atol=1e-3, rtol=0)
    assert [info.channels for info in stack.feature_info] == [6, 4, 3]
    assert len(stack.features(x, depth=2)) == 2


def test_the_top_layer_changes_what_the_lower_one_makes_of_a_picture():
    """What makes it a deep Boltzmann machine and not a stack."""
    machine = conv_dbm(1, [3, 4], [3, 2], [2, 1])
    for seed, parameter in enumerate(machine.parameters()):
        parameter.data.normal_(0, 0.8, generator=seeded(seed))
    stack = Stack(build_transform([]), [machine], (1, 8, 8))
    x = torch.rand(2, 1, 8, 8, generator=seeded())
    lower, upper = stack.features(x)
    assert lower.shape == (2, 3, 3, 3) and upper.shape == (2, 4, 2, 2)
    assert [info.receptive_field for info in stack.feature_info] == [4, 6]
    machine.units[2].bias.data += 3
    assert not torch.allclose(stack.features(x)[0], lower, atol=1e-3)
    assert projections.linear_combination(stack, 2).shape == (4, 1, 6, 6)


def test_a_convolutional_one_trains_and_comes_back_from_its_file(tmp_path):
    layer = {"kernel": 3, "updates": 30, "batch": 10, "phase": "pcd", "rate": 0.05}
    plan = recipe(dict(layer, filters=4), dict(layer, filters=3, kernel=2, pool=1))
    images = ArrayImages(torch.rand(40, 1, 8, 8, generator=seeded()))
    stack = trained(plan, images, folder=tmp_path)
    x = images[range(3)]
    for one, other in zip(stack.features(x), open_model(tmp_path, "model").model.features(x), strict=True):
        assert torch.equal(one, other)


def test_an_interrupted_run_ends_as_one_that_was_not(tmp_path):
    plan = recipe(dict(DENSE, filters=6, updates=20, rate=0.1), dict(DENSE, filters=4))
    whole = trained(plan, bars())
    asked = itertools.count()
    with pytest.raises(Interrupted):
        trained(plan, bars(), folder=tmp_path, stop=lambda: next(asked) == 7)
    resumed = train_greedily(plan, bars(), folder=tmp_path, resume=True)
    for one, other in zip(whole.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(one, other)


def test_what_is_refused():
    mixed = recipe({"filters": 4, "kernel": 2, "pool": 2}, {"filters": 3})
    with pytest.raises(UsageError, match="joint=True: layers are convolutional and fully connected"):
        trained(mixed, bars())
    stack = Stack(build_transform([]), [dbm(9, [4, 3])], (1, 3, 3))
    with pytest.raises(UsageError, match="are taken whole"):
        Classifier.from_stack(stack, ["a", "b"], SpatialPyramid())


def test_a_deep_machine_begins_as_the_model_below_it(tmp_path):
    """With nothing but faint noise above, the likelihood is that of the machine that it began with."""
    images = bars()
    x = images[range(len(images))].flatten(1).round()
    plan = Recipe(layers=(LayerSettings(**dict(DENSE, filters=6, updates=600, rate=0.3)),), held_out=0)
    below = trained(plan, images, folder=tmp_path / "below").machines[0]
    fields = dict(DENSE, filters=6, updates=1, rate=1e-9, weight_std=1e-4)
    deep = recipe(fields, dict(fields, filters=4), initial=str(tmp_path / "below"))
    (machine,) = trained(deep, images).machines
    with torch.no_grad():
        wanted, found = (exact.log_likelihood(m, x, m.shapes((9,))).mean() for m in (below, machine))
    assert wanted > -4.5
    torch.testing.assert_close(found, wanted, atol=1e-3, rtol=0)
