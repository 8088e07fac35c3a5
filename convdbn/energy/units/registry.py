"""The kinds of units by name, and how a kind of one's own becomes one of them."""

from convdbn.energy.units.base import Unit
from convdbn.energy.units.binary import Bernoulli
from convdbn.energy.units.block_softmax import BlockSoftmax
from convdbn.energy.units.categorical import Categorical
from convdbn.energy.units.counts import Binomial, NoisyReLU
from convdbn.energy.units.gaussian import Gaussian, LearnedGaussian

UNITS: dict[str, type[Unit]] = {
    unit.kind: unit for unit in (Bernoulli, Gaussian, LearnedGaussian, Categorical, BlockSoftmax, Binomial, NoisyReLU)
}
