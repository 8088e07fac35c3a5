"""What a model is: units, the links between them, and the machine they make."""

from convdbn.energy.links import Conv, Dense, Link, pooled, register_link, spread
from convdbn.energy.machine import BoltzmannMachine, Given, State, mean_per_unit
from convdbn.energy.units import (
    UNITS,
    Bernoulli,
    Binomial,
    BlockSoftmax,
    Categorical,
    Gaussian,
    LearnedGaussian,
    NoisyReLU,
    Unit,
    register_unit,
)

__all__ = [
    "UNITS", "Bernoulli", "Binomial", "BlockSoftmax", "BoltzmannMachine", "Categorical", "Conv", "Dense", "Gaussian",
    "Given", "LearnedGaussian", "Link", "NoisyReLU", "State", "Unit", "mean_per_unit", "pooled",
    "register_link", "register_unit", "spread",
]  # fmt: skip
