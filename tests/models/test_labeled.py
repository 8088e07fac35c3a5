"""Machines with label units: training, inference of labels, features, and what is refused."""

import pytest
import torch

import convdbn
from convdbn.errors import DataError, UsageError
from convdbn.evaluation.label_units import label_error
from convdbn.images import ArrayImages, build_transform
from convdbn.learning.greedy import train_greedily
from convdbn.learning.labels import with_inferred_labels
from convdbn.learning.layer_inputs import LayerInput
from convdbn.learning.phases import positive
from convdbn.models.classifier import Classifier
from convdbn.models.files import open_model
from convdbn.models.machines import dbm, labeled_rbm
from convdbn.models.pyramid import SpatialPyramid
from convdbn.models.stack import Stack
from convdbn.recipes import LayerSettings, Recipe
from convdbn.sampling import exact
from convdbn.sampling.bound import unnormalized
from convdbn.sampling.labels import label_logits

DEEP = {"batch": 50, "rate": 0.2, "phase": "pcd", "centering": "data", "updates": 500, "weight_std": 0.3}
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
    return Recipe(layers=tuple(LayerSettings(**layer) for layer in layers), held_out=0, **general)


@pytest.mark.parametrize(
    "weights",
    [{"discriminative": 0.0}, {"discriminative": 1.0, "generative": 0.0}, {"discriminative": 1.0, "generative": 0.1}],
    ids=["generative", "discriminative", "hybrid"],
)
def test_each_way_of_learning_learns_to_tell_labels(weights):
    untrained = train_greedily(recipe(TOP | {"updates": 1, "rate": 1e-9}), halves())
    assert label_error(untrained, halves(seed=1)) > 30
    stack = train_greedily(recipe(TOP | weights), halves())
    assert label_error(stack, halves(seed=1)) < 5


def test_labels_in_the_top_of_a_deep_belief_network(tmp_path):
    plan = recipe({"filters": 15, "updates": 1000, "batch": 50, "rate": 0.1}, TOP | {"updates": 1000})
    stack = train_greedily(plan, halves(), held_out=halves(30, 2), folder=tmp_path)
    assert label_error(stack, halves(seed=1)) < 15
    again = open_model(tmp_path, "model").model
    assert [info.channels for info in again.feature_info] == [15, 20]
    images = halves(4)[range(4)]
    assert [x.shape for x in again.features(images)] == [(4, 15), (4, 20)]
    for one, other in zip(stack.features(images), again.features(images), strict=True):
        assert torch.equal(one, other)


def test_a_labeled_top_becomes_a_classifier_like_any_other():
    stack = train_greedily(recipe(TOP), halves())
    network = Classifier.from_stack(stack, ["a", "b", "c"], SpatialPyramid(power=1))
    images = halves(5)[range(5)]
    field = stack.machines[0].field((images.flatten(1), None, None), 1)
    torch.testing.assert_close(network.maps(network.inputs(images))[0], stack.machines[0].units[1].mean(field))


@torch.no_grad()
def test_labels_of_a_deep_machine_are_nearly_those_of_enumeration():
    machine = dbm(5, [4, 3], 3).double()
    assert [machine.edges, machine.colors] == [[(0, 1), (1, 2), (3, 2)], [0, 1, 0, 1]]
    generator = torch.Generator().manual_seed(0)
    for parameter in machine.parameters():
        parameter.normal_(0, 0.7, generator=generator)
    joint, p = exact.probabilities(machine, machine.shapes((5,)))
    visible, labels = exact.states(machine, machine.shapes((5,)), [0])[0], torch.eye(3, dtype=torch.float64)
    fits = (joint[0] == visible[:, None]).all(2), (joint[3] == labels[:, None]).all(2)
    wanted = torch.einsum("vs,ls,s->vl", *(fit.double() for fit in fits), p)
    found = label_logits(machine, visible).softmax(1)
    torch.testing.assert_close(found, wanted / wanted.sum(1, keepdim=True), atol=0.03, rtol=0)
    by_bound = unnormalized(labeled := labeled_rbm(5, 4, 3).double(), (visible, None, labels[:1].expand(32, -1)))
    torch.testing.assert_close(by_bound, label_logits(labeled, visible)[:, 0])


def test_a_deep_machine_learns_pictures_and_labels_together():
    """The exact log-likelihood of both, against that of labels that are a guess."""
    images = halves()
    bits = ArrayImages((images[range(300)][..., ::2, 1:3] > 0.5).float(), images.labels)
    fields = {"batch": 50, "rate": 0.2, "phase": "pcd", "centering": "data", "momentum_end": 0.0, "weight_std": 0.3}

    def nats(updates):
        layers = ({"filters": 4, "updates": updates, **fields}, {"filters": 3, "labels": True})
        (machine,) = train_greedily(recipe(*layers, joint=True), bits).machines
        machine.requires_grad_(False)
        joint, p = exact.probabilities(machine, machine.shapes((4,)))
        seen = torch.cat([bits[range(300)].flatten(1), torch.eye(3)[bits.labels]], 1)
        same = (torch.cat([joint[0], joint[3]], 1) == seen[:, None]).all(2)
        return float((same.float() @ p).log().mean())

    assert nats(1) < -3.7 and nats(1000) > -3.4


