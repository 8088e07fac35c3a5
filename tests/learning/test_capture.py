"""Captured updates and the precision of products. What needs a CUDA device is skipped where there is none."""

import pytest
import torch

from convdbn.energy import Gaussian
from convdbn.learning.capture import WARM_UP, Captured
from convdbn.learning.trainer import Trainer
from convdbn.models.machines import conv_rbm, rbm
from convdbn.recipes import LayerSettings

MACHINES = {
    "rbm": (lambda: rbm(36, 20), (50, 36)),
    "conv": (lambda: conv_rbm(1, 8, 3), (20, 1, 10, 10)),
    "gaussian": (lambda: conv_rbm(Gaussian(2), 8, 3), (20, 2, 10, 10)),
}


def seeded(seed=0, device="cpu"):
    return torch.Generator(device).manual_seed(seed)


def fit(run, batches, **options):
    """Take the updates; their rows of metrics."""
    return [row for row in run.steps(batches, **options) if row is not None]


def stripes(shape, device="cpu"):
    """Pictures of one pattern or its complement: easy to learn."""
    pattern = (torch.arange(shape[1:].numel()) % 3 == 0).float().view(shape[1:])
    flip = torch.rand(shape[0], *[1] * (len(shape) - 1), generator=seeded(1)).lt(0.5)
    return torch.where(flip, pattern, 1 - pattern).to(device)


def errors(name, device, **settings):
    """Reconstruction errors that a training logs, first to last."""
    make, shape = MACHINES[name]
    data = stripes(torch.Size(shape), device)
    run = Trainer(
        make().to(device), LayerSettings(rate=0.05, updates=200, **settings), generator=seeded(device=device)
    )
    run.initialize(data)
    rows = fit(run, [data] * 200)
    return run, [row["reconstruction_error"] for row in rows]


def test_on_a_cpu_every_call_is_the_plain_update():
    seen = []
    captured = Captured(lambda data: seen.append(data) or (data,), generator=seeded())
    data = torch.zeros(2, 3)
    assert all(captured(data, key)[0] is data for key in (0, 0, 0, 0, 0, 1))
    assert len(seen) == 6 and captured.graph is None


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_rates_held_in_tensors_follow_the_schedule(optimizer):
    """As on a GPU, where the recording reads them; the same parameters come out as with plain numbers."""
    weights, rates = [], []
    for held in (float, torch.tensor):
        machine = rbm(36, 20)
        settings = LayerSettings(rate=0.1, rate_end=0.01, updates=30, optimizer=optimizer)
        run = Trainer(machine, settings, generator=seeded())
        for group in run.optimizer.param_groups:
            group["lr"] = held(group["lr"])
        data = stripes(torch.Size((50, 36)))
        run.initialize(data)
        rows = fit(run, [data] * 30)
        weights.append(machine.links[0].weight.detach())
        rates.append(rows[-1]["rate"])
    torch.testing.assert_close(*weights)
    assert all(isinstance(rate, float) for rate in rates) and rates[0] == pytest.approx(rates[1], rel=1e-5)


@pytest.mark.parametrize("name", MACHINES)
def test_training_with_bfloat16_products_keeps_its_states_in_float32(name):
    run, (first, *_, last) = errors(name, "cpu", precision="bfloat16")
    assert last < 0.5 * first
    assert all(p.dtype == gradient.dtype == torch.float32 for p, gradient in run.gradients.items())
    assert all(link.products is None for link in run.machine.links)  # inference is in float32 again


@pytest.mark.parametrize("name", MACHINES)
def test_bfloat16_products_are_near_those_of_float32(name):
    machine, shape = MACHINES[name][0](), MACHINES[name][1]
    link = machine.links[0]
    torch.nn.init.normal_(link.weight, generator=seeded(2))
    x = torch.rand(shape, generator=seeded(3))
    y = torch.rand(shape[0], *link.up_shape(shape[1:]), generator=seeded(4))

    def products():
        return link.up(x), link.down(y), link.correlate(x, y, out=torch.zeros_like(link.weight))

    with torch.no_grad():
        exact = products()
        link.products = torch.bfloat16
        rounded = products()
    for e, r in zip(exact, rounded, strict=True):
        assert r.dtype == torch.float32 and not torch.equal(e, r)
        assert (e - r).norm() < 0.01 * e.norm()  # operands are rounded to 8 bits, relative error 2^-9 each


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here: captured updates are not run")
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("phase", ["cd", "pcd"])
@pytest.mark.parametrize("sparsity", ["none", "decayed"])
@pytest.mark.parametrize("name", MACHINES)
def test_captured_training_learns_like_the_plain_one(name, optimizer, phase, sparsity, monkeypatch):
    settings = {"optimizer": optimizer, "phase": phase, "sparsity": sparsity, "strength": 0.1}
    run, captured = errors(name, "cuda", **settings)
    assert run.captured.graph is not None and not run.captured.refused and run.captured.calls > WARM_UP
    monkeypatch.setattr(Captured, "__call__", lambda self, data, key=None: self.update(data))
    _, plain = errors(name, "cuda", **settings)
    assert captured[-1] == pytest.approx(plain[-1], rel=0.3, abs=0.01)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here: captured updates are not run")
def test_successive_replays_draw_different_numbers():
    run, _ = errors("rbm", "cuda", phase="pcd")
    data = stripes(torch.Size(MACHINES["rbm"][1]), "cuda")
    for group in run.optimizer.param_groups:
        group["lr"].fill_(0)
    drawn = []
    for _ in range(3):
        run.captured(data, run.settings.momentum_end)
        drawn.append(run.negative.chains[1].clone())
    assert not torch.equal(drawn[0], drawn[1]) and not torch.equal(drawn[1], drawn[2])
