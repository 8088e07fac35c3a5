"""Log-likelihoods against enumeration: exact for restricted machines, a bound for deep ones."""

import pytest
import torch
from small import MACHINES, make

from convdbn.sampling import exact
from convdbn.sampling.bound import pseudo_log_likelihood, unnormalized

RESTRICTED = [name for name in MACHINES if len(make(name)[0].units) == 2]
DEEP = [name for name in MACHINES if name not in RESTRICTED]


def visible(machine, shapes, count=6):
    x = torch.rand(count, *shapes[0], generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return x if machine.units[0].kind == "gaussian" else x.round()


@pytest.mark.parametrize("name", RESTRICTED)
@torch.no_grad()
def test_exact_for_restricted_machines(name):
    machine, shapes = make(name)
    v = visible(machine, shapes)
    found = unnormalized(machine, (v, None)) - exact.log_z(machine, shapes)
    torch.testing.assert_close(found, exact.log_likelihood(machine, v, shapes))


@pytest.mark.parametrize("name", DEEP)
@torch.no_grad()
def test_a_bound_for_deep_machines_and_near_where_couplings_are_weak(name):
    machine, shapes = make(name)
    v = visible(machine, shapes)
    given = (v, *[None] * (len(machine.units) - 1))

    def slack():
        return exact.log_likelihood(machine, v, shapes) + exact.log_z(machine, shapes) - unnormalized(machine, given)

    assert (slack() > -1e-10).all() and (slack() < 1.5).all()
    for link in machine.links:
        link.weight.mul_(0.1)
    assert (slack() > -1e-10).all() and (slack() < 0.01).all()


@torch.no_grad()
def test_what_is_given_of_a_deep_machine_is_not_summed():
    machine, shapes = make("dbm")
    joint, _ = exact.probabilities(machine, shapes)
    torch.testing.assert_close(unnormalized(machine, joint), -machine.energy(joint))
    given = (joint[0], None, joint[2])
    torch.testing.assert_close(unnormalized(machine, given), -machine.free_energy(given))


@pytest.mark.parametrize("name", ["rbm", "conv_rbm", "pooled_rbm"])
@torch.no_grad()
def test_pseudo_likelihood_by_enumeration(name):
    """Each pixel against its exact conditional, from the joint distribution."""
    machine, shapes = make(name)
    v, generator = visible(machine, shapes), torch.Generator().manual_seed(2)
    wanted = torch.zeros(len(v), dtype=torch.float64)
    for index in range(v[0].numel()):
        flipped = v.clone().flatten(1)
        flipped[:, index] = 1 - flipped[:, index]
        both = torch.stack([exact.log_likelihood(machine, x.view_as(v), shapes) for x in (v, flipped)])
        wanted += both[0] - both.logsumexp(0)
    torch.testing.assert_close(pseudo_log_likelihood(machine, v, generator=generator), wanted)
    drawn = pseudo_log_likelihood(machine, v.repeat(4000, *[1] * (v.ndim - 1)), generator=generator, pixels=1)
    drawn = drawn.view(4000, -1)
    error = drawn.std(0) / 4000**0.5
    assert ((drawn.mean(0) - wanted).abs() < 5 * error + 1e-9).all()
