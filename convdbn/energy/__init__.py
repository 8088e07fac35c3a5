"""What a model is: units, the links between them, and the machine they make."""

from convdbn.energy.links import LINKS, Conv, Dense, Link, register_link
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
from convdbn.ops.blocks import pooled, spread

__all__ = [
    "LINKS", "UNITS", "Bernoulli", "Binomial", "BlockSoftmax", "BoltzmannMachine", "Categorical", "Conv", "Dense",
    "Gaussian", "Given", "LearnedGaussian", "Link", "NoisyReLU", "State", "Unit", "mean_per_unit", "pooled",
    "register_link", "register_unit", "spread",
]  # fmt: skip
