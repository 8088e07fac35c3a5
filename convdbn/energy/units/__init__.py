"""The kinds of units, one per file."""

from convdbn.energy.units.base import Unit, product
from convdbn.energy.units.binary import Bernoulli
from convdbn.energy.units.block_softmax import BlockSoftmax
from convdbn.energy.units.categorical import Categorical
from convdbn.energy.units.counts import Binomial, NoisyReLU
from convdbn.energy.units.gaussian import Gaussian, LearnedGaussian
from convdbn.energy.units.registry import UNITS, register_unit

__all__ = [
    "UNITS",
    "Bernoulli",
    "Binomial",
    "BlockSoftmax",
    "Categorical",
    "Gaussian",
    "LearnedGaussian",
    "NoisyReLU",
    "Unit",
    "product",
    "register_unit",
]
