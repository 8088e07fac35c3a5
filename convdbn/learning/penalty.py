"""Custom terms of the loss.

Weight decay needs none: `l2` in the recipe adds its gradient, a multiple of the weights. The two kinds of sparsity in
`sparsity` are penalties as well.
"""

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

from torch import Tensor

from convdbn.energy import BoltzmannMachine, State

__all__ = ["Penalty"]


@runtime_checkable
class Penalty(Protocol):
    """A term of the loss. Derive from this class to write your own, such as L1 on the weights:

    >>> class L1(Penalty):
    ...     def __call__(self, machine, positive):
    ...         return 0.001 * sum(link.weight.abs().sum() for link in machine.links)

    A penalty with a state that changes from update to update also overrides `state` and `load_state`, so that a
    resumed run continues exactly.
    """

    def __call__(self, machine: BoltzmannMachine, positive: State) -> Tensor:
        """A scalar that is added to the loss; it must be differentiable with respect to the parameters.

        `positive` has the data in layer 0 and the means of the hidden layers given the data, without gradients.
        """

    def state(self) -> dict[str, Tensor]:
        """The state of the penalty between updates."""
        return {}

    def load_state(self, tensors: Mapping[str, Tensor]) -> None:
        """The inverse of `state`."""
        return
