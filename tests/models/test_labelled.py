"""Machines with label units: training, inference of labels, features, and what is refused."""

import pytest
import torch

import convdbn
from convdbn.errors import DataError, UsageError
from convdbn.images import ArrayImages
from convdbn.models.classifier import Classifier
from convdbn.models.greedy import GreedyTraining
from convdbn.models.pooling import Pooling
from convdbn.models.stack import load
from convdbn.readout.labels import label_error
from convdbn.recipes import Layer, Recipe

TOP = {"filters": 20, "labels": True, "updates": 300, "batch": 50, "rate": 0.1}


def halves(count=300, seed=0):
    """Noise that is brighter on the left (class 0), on the right (1), or nowhere (2)."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 3
    x = 0.6 * torch.rand(count, 1, 4, 4, generator=generator)
    x[labels == 0, ..., :2] += 0.4
    x[labels == 1, ..., 2:] += 0.4
    return ArrayImages(x, labels)


def recipe(*layers, **general):
    return Recipe(layers=tuple(Layer(**layer) for layer in layers), held_out=0, **general)


@pytest.mark.parametrize(
    "weights",
    [{"discriminative": 0.0}, {"discriminative": 1.0, "generative": 0.0}, {"discriminative": 1.0, "generative": 0.1}],
    ids=["generative", "discriminative", "hybrid"],
)
def test_each_way_of_learning_learns_to_tell_labels(weights):
    untrained = GreedyTraining(recipe(TOP | {"updates": 1, "rate": 1e-9}), halves()).run()
    assert label_error(untrained, halves(seed=1)) > 30
    stack = GreedyTraining(recipe(TOP | weights), halves()).run()
    assert label_error(stack, halves(seed=1)) < 5


def test_labels_in_the_top_of_a_deep_belief_network(tmp_path):
    plan = recipe({"filters": 15, "updates": 1000, "batch": 50, "rate": 0.1}, TOP | {"updates": 1000})
    stack = GreedyTraining(plan, halves(), held_out=halves(30, 2), folder=tmp_path).run()
    assert label_error(stack, halves(seed=1)) < 15
    again = load(tmp_path)
    assert [info.channels for info in again.feature_info] == [15, 20]
    images = halves(4)[range(4)]
    assert [x.shape for x in again.features(images)] == [(4, 15), (4, 20)]
    for one, other in zip(stack.features(images), again.features(images), strict=True):
        assert torch.equal(one, other)


def test_a_labelled_top_becomes_a_classifier_like_any_other():
    stack = GreedyTraining(recipe(TOP), halves()).run()
    network = Classifier.from_stack(stack, ["a", "b", "c"], Pooling(power=1))
    images = halves(5)[range(5)]
    field = stack.machines[0].field((images.flatten(1), None, None), 1)
    torch.testing.assert_close(network.maps(network.inputs(images))[0], stack.machines[0].units[1].mean(field))


def test_what_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"labels=True: .* has no classes"):
        GreedyTraining(recipe(TOP), ArrayImages(halves()[range(9)])).run()
    with pytest.raises(UsageError, match="labels=True: for the highest layer alone"):
        GreedyTraining(recipe(TOP, {"filters": 3}), halves()).run()
    with pytest.raises(UsageError, match=r"discriminative=1\.0: needs labels"):
        GreedyTraining(recipe({"filters": 3, "discriminative": 1.0}), halves()).run()
    plain = GreedyTraining(recipe({"filters": 3, "updates": 1}), halves(), folder=tmp_path)
    plain.run()
    with pytest.raises(UsageError, match="classifier='labels': the model has no label units"):
        convdbn.evaluate(checkpoint=tmp_path, data="digits", classifier="labels")
