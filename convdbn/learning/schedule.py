"""Schedules of the learning rate, the momentum, sigma, and the sweeps of the negative phase."""

from dataclasses import dataclass

from convdbn.energy import BoltzmannMachine
from convdbn.learning.optimizer import Optimizer
from convdbn.learning.phases import NegativePhase
from convdbn.recipes import LayerSettings

__all__ = ["Schedule"]

ANNEAL = 0.7
"""Share of the updates over which sigma falls from its first to its last value."""
MOMENTUM_SWITCH = 0.1
"""Share of the updates after which the momentum takes its last value."""


@dataclass(frozen=True)
class Schedule:
    """Values as functions of `progress`, which goes from 0 to 1 in proportion to the updates."""

    settings: LayerSettings

    def rate(self, progress: float) -> float:
        """Learning rate of the weights: falls linearly."""
        return self.settings.rate + (self.settings.rate_end - self.settings.rate) * progress

    def momentum(self, progress: float) -> float:
        """Factor of the last velocity in the next: an initial and a final value (Hinton 2010, section 9)."""
        return float(self.settings.momentum if progress < MOMENTUM_SWITCH else self.settings.momentum_end)

    def sigma(self, progress: float) -> float:
        """Standard deviation of Gaussian visibles: falls geometrically, then stays."""
        s = self.settings
        return float(s.sigma * (s.sigma_end / s.sigma) ** min(1.0, progress / ANNEAL))

    def sweeps(self, progress: float) -> int:
        """Gibbs sweeps of the negative phase, if their number changes: linear."""
        return round(self.settings.k + (self.settings.k_end - self.settings.k) * progress)

    def apply(
        self, step: int, machine: BoltzmannMachine, optimizer: Optimizer, negative: NegativePhase
    ) -> tuple[float, int]:
        """Set all values for update `step`; returns those that are not tensors: momentum and sweeps."""
        progress = step / max(1, self.settings.updates)
        momentum = self.momentum(progress)
        optimizer.schedule(self.rate(progress), momentum)
        machine.units[0].anneal(self.sigma(progress))
        if self.settings.k_end:
            negative.k = self.sweeps(progress)
        return momentum, negative.k
