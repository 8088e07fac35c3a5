"""What is no state of a machine, or no machine, is refused with a remedy before anything is computed."""

import numpy as np
import pytest
import torch

from convdbn.energy import Bernoulli, BoltzmannMachine, Conv, Dense
from convdbn.errors import UsageError
from convdbn.models.machines import conv_rbm, rbm
from convdbn.sampling import exact

V, H = torch.zeros(2, 4), torch.zeros(2, 3)


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ((V,), r"state=1 layers: needs one tensor for each of 2 layers; give a tuple"),
        (V, r"state=Tensor: needs one tensor for each of 2 layers"),
        ((V.numpy(), H), r"state\[0\]=ndarray: is no tensor; write torch.as_tensor"),
        ((V.tolist(), H), r"state\[0\]=list: is no tensor"),
        ((V[0], H), r"state\[0\]=\(4,\): is not \(batch, 4\).*add the batch dimension"),
        ((V, H[:, :2]), r"state\[1\]=\(2, 2\): is not \(batch, 3\)"),
        ((V.long(), H), r"state\[0\]=torch.int64 on cpu: the machine is torch.float32 on cpu"),
        ((V, H.double()), r"state\[1\]=torch.float64 on cpu"),
    ],
)
def test_what_is_no_state(state, message):
    with pytest.raises(UsageError, match=message):
        rbm(4, 3).energy(state)


def test_a_free_energy_says_which_layer_it_needs():
    with pytest.raises(UsageError, match=r"state\[0\]=None: the free energy in color 0 needs this layer"):
        rbm(4, 3).free_energy((None, H))
    with pytest.raises(UsageError, match=r"state\[0\]=ndarray"):
        rbm(4, 3).free_energy((np.zeros((2, 4)), None))


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
