"""Denoising layers: the loss as its definition says, and what is learned undoes damage."""

import pytest
import torch
from torch.nn import functional as F

import convdbn
from convdbn.energy import Gaussian, LearnedGaussian
from convdbn.errors import UsageError
from convdbn.learning.denoising import denoising_loss
from convdbn.learning.trainer import Trainer
from convdbn.models.machines import conv_rbm, rbm
from convdbn.recipes import LayerSettings


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def fit(run, batches, **options):
    """Take the updates; their rows of metrics."""
    return [row for row in run.steps(batches, **options) if row is not None]


def randomized(machine):
    generator = seeded(1)
    with torch.no_grad():
        for parameter in machine.parameters():
            parameter.normal_(generator=generator)
    return machine


def test_without_damage_the_loss_is_the_cross_entropy_of_an_autoencoder_with_tied_weights():
    machine, x = randomized(rbm(5, 3)), torch.rand(7, 5, generator=seeded())
    weight, below, above = machine.links[0].weight, machine.units[0].bias, machine.units[1].bias
    logits = torch.sigmoid(x @ weight.T + above) @ weight + below
    wanted = F.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(1).mean()
    loss, _ = denoising_loss(machine, x, corruption=0.0, generator=seeded())
    torch.testing.assert_close(loss, wanted)
    for found, right in zip(
        torch.autograd.grad(loss, machine.parameters()),
        torch.autograd.grad(wanted, machine.parameters()),
        strict=True,
    ):
        torch.testing.assert_close(found, right)


def test_real_pixels_are_compared_by_squares():
    machine, x = randomized(rbm(Gaussian(5, 0.5), 3)), torch.randn(7, 5, generator=seeded())
    loss, (_, hidden) = denoising_loss(machine, x, corruption=0.0, generator=seeded())
    again = hidden @ machine.links[0].weight + machine.units[0].bias
    constant = 5 * torch.log(torch.tensor(2 * torch.pi * 0.25)) / 2
    torch.testing.assert_close(loss, ((x - again).square().sum(1) / (2 * 0.25)).mean() + constant)


def test_the_share_that_is_damaged_is_the_one_asked_for():
    """Inputs of 1 through a hidden unit that counts them: 40,000 draws, .01 is 4 standard errors."""
    machine = rbm(200, Gaussian(1))
    with torch.no_grad():
        machine.links[0].weight.fill_(1 / 200)
    _, (_, hidden) = denoising_loss(machine, torch.ones(200, 200), corruption=0.3, generator=seeded())
    assert float(hidden.mean()) == pytest.approx(0.7, abs=0.01)


@pytest.mark.parametrize(
    ("machine", "shape"), [(rbm(16, 12), (16,)), (conv_rbm(1, 6, 3), (1, 8, 8))], ids=["dense", "conv"]
)
def test_what_is_learned_undoes_damage(machine, shape):
    """Pictures of one value each: a missing pixel is told by the others."""
    values = (torch.rand(400, generator=seeded()) < 0.5).float()
    data = values.view(-1, *[1] * len(shape)).expand(400, *shape).contiguous()
    settings = LayerSettings(
        objective="denoising", corruption=0.4, updates=400, batch=50, optimizer="adam", rate=0.02
    )
    trainer = Trainer(machine, settings, generator=seeded())
    trainer.initialize(data)
    rows = seeded(4)

    def loss():
        return float(denoising_loss(machine, data, corruption=0.4, generator=seeded(9))[0].detach())

    before = loss()
    fit(trainer, (data[torch.randint(400, (50,), generator=rows)] for _ in range(400)))
    assert loss() < 0.15 * before


def test_weights_decay_here_too():
    gradients = []
    for l2 in (0.0, 0.25):
        machine = randomized(rbm(5, 3))
        trainer = Trainer(machine, LayerSettings(objective="denoising", rate=1e-9, l2=l2), generator=seeded())
        trainer.update((torch.rand(7, 5, generator=seeded(2)), None))
        gradients.append(trainer.gradients[machine.links[0].weight])
    torch.testing.assert_close(gradients[1] - gradients[0], 0.25 * machine.links[0].weight.detach())


def test_variances_stay_in_their_bounds_here_too():
    machine = rbm(LearnedGaussian(6), 4)
    settings = LayerSettings(objective="denoising", visible="gaussian", variance="scalar", rate=1e4)
    Trainer(machine, settings, generator=seeded()).update((3 * torch.randn(20, 6, generator=seeded(1)), None))
    assert float(machine.units[0].scale.detach()) == pytest.approx(1e3)


def test_stacked_by_the_recipe():
    stack = convdbn.train(
        recipe="rbm", data="digits", filters=[40, 20], objective="denoising", corruption=[0.1, 0.2], updates=30,
        held_out=0, device="cpu",
    )  # fmt: skip
    assert [machine.units[1].n for machine in stack.machines] == [40, 20]
    with pytest.raises(UsageError, match="centering='data': has no effect with objective='denoising'"):
        convdbn.train(recipe="rbm", data="digits", objective="denoising", centering="data", device="cpu")


def test_the_recipe_becomes_a_classifier(tmp_path):
    """Smaller, on digits of 8x8."""
    fields = {"filters": [60, 40, 40], "updates": 200, "batch": 50, "held_out": 0}
    convdbn.train(recipe="denoising_mnist", data="digits", output_dir=tmp_path, device="cpu", **fields)
    tuning = {"labels": 200, "epochs": 15, "batch": 20, "rate": 0.003, "dropout": 0.1, "distort": 0, "held_out": 0}
    found = convdbn.finetune(model=tmp_path, data="digits", device="cpu", **tuning)
    assert found["error"] < 25  # 90 at first
