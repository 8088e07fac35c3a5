"""Completion against enumeration, and stacks inferred through all layers together."""

import pytest
import torch
from PIL import Image
from torch.nn import functional as F

import convdbn
from convdbn.energy import Gaussian
from convdbn.errors import UsageError
from convdbn.evaluation.completion import complete, kept_half
from convdbn.images import build_transform
from convdbn.models.compose import as_dbm
from convdbn.models.machines import conv_rbm, dbm, rbm
from convdbn.models.stack import Stack
from convdbn.sampling import exact
from convdbn.sampling.gibbs import mean, update


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def randomized(machine, scale=1.0):
    generator = seeded(3)
    with torch.no_grad():
        for parameter in machine.parameters():
            parameter.normal_(0, scale, generator=generator)
    return machine


@pytest.mark.parametrize("machine", [rbm(6, 4), dbm(6, [4, 3])], ids=["rbm", "dbm"])
def test_covered_pixels_come_to_their_exact_expectation(machine):
    """400 chains of one picture, each an average: .02 is over 5 standard errors even where nothing averages out."""
    randomized(machine)
    x = torch.tensor([[1.0, 0, 1, 0, 0, 0]]).repeat(400, 1)
    kept = torch.tensor([True, True, True, False, False, False])
    with torch.no_grad():
        joint, p = exact.probabilities(machine, machine.shapes((6,)))
    fits = (joint[0][:, :3] == x[0, :3]).all(1)
    wanted = (p[fits] / p[fits].sum()) @ joint[0][fits]
    found = complete(machine, x, kept, sweeps=200, generator=seeded(1))
    torch.testing.assert_close(found.mean(0), wanted, atol=0.02, rtol=0)
    assert torch.equal(found[:, :3], x[:, :3])


def test_a_single_sweep_is_its_own_second_half():
    x, kept = torch.ones(3, 6), torch.arange(6) < 3
    found = complete(randomized(rbm(6, 4)), x, kept, sweeps=1, generator=seeded())
    assert ((found > 0) & (found <= 1)).all()


def conv_stack():
    stack = Stack(build_transform([]), [conv_rbm(Gaussian(1), 3, 3, pool=2), conv_rbm(3, 2, 2, pool=1)], (1, 8, 8))
    return randomized(stack, scale=0.5)


@torch.no_grad()
def test_a_stack_is_inferred_from_below_and_above_together():
    """Lee et al. (2009), section 3.6: exp(I(h) + I(p)) / (1 + sum over the block), in explicit terms."""
    stack = conv_stack()
    lower, upper = stack.machines
    v = torch.randn(5, 1, 8, 8, generator=seeded(1))
    h2 = (torch.rand(5, 2, 2, 2, generator=seeded(2)) < 0.5).float()
    machine = as_dbm(stack, v)
    typical = stack.infer(v, 0)[0].mean((0, 2, 3)).clamp(1e-4, 1 - 1e-4).logit()
    below = F.conv2d(v, lower.links[0].weight, lower.units[1].bias)
    above = F.conv_transpose2d(h2, upper.links[0].weight, upper.units[0].bias) - typical[:, None, None]
    weights = (below + above.repeat_interleave(2, 2).repeat_interleave(2, 3)).exp()
    total = 4 * F.avg_pool2d(weights, 2)
    wanted = weights / (1 + total).repeat_interleave(2, 2).repeat_interleave(2, 3)
    found = update(machine, (v, torch.zeros_like(weights), h2), 1, mean)[1]
    torch.testing.assert_close(found, wanted)


@torch.no_grad()
def test_a_layer_above_that_expects_what_is_there_changes_nothing():
    """Without weights above, whose biases are the log-odds of what it sees, the lower machine stands alone."""
    stack, v = conv_stack(), torch.randn(50, 1, 8, 8, generator=seeded(1))
    upper = stack.machines[1]
    upper.links[0].weight.zero_()
    upper.units[0].bias.copy_(stack.infer(v, 0)[0].mean((0, 2, 3)).logit())
    machine = as_dbm(stack, v)
    for parameter, same in zip(machine.units[1].parameters(), stack.machines[0].units[1].parameters(), strict=True):
        torch.testing.assert_close(parameter, same)
    assert as_dbm(Stack(build_transform([]), [upper], (3, 4, 4)), v) is upper


def test_what_cannot_be_joined_is_refused():
    mixed = Stack(build_transform([]), [conv_rbm(1, 2, 3), rbm(18, 4)], (1, 8, 8))
    real = Stack(build_transform([]), [rbm(4, 3), rbm(Gaussian(3), 2)], (1, 2, 2))
    for stack in (mixed, real):
        with pytest.raises(UsageError, match="cannot be inferred together"):
            as_dbm(stack, torch.rand(4, 1, 8, 8))


def test_halves():
    shape = (2, 5, 4)
    for cover, (row, column) in {"left": (0, 0), "right": (0, 3), "top": (0, 1), "bottom": (4, 1)}.items():
        kept = kept_half(shape, cover)
        assert not kept[:, row, column].any()
        assert int((~kept).sum()) == 2 * (10 if cover in ("left", "right") else 8)


def test_a_half_that_there_is_not():
    with pytest.raises(UsageError, match="cover='middle': choose from left"):
        kept_half((1, 4, 4), "middle")


@pytest.mark.parametrize("fields", [{"filters": 60}, {"filters": [60, 30], "joint": True, "phase": "pcd"}])
def test_digits_are_completed_better_than_by_their_mean(fields, tmp_path):
    convdbn.train(
        recipe="rbm", data="digits", output_dir=tmp_path / "run", updates=1500, rate=0.1, momentum_end=0.5,
        sample_input=True, centering="data", device="cpu", **fields,
    )  # fmt: skip
    found = convdbn.complete(
        model=tmp_path / "run", data="digits", output=tmp_path / "completed.png", count=40, device="cpu"
    )
    assert found["squared_error"] < 0.75 * found["squared_error_of_mean"]
    with Image.open(found["output"]) as picture:
        assert picture.size[0] == 1440 and picture.size[1] < 300  # three rows of 16 digits
    with pytest.raises(UsageError, match="count=0"):
        convdbn.complete(model=tmp_path / "run", data="digits", output=tmp_path / "x.png", count=0)
