"""Log-likelihood of pictures under whole models, against enumeration."""

import pytest
import torch
from PIL import Image
from small import generator

import convdbn
from convdbn.errors import UsageError
from convdbn.evaluation import likelihood as nats
from convdbn.images import ArrayImages, build_transform
from convdbn.models.machines import conv_rbm, rbm
from convdbn.models.stack import Stack
from convdbn.sampling import exact

BETAS = torch.linspace(0, 1, 501, dtype=torch.float64)


def model(*machines, transform=()):
    for machine in machines:
        for seed, parameter in enumerate(machine.parameters()):
            parameter.data.normal_(0, 0.7, generator=generator(seed))
    return Stack(build_transform(transform), list(machines), (1, 3, 3))


def pictures(count=200, seed=0):
    return ArrayImages(torch.rand(count, 1, 3, 3, generator=generator(seed)))


def bits(count=200, seed=0):
    return ArrayImages(torch.rand(count, 1, 3, 3, generator=generator(seed)).round())


def truth(stack, images):
    machine = stack.machines[0]
    x = images[range(len(images))]
    x = x.flatten(1) if machine.links[0].weight.ndim == 2 else x
    with torch.no_grad():
        return float(exact.log_likelihood(machine, x, machine.shapes(x.shape[1:])).mean())


def test_few_hidden_units_are_enumerated():
    stack = model(rbm(9, 5))
    found = nats.likelihood(stack, pictures(), bits(seed=1))
    assert found["exact"] and not found["bound"] and found["pixels"].startswith("bits, as")
    assert found["test_ll"] == pytest.approx(truth(stack, bits(seed=1)), abs=1e-4)


@pytest.mark.parametrize("machine", [lambda: rbm(9, 18), lambda: conv_rbm(1, 3, 2, pool=2)])
def test_more_of_them_take_annealing_from_both_sides(machine, monkeypatch):
    monkeypatch.setattr(nats, "MIXING", 50)
    stack = model(machine())
    found = nats.likelihood(stack, pictures(), bits(seed=1), betas=BETAS)
    exactly = truth(stack, bits(seed=1))
    assert found["trusted"] and not found["exact"]
    for side in ("", "_reverse"):
        low, high = found[f"log_z{side}_bounds"]
        middle = found[f"test_ll{side}"] + found[f"log_z{side}"]  # the numerator alone
        assert middle - high < exactly < middle - low
    assert found["se"] == pytest.approx((found["log_z_bounds"][1] - found["log_z_bounds"][0]) / 6)


@torch.no_grad()
def test_a_deep_belief_network_has_a_bound():
    """Below the exact log-likelihood, by enumeration of all hidden layers, and not by much."""
    stack = model(rbm(9, 4), rbm(4, 5))
    images = bits(50, seed=1)
    found = nats.likelihood(stack, pictures(), ArrayImages(images[range(50)].repeat(40, 1, 1, 1)))
    bottom, top = stack.machines
    h = bottom.units[1].states((4,))
    law = exact.log_likelihood(top, h, top.shapes((4,)))
    down = bottom.units[0].mean(bottom.field((None, h), 0))
    x = images[range(50)].flatten(1)
    given = x @ down.log().T + (1 - x) @ (1 - down).log().T
    exactly = float((given + law).logsumexp(1).mean())
    assert found["bound"] and exactly - 3 < found["test_ll"] < exactly


def test_pixels_between_are_drawn_and_that_is_said():
    stack = model(rbm(9, 5))
    found = nats.likelihood(stack, pictures(), pictures(seed=1))
    assert "drawn once" in found["pixels"]
    assert nats.likelihood(stack, pictures(), pictures(seed=1)) == found
    assert nats.likelihood(stack, pictures(), pictures(seed=1), seed=1)["test_ll"] != found["test_ll"]


def test_pictures_of_a_folder_need_no_classes(tmp_path):
    for index, picture in enumerate(torch.rand(20, 12, 12, generator=generator())):
        Image.fromarray((255 * picture).byte().numpy()).save(tmp_path / f"{index}.png")
    run = {"recipe": "rbm", "filters": [4], "updates": 5, "batch": 4, "held_out": 0}
    convdbn.train(data=tmp_path, output_dir=tmp_path / "run", **run)
    found = convdbn.likelihood(tmp_path / "run", tmp_path)
    assert found["pictures"] == 2 and found["exact"] and -144 < found["test_ll"] < 0
    (tmp_path / "one").mkdir()
    Image.new("L", (12, 12)).save(tmp_path / "one" / "a.png")
    with pytest.raises(UsageError, match="1 pictures, too few to test on a tenth"):
        convdbn.likelihood(tmp_path / "run", tmp_path / "one")


def test_a_stack_of_convolutions_is_refused():
    with pytest.raises(UsageError, match="give a model of the first layer alone"):
        nats.likelihood(model(conv_rbm(1, 2, 2, pool=2), conv_rbm(2, 2, 1, pool=1)), pictures(), bits())
