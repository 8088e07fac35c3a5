"""What is no state of a machine, or no machine, is refused with a remedy before anything is computed."""

import math

import pytest
import torch

from convdbn.energy import Bernoulli, BoltzmannMachine, Conv, Dense
from convdbn.errors import UsageError
from convdbn.models.machines import conv_dbm, conv_rbm, rbm
from convdbn.sampling import exact

V, H = torch.zeros(2, 4), torch.zeros(2, 3)
MAPS = torch.zeros(2, 1, 6, 6)


NO_STATES = [
    ((V,), r"state=1 layers: needs one tensor for each of 2 layers; give a tuple"),
    ((V, H, H), r"state=3 layers: needs one tensor for each of 2 layers"),
    (V, r"state=Tensor: needs one tensor for each of 2 layers"),
    (None, r"state=NoneType: needs one tensor for each of 2 layers"),
    ((V.numpy(), H), r"state\[0\]=ndarray: is no tensor; write torch.as_tensor"),
    ((V.tolist(), H), r"state\[0\]=list: is no tensor"),
    ((V[0], H[0]), r"state\[0\]=\(4,\): is not \(batch, 4\).*add the batch dimension"),
    ((torch.tensor(0.0), H), r"state\[0\]=\(\): is not \(batch, 4\)"),
    ((V, H[:, :2]), r"state\[1\]=\(2, 2\): is not \(batch, 3\)"),
    ((V.long(), H), r"state\[0\]=torch.int64 on cpu: the machine is torch.float32 on cpu; write x.to"),
    ((V, H.double()), r"state\[1\]=torch.float64 on cpu"),
    ((V, H[:1]), r"state\[1\]=\(1, 3\): has a batch of 1, a layer before 2; give one batch"),
    ((V[:, :, None, None], H), r"shape=\(4, 1, 1\): a dense link takes vectors; flatten the maps"),
]
BETAS = [
    ("1", r"beta='1': does not fit the state; give a number, or x.new_tensor with 2"),
    (torch.ones(3), r"beta=torch.float32 \(3,\) on cpu: does not fit the state"),
    (torch.ones(2, dtype=torch.long), r"beta=torch.int64 \(2,\) on cpu"),
]


@pytest.mark.parametrize(("state", "message"), NO_STATES)
def test_what_is_no_state(state, message):
    machine = rbm(4, 3)
    for door in (machine.energy, machine.free_energy, lambda state: machine.field(state, 1)):
        with pytest.raises(UsageError, match=message):
            door(state)


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ((V[:, :1], None), r"shape=\(1,\): a convolutional link takes maps; give \(batch, n, height, width\)"),
        ((MAPS[..., :2], None), r"shape=\(1, 6, 2\): maps of 6x2 are smaller than a filter of 3x3.*larger"),
        ((MAPS, torch.zeros(2, 2, 2, 2)), r"state\[1\]=\(2, 2, 2, 2\): over layer 0 of .* it is \(batch, 2, 4, 4\)"),
    ],
)
def test_maps_that_do_not_fit(state, message):
    with pytest.raises(UsageError, match=message):
        conv_rbm(1, 2, 3, pool=2).field(state, 1)


@pytest.mark.parametrize(("beta", "message"), BETAS)
def test_what_is_no_inverse_temperature(beta, message):
    machine = rbm(4, 3)
    with pytest.raises(UsageError, match=message):
        machine.energy((V, H), beta)
    with pytest.raises(UsageError, match=message):
        machine.free_energy((V, None), 0, beta)


def test_neighbors_that_do_not_agree():
    machine = conv_dbm(1, [2, 2], [3, 2], [1, 1])
    with pytest.raises(
        UsageError, match=r"layer=1: its neighbors make it \[\(2, 4, 4\), \(2, 3, 3\)\]; take the shapes"
    ):
        machine.field((MAPS, None, torch.zeros(2, 2, 2, 2)), 1)
    assert machine.field((MAPS, None, torch.zeros(2, 2, 3, 3)), 1).shape == (2, 2, 4, 4)
    assert machine.field(machine.only(1, torch.zeros(2, 2, 1, 1)), 0).shape == (2, 1, 3, 3)


@pytest.mark.parametrize("number", [2, -1, None, 0.5])
def test_a_layer_or_a_color_that_is_not_there(number):
    machine = rbm(4, 3)
    with pytest.raises(UsageError, match=rf"layer={number}: the machine has none; take a number from 0 to 1"):
        machine.field((V, None), number)
    with pytest.raises(UsageError, match=rf"color={number}: the machine has none; take a number from 0 to 1"):
        machine.free_energy((V, None), number)


def test_a_layer_that_is_needed():
    machine = rbm(4, 3)
    with pytest.raises(UsageError, match=r"state\[0\]=None: the free energy in color 0 needs this layer"):
        machine.free_energy((None, H))
    with pytest.raises(UsageError, match=r"state\[1\]=None: every layer is needed; fill the others with .*start"):
        machine.energy((V, None))
    with pytest.raises(UsageError, match=r"layer=1: no neighbor has a state; give at least one"):
        machine.field((None, H), 1)


@pytest.mark.parametrize("visible", [(2, 4), (5,), 4, (4, 6), torch.zeros(4)])
def test_what_is_no_shape(visible):
    with pytest.raises(UsageError, match=r"visible=.*: is not \(4,\) or \(4, height, width\); leave the batch out"):
        rbm(4, 3).shapes(visible)


def test_states_that_fit_come_through():
    """A list, a layer that is None, and an inverse temperature for each element of the batch."""
    machine = rbm(4, 3)
    halves = torch.full((2,), 0.5)
    torch.testing.assert_close(machine.energy([V, H], halves), torch.zeros(2))
    torch.testing.assert_close(machine.field((V, None), 1, halves), torch.zeros(2, 3))
    torch.testing.assert_close(machine.free_energy((V, None)), torch.full((2,), -3 * math.log(2)))
    assert machine.shapes(torch.Size([4])) == [(4,), (3,)]


@pytest.mark.parametrize(
    ("links", "message"),
    [
        ([], r"links: layers \[1\] are not linked to layer 0; add links"),
        ([(0, 1, Dense(4, 4)), (0, 0, Dense(4, 4))], r"links=\[\(0, 0\)\]: join layers of one color; make"),
    ],
)
def test_links_that_make_no_layers(links, message):
    with pytest.raises(UsageError, match=message):
        BoltzmannMachine([Bernoulli(4), Bernoulli(4)], links)


@pytest.mark.parametrize("link", [Dense(4, 5), Dense(5, 3), Conv(4, 5, 3)])
def test_a_link_that_does_not_fit_its_units(link):
    with pytest.raises(UsageError, match=r"layer 0 has 4 and layer 1 has 3; make link and units of one size"):
        BoltzmannMachine([Bernoulli(4), Bernoulli(3)], [(0, 1, link)])


@pytest.mark.parametrize(("machine", "visible"), [(rbm(60, 40), (60,)), (conv_rbm(1, 8, 3), (1, 14, 14))])
def test_too_many_states_are_refused_before_memory_is_asked_for(machine, visible):
    with pytest.raises(UsageError, match=r"\^\d+ states, more than the 4,194,304 that are enumerated"):
        exact.log_z(machine, machine.shapes(visible))


def test_a_machine_prints_a_line_for_each_layer():
    assert repr(rbm(4, 3)).splitlines()[1:3] == [
        "  layer 0: 4 bernoulli, linked to layer 1",
        "  layer 1: 3 bernoulli",
    ]
