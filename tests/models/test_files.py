"""Models that come with the package: what they take, how large they are, and that they have learned something."""

import pytest
import torch
from torch.nn import functional as F

import convdbn
from convdbn.errors import UsageError
from convdbn.evaluation.baselines import with_random_filters
from convdbn.images import open_images
from convdbn.models import files
from convdbn.models.files import WEIGHTS
from convdbn.sampling.gibbs import mean, start, update

SHAPES = {
    "cdbm_faces": (32, [32, 128]),
    "cdbn_mnist": (28, [256, 128]),
    "cdbn_natural": (100, [128, 128]),
    "crbm_faces": (32, [32]),
    "crbm_mnist": (28, [32]),
    "dbm_mnist": (28, [500, 1000]),
    "dbn_mnist": (28, [500, 2000]),
    "rbm500_mnist": (28, [500]),
}


@pytest.mark.parametrize("name", SHAPES)
def test_features_of_pictures_as_they_are(name):
    side, channels = SHAPES[name]
    model = convdbn.create_model(name, device="cpu")
    images = torch.rand(2, 1, side, side, generator=torch.Generator().manual_seed(0))
    assert [x.shape[1] for x in model.features(images, sizes="trim")] == channels
    assert not model.training
    assert [info.channels for info in model.feature_info] == channels


@pytest.mark.parametrize("name", SHAPES)
def test_an_untrained_model_has_the_shape_alone(name):
    trained, untrained, again = (files.create_model(name, pretrained=flag) for flag in (True, False, False))
    assert untrained.spec() == trained.spec()
    for machine, same, learned in zip(untrained.machines, again.machines, trained.machines, strict=True):
        weight = machine.links[0].weight
        assert (weight == same.links[0].weight).all()
        assert float(weight.detach().std()) == pytest.approx(files.WEIGHT_STD, rel=0.05)
        assert float(learned.links[0].weight.detach().std()) > 1.5 * files.WEIGHT_STD


def test_they_are_small_and_there_are_no_others():
    assert files.names() == sorted(SHAPES)
    assert sum(file.stat().st_size for file in WEIGHTS.iterdir()) < 11e6


def test_a_name_serves_as_a_checkpoint_and_says_where_it_comes_from():
    said = convdbn.inspect("cdbn_mnist")
    assert said["finished"] and said["data"] == {"data": "mnist"}
    with pytest.raises(
        UsageError, match="choose from cdbm_faces, cdbn_mnist, cdbn_natural, crbm_faces, crbm_mnist, dbm_mnist, dbn"
    ):
        convdbn.create_model("cdbn_faces")


def test_layer_1_has_learned_what_strokes_look_like():
    """It restores the strokes of scikit-learn's digits, enlarged, better than random filters of the same scale do."""
    digits = open_images("digits", split="test")
    large = F.pad(F.interpolate(digits[range(100)], 20, mode="bicubic").clamp(0, 1), [4] * 4)
    model, missed = files.create_model("cdbn_mnist"), {}
    for name, network in {"learned": model, "random": with_random_filters(model, seed=0)}.items():
        x, machine = network.prepare(large), network.machines[0]
        restored = update(machine, start(machine, (x, None)), 0, mean)[0]
        missed[name] = float(((x - restored).square().mean() / x.var()).detach())
    assert missed["learned"] < 0.1 < 0.3 < missed["random"], missed
