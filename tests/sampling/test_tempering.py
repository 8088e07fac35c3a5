"""Replica exchange by no drift from an exact start at every temperature."""

import pytest
import torch
from small import DISCRETE, FALSE_ALARM, codes, generator, make, p_value

from convdbn.errors import UsageError
from convdbn.sampling import exact, tempering

CHAINS = 20_000
BETAS = torch.tensor([1.0, 0.5, 0.2, 0.0], dtype=torch.float64)


def exact_replicas(machine, shapes):
    """Every replica at its own exact distribution, and the laws."""
    with torch.no_grad():
        joint, _ = exact.probabilities(machine, shapes)
        laws = [exact.probabilities(machine, shapes, beta)[1] for beta in BETAS.tolist()]
    index = torch.cat([torch.multinomial(p, CHAINS, replacement=True, generator=generator(1)) for p in laws])
    return tuple(x[index] for x in joint), codes(joint), laws


def worst(state, every, laws) -> float:
    """Smallest p-value over the temperatures, times their number (Bonferroni)."""
    parts = codes(state).split(CHAINS)
    return len(laws) * min(p_value(part, every, p) for part, p in zip(parts, laws, strict=True))


@pytest.mark.parametrize("name", DISCRETE)
def test_sweeps_and_swaps_leave_every_temperature_alone(name):
    machine, shapes = make(name)
    state, every, laws = exact_replicas(machine, shapes)
    source = generator(2)
    for odd in (False, True, False):
        state = tempering.tempered_sweep(machine, state, BETAS, generator=source, odd=odd)
    assert worst(state, every, laws) > FALSE_ALARM


def test_a_swap_by_the_wrong_sign_is_caught(monkeypatch):
    machine, shapes = make("rbm")
    state, every, laws = exact_replicas(machine, shapes)
    coupling = machine.coupling
    monkeypatch.setattr(machine, "coupling", lambda state: -coupling(state))
    state = tempering.swap(machine, state, BETAS, generator=generator(2), odd=False)
    assert worst(state, every, laws) < FALSE_ALARM


@torch.no_grad()
def test_swaps_move_whole_states_within_a_chain_and_only_between_neighbors():
    """Marks that the coupling does not see: replica r of chain c carries 10 r + c in a unit without weights."""
    machine, shapes = make("rbm")
    machine.links[0].weight[:, 0] = 0
    state = tempering.replicas(exact.sample(machine, shapes, 5, generator=generator(1)), len(BETAS))
    marks = torch.cat([torch.arange(5) + 10 * replica for replica in range(len(BETAS))]).double()
    state[0][:, 0] = marks
    swapped = tempering.swap(machine, state, BETAS, generator=generator(2), odd=True)
    found = swapped[0][:, 0].view(len(BETAS), 5)
    assert torch.equal(found[0], marks[:5]) and torch.equal(found[3], marks[15:])  # only 1 and 2 are paired
    assert torch.equal(found[2], torch.where(found[1] >= 20, found[1] - 10, found[1] + 10))
    assert (found[1] >= 20).all()  # replicas that are equal always swap


def test_the_ladder_goes_from_one_to_nothing():
    torch.testing.assert_close(tempering.ladder(3, like=torch.zeros(1)), torch.tensor([1.0, 0.5, 0.0]))


V, H = torch.zeros(4, 4).double(), torch.zeros(4, 3).double()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"state": (V,)}, r"state=1 layers: needs one tensor for each of 2 layers; give a tuple"),
        ({"state": (V[0], H[0])}, r"state\[0\]=\(4,\): is not \(batch, 4\).*add the batch dimension"),
        ({"state": (V.numpy(), H)}, r"state\[0\]=ndarray: is no tensor; write torch.as_tensor"),
        ({"state": (V, H.tolist())}, r"state\[1\]=list: is no tensor"),
        ({"state": (V, H.long())}, r"state\[1\]=torch.int64 on cpu: the machine is torch.float64"),
        ({"state": (V, None)}, r"state\[1\]=None: every layer is needed"),
        ({"state": (V[:3], H[:3])}, r"state=3 rows: are not 4 replicas of every chain; take replicas\(chains, 4\)"),
        ({"betas": [1.0, 0.0]}, r"betas=list: are no inverse temperatures; give a tensor"),
        ({"betas": BETAS[None]}, r"betas=torch.float64 \(1, 4\): are no inverse temperatures"),
        ({"sweeps": -1}, r"sweeps=-1: is no such number; take a whole number from 0 up"),
        ({"generator": None}, r"generator=None: the draws need one on cpu; give torch.Generator"),
        ({"clamp": {5: True}}, r"clamp=5: is no layer; take numbers from 0 to 1"),
    ],
)
def test_what_tempering_does_not_take(options, message):
    machine, _ = make("rbm")
    sound = {"state": (V, H), "betas": BETAS, "sweeps": 1, "generator": generator()}
    with pytest.raises(UsageError, match=message):
        tempering.tempered(machine, **{**sound, **options})


def test_temperatures_in_another_precision_are_taken_in_that_of_the_machine():
    machine, _ = make("rbm")
    single = tempering.tempered(machine, (V, H), torch.tensor([1.0, 0.5]), 3, generator=generator())
    double = tempering.tempered(machine, (V, H), torch.tensor([1.0, 0.5]).double(), 3, generator=generator())
    assert all(torch.equal(x, y) for x, y in zip(single, double, strict=True))


@pytest.mark.parametrize("temperatures", [0, -1, 2.5])
def test_a_ladder_has_temperatures(temperatures):
    message = rf"temperatures={temperatures}: is no such number; take a whole number from 1 up"
    with pytest.raises(UsageError, match=message):
        tempering.ladder(temperatures, like=V)
    with pytest.raises(UsageError, match=message):
        tempering.replicas((V, H), temperatures)
