"""Sparsity: penalties that pull the mean activation of the hidden layer towards a target."""

from collections.abc import Mapping

from torch import Tensor

from convdbn.energy import BoltzmannMachine, State, mean_per_unit
from convdbn.learning.penalty import Penalty
from convdbn.recipes import LayerSettings

__all__ = ["BiasSparsity", "DecayedSparsity", "sparsity_for"]


class BiasSparsity(Penalty):
    """Lee et al. (2009), section 3.5: the hidden biases alone follow strength * (target - mean activation)."""

    def __init__(self, target: float, strength: float) -> None:
        self.target, self.strength = target, strength

    def __call__(self, machine: BoltzmannMachine, positive: State) -> Tensor:
        """A scalar whose gradient in the bias is strength * (activation - target) for each unit or map."""
        excess = mean_per_unit(positive[1]) - self.target
        return self.strength * (machine.units[1].bias @ excess)


class DecayedSparsity(Penalty):
    """Hinton (2010), section 11: cross-entropy between the target and a decayed average q of the activation.

    Its derivative in a unit's total input is q - target, for the bias and, through the mean input, for the weights.
    """

    def __init__(self, target: float, strength: float, decay: float = 0.95) -> None:
        self.target, self.strength, self.decay = target, strength, decay
        self.average: Tensor | None = None

    def __call__(self, machine: BoltzmannMachine, positive: State) -> Tensor:
        """A scalar whose gradient is strength * (q - target) * d (mean total input); updates q."""
        q = mean_per_unit(positive[1])
        self.average = q.clone() if self.average is None else self.average.lerp_(q, 1 - self.decay)
        typical = tuple(None if layer == 1 else x.mean(0, keepdim=True) for layer, x in enumerate(positive))
        total_input = machine.units[1].biased(machine.unchecked_field(typical, 1))
        return self.strength * (mean_per_unit(total_input) @ (self.average - self.target))

    def state(self) -> dict[str, Tensor]:
        return {} if self.average is None else {"average": self.average}

    def load_state(self, tensors: Mapping[str, Tensor]) -> None:
        self.average = tensors.get("average")


def sparsity_for(settings: LayerSettings) -> Penalty | None:
    """The sparsity penalty of the settings."""
    if settings.sparsity == "none":
        return None
    kind = BiasSparsity if settings.sparsity == "bias" else DecayedSparsity
    return kind(settings.target, settings.strength)
