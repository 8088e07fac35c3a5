"""One's own terms of the loss.

Weight decay needs none: `l2` in the recipe adds its gradient, which is a multiple of the weights themselves. The two
kinds of sparsity in `sparsity` are penalties as well.
"""

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

from torch import Tensor

from convdbn.energy import BoltzmannMachine, State

__all__ = ["Penalty"]


@runtime_checkable
class Penalty(Protocol):
    """A term of the loss. Derive from this class to write one, such as L1 on the weights:

    >>> class L1(Penalty):
    ...     def __call__(self, machine, positive):
    ...         return 0.001 * sum(link.weight.abs().sum() for link in machine.links)

    A penalty that remembers something from update to update also overrides `state` and `load_state`, so that a
    resumed run goes on as if it had not stopped.
    """

    def __call__(self, machine: BoltzmannMachine, positive: State) -> Tensor:
        """A scalar that is added to the loss; its gradient with respect to the parameters is what they learn from it.

        `positive` has the data in layer 0 and the means of the hidden layers given the data, without gradients.
        """

    def state(self) -> dict[str, Tensor]:
        """What the penalty carries from update to update."""
        return {}

    def load_state(self, tensors: Mapping[str, Tensor]) -> None:
        """The inverse of `state`."""
        return
