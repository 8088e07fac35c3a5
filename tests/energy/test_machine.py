"""Energy, fields and free energy against enumeration."""

import itertools

import pytest
import torch
from small import DISCRETE, GAUSSIAN, MACHINES, generator, make

from convdbn.energy import Bernoulli, BlockSoftmax, BoltzmannMachine, Conv, Dense
from convdbn.models.machines import conv_rbm
from convdbn.sampling import exact


@pytest.mark.parametrize("name", DISCRETE)
@pytest.mark.parametrize("beta", [1.0, 0.3])
def test_free_energy_of_either_color_sums_the_other_out(name, beta):
    machine, shapes = make(name)
    joint, _ = exact.probabilities(machine, shapes)
    log_z = (-machine.energy(joint, beta)).logsumexp(0)
    for color in (0, 1):
        torch.testing.assert_close(exact.log_z(machine, shapes, color, beta), log_z)
    layers = [layer for layer, c in enumerate(machine.colors) if c == 0]
    others = [layer for layer, c in enumerate(machine.colors) if c == 1]
    kept, summed = exact.states(machine, shapes, layers), exact.states(machine, shapes, others)
    count = len(summed[others[0]])
    for index in range(0, len(kept[0]), max(1, len(kept[0]) // 7)):
        fixed = [x[index : index + 1].expand(count, *x.shape[1:]) if x is not None else None for x in kept]
        whole = tuple(a if a is not None else b for a, b in zip(fixed, summed, strict=True))
        one = tuple(None if x is None else x[index : index + 1] for x in kept)
        expected = -(-machine.energy(whole, beta)).logsumexp(0)
        torch.testing.assert_close(machine.free_energy(one, 0, beta)[0], expected)


@pytest.mark.parametrize("name", GAUSSIAN)
def test_free_energy_of_a_gaussian_visible_layer_integrates(name):
    """exp(-F(h)) by importance-free quadrature: both orders of summation give the same log Z on a grid."""
    machine, _ = make("gaussian_rbm")
    machine.units[0].n, machine.units[0].bias.data = 1, machine.units[0].bias.data[:1]
    machine.links[0].weight.data = machine.links[0].weight.data[:, :1]
    v = torch.linspace(-15, 15, 100_001, dtype=torch.float64)[:, None]
    by_visible = torch.trapezoid((-machine.free_energy((v, None), 0)).exp(), v[:, 0]).log()
    torch.testing.assert_close(exact.log_z(machine, [(1,), (4,)], 1), by_visible, atol=1e-8, rtol=0)


@pytest.mark.parametrize("name", MACHINES)
def test_field_is_minus_the_slope_of_the_coupling(name):
    machine, shapes = make(name)
    source = generator(3)
    state = tuple(torch.rand(2, *shape, generator=source, dtype=torch.float64).requires_grad_() for shape in shapes)
    coupling = machine.energy(state) - sum(u.energy(x) for u, x in zip(machine.units, state, strict=True))
    slopes = torch.autograd.grad(coupling.sum(), state)
    for layer, slope in enumerate(slopes):
        torch.testing.assert_close(machine.field(state, layer), -slope)


def test_energy_as_the_paper_writes_it():
    """Lee et al. (2009), section 3.3, in explicit loops over positions."""
    machine = conv_rbm(1, 2, 2, pool=2).double()
    source = generator(4)
    for parameter in machine.parameters():
        parameter.data = torch.randn(parameter.shape, generator=source, dtype=torch.float64)
    v = torch.randint(0, 2, (1, 1, 3, 5), generator=source).double()
    h = machine.units[1].sample(torch.zeros(1, 2, 2, 4).double(), generator=source)
    w, b, c = machine.links[0].weight, machine.units[1].bias, machine.units[0].bias
    energy = -c[0] * v.sum()
    for k, i, j in itertools.product(range(2), range(2), range(4)):
        field = sum(w[k, 0, r, s] * v[0, 0, i + r, j + s] for r in range(2) for s in range(2))
        energy = energy - h[0, k, i, j] * (field + b[k])
    torch.testing.assert_close(machine.energy((v, h))[0], energy)


@pytest.mark.parametrize("name", MACHINES)
def test_beta_scales_the_links_alone_one_value_per_chain(name):
    machine, shapes = make(name)
    source = generator(5)
    state = tuple(torch.rand(3, *shape, generator=source, dtype=torch.float64) for shape in shapes)
    betas = torch.tensor([0.0, 0.4, 1.0], dtype=torch.float64)
    own = sum(unit.energy(x) for unit, x in zip(machine.units, state, strict=True))
    torch.testing.assert_close(machine.energy(state, betas)[0], own[0])
    for index, beta in enumerate(betas.tolist()):
        torch.testing.assert_close(machine.energy(state, betas)[index], machine.energy(state, beta)[index])
        for layer in range(len(shapes)):
            one = machine.field(state, layer, beta)[index]
            torch.testing.assert_close(machine.field(state, layer, betas)[index], one)


@pytest.mark.parametrize("name", MACHINES)
def test_spec_builds_the_same_machine(name):
    machine, shapes = make(name)
    twin = BoltzmannMachine.build(machine.spec()).double()
    assert twin.spec() == machine.spec()
    assert twin.edges == machine.edges
    assert [p.shape for p in twin.parameters()] == [p.shape for p in machine.parameters()] or name == "doubled_rbm"
    assert twin.shapes(shapes[0]) == shapes


def test_a_machine_trained_on_patches_runs_on_whole_pictures():
    machine = conv_rbm(1, 3, 5)
    for height, width in ((10, 12), (40, 64)):
        assert machine.field((torch.zeros(1, 1, height, width), None), 1).shape == (1, 3, height - 4, width - 4)


def test_graphs_that_are_no_machine_are_refused():
    units = [Bernoulli(2), Bernoulli(2), Bernoulli(2)]
    with pytest.raises(ValueError, match=r"\[\(0, 2\)\] join layers of one color|two-colorable"):
        BoltzmannMachine(units, [(0, 1, Dense(2, 2)), (1, 2, Dense(2, 2)), (0, 2, Dense(2, 2))])
    with pytest.raises(ValueError, match=r"layers \[2\] are not linked"):
        BoltzmannMachine(units, [(0, 1, Dense(2, 2))])
    machine = BoltzmannMachine(units[:2], [(0, 1, Dense(2, 2))])
    with pytest.raises(ValueError, match="layer=1: no neighbor has a state"):
        machine.field((None, None), 1)
    with pytest.raises(ValueError, match=r"kind='relu': is not registered; choose from bernoulli"):
        BoltzmannMachine.build({"units": [{"kind": "relu", "n": 3}], "links": []})


def test_the_whole_path_runs_on_the_meta_device():
    """No .item() and no tensor of the host on the way: what holds here holds on a GPU."""
    from convdbn.learning.phases import ContrastiveDivergence, PersistentContrastiveDivergence, positive

    machine = BoltzmannMachine([Bernoulli(1), BlockSoftmax(4, 2)], [(0, 1, Conv(1, 4, 3))]).to("meta")
    v = torch.zeros(2, 1, 8, 8, device="meta")
    for negative in (ContrastiveDivergence(2), PersistentContrastiveDivergence(2)):
        means, samples = positive(machine, (v, None), generator=generator())
        gradients = machine.contrast(means, negative(machine, samples, generator=generator()))
        assert len(gradients) == 3 and all(x.device.type == "meta" for x in gradients.values())
