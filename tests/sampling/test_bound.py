"""Log-likelihoods against enumeration: exact for restricted machines, a bound for deep ones."""

import pytest
import torch
from small import MACHINES, make

from convdbn.sampling import exact
from convdbn.sampling.likelihood import unnormalised

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
    found = unnormalised(machine, (v, None)) - exact.log_z(machine, shapes)
    torch.testing.assert_close(found, exact.log_likelihood(machine, v, shapes))


@pytest.mark.parametrize("name", DEEP)
@torch.no_grad()
def test_a_bound_for_deep_machines_and_near_where_couplings_are_weak(name):
    machine, shapes = make(name)
    v = visible(machine, shapes)
    given = (v, *[None] * (len(machine.units) - 1))

    def slack():
        return exact.log_likelihood(machine, v, shapes) + exact.log_z(machine, shapes) - unnormalised(machine, given)

    assert (slack() > -1e-10).all() and (slack() < 1.5).all()
    for link in machine.links:
        link.weight.mul_(0.1)
    assert (slack() > -1e-10).all() and (slack() < 0.01).all()


@torch.no_grad()
def test_what_is_given_of_a_deep_machine_is_not_summed():
    machine, shapes = make("dbm")
    joint, _ = exact.probabilities(machine, shapes)
    torch.testing.assert_close(unnormalised(machine, joint), -machine.energy(joint))
    given = (joint[0], None, joint[2])
    torch.testing.assert_close(unnormalised(machine, given), -machine.free_energy(given))