def test_labels_of_a_jointly_trained_machine(tmp_path):
    fields = DEEP
    layers = ({"filters": 20, **fields}, {"filters": 15, "labels": True})
    stack = train_greedily(recipe(*layers, joint=True), halves(), held_out=halves(30, 2), folder=tmp_path)
    assert label_error(stack, halves(seed=1)) < 5
    images = halves(5)[range(5)]
    assert [x.shape for x in open_model(tmp_path, "model").model.features(images)] == [(5, 20), (5, 15)]
    network = Classifier.from_stack(stack, ["a", "b", "c"], SpatialPyramid(layers=(1, 2), power=1))
    # The layer below the labeled one knows of them through q of that alone.
    lower, upper = network.maps(network.inputs(images))
    assert upper.shape == (5, 15)
    torch.testing.assert_close(lower, stack.features(images)[0], atol=1e-3, rtol=0)
    slow = ({"filters": 20, **fields, "updates": 1, "rate": 1e-12}, {"filters": 15, "labels": True})
    again = train_greedily(recipe(*slow, joint=True, initial=str(tmp_path)), halves())
    for one, other in zip(again.parameters(), stack.parameters(), strict=True):
        torch.testing.assert_close(one, other)


def test_what_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"data='.*': has no labels; pass"):
        train_greedily(recipe(TOP), ArrayImages(halves()[range(9)]))
    with pytest.raises(UsageError, match="labels=True: only for the highest layer"):
        train_greedily(recipe(TOP, {"filters": 3}), halves())
    with pytest.raises(UsageError, match=r"discriminative=1\.0: has no effect with labels=False"):
        train_greedily(recipe({"filters": 3, "discriminative": 1.0}), halves())
    deep = recipe({"filters": 3}, TOP | {"discriminative": 1.0}, joint=True)
    with pytest.raises(UsageError, match="joint=True: learns all labels"):
        train_greedily(deep, halves())
    for source in ("model", "both"):
        undrawn = recipe(TOP | {"generative": 0.0, "discriminative": 1.0, "centering": source})
        with pytest.raises(UsageError, match=f"centering='{source}': needs states of the model"):
            train_greedily(undrawn, halves())
    train_greedily(recipe({"filters": 3, "updates": 1}), halves(), folder=tmp_path)
    with pytest.raises(UsageError, match="model: has no label units"):
        convdbn.label_error(tmp_path, "digits")


def test_labels_that_are_known_are_balanced_and_a_matter_of_the_seed():
    def one_hot_labels(seed):
        stack = Stack(build_transform([]), [], ())
        inputs = LayerInput(stack, halves(30), LayerSettings(**TOP, labeled=6), 0, seed=seed)
        labels = inputs.one_hot_labels[:30]
        assert labels.sum(0).tolist() == [2, 2, 2]
        right = torch.eye(3, dtype=torch.long)[torch.arange(30) % 3]
        assert ((labels == right) | (labels.sum(1, keepdim=True) == 0)).all()
        return labels

    assert torch.equal(one_hot_labels(0), one_hot_labels(0)) and not torch.equal(one_hot_labels(0), one_hot_labels(1))


def test_pictures_without_a_label_teach_the_likelihood_of_their_pixels():
    """The mean gradient of many draws is that of log p(v), or of log p(v, y) where the label is known, exactly."""
    machine = labeled_rbm(3, 2, 3).double()
    for seed, parameter in enumerate(machine.parameters()):
        parameter.data.normal_(generator=torch.Generator().manual_seed(seed))
    v = torch.tensor([[1.0, 0, 1], [0, 1, 1]], dtype=torch.float64)
    labels = torch.tensor([[0.0, 0, 0], [0, 1, 0]], dtype=torch.float64)
    shapes, parameters = machine.shapes((3,)), list(machine.parameters())
    joint = -machine.free_energy((v[1:], None, labels[1:])) - exact.log_z(machine, shapes)
    alone = exact.log_likelihood(machine, v[:1], shapes)
    wanted = torch.autograd.grad((alone.sum() + joint.sum()) / 2, parameters)
    copies = 40_000
    source = torch.Generator().manual_seed(0)
    pairs = (v.repeat(copies, 1), None, labels.repeat(copies, 1))
    data, known = with_inferred_labels(machine, pairs, generator=source)
    assert known.tolist()[:4] == [False, True, False, True] and (data[2].sum(1) == 1).all()
    means, _ = positive(machine, data, generator=source)
    with torch.no_grad():
        whole, p = exact.probabilities(machine, shapes)
        index = torch.multinomial(p, 400_000, replacement=True, generator=source)
        model = tuple(x[index] for x in whole)
    # Both states are averages of numbers below 1 in size: .015 is over 5 standard errors.
    gradients = machine.contrast(means, model)
    for parameter, right in zip(parameters, wanted, strict=True):
        torch.testing.assert_close(-gradients[parameter], right, atol=0.015, rtol=0)


def test_few_labels_among_many_pictures_are_enough():
    fields = TOP | {"labeled": 12, "updates": 600, "discriminative": 1.0}
    stack = train_greedily(recipe(fields), halves())
    assert label_error(stack, halves(seed=1)) < 15  # 67 by chance
