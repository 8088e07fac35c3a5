"""What a model is: units, the links between them, and the machine they make."""

from convdbn.energy.counts import Binomial, NoisyReLU
from convdbn.energy.links import Conv, Dense, Link, pooled, spread
from convdbn.energy.machine import UNITS, BoltzmannMachine, Given, State
from convdbn.energy.real import Gaussian, LearnedGaussian
from convdbn.energy.units import Bernoulli, BlockSoftmax, Categorical, Unit

__all__ = [
    "UNITS", "Bernoulli", "Binomial", "BlockSoftmax", "BoltzmannMachine", "Categorical", "Conv", "Dense", "Gaussian",
    "Given", "LearnedGaussian", "Link", "NoisyReLU", "State", "Unit", "pooled", "spread",
]  # fmt: skip
