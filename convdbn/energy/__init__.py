"""What a model is: units, the links between them, and the machine they make."""

from convdbn.energy.links import Conv, Dense, Link, pooled
from convdbn.energy.machine import BoltzmannMachine, Given, State
from convdbn.energy.units import UNITS, Bernoulli, BlockSoftmax, Categorical, Gaussian, Unit

__all__ = [
    "UNITS", "Bernoulli", "BlockSoftmax", "BoltzmannMachine", "Categorical", "Conv", "Dense", "Gaussian", "Given",
    "Link", "State", "Unit", "pooled",
]  # fmt: skip
