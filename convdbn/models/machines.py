"""Named machines are constructors: the same `BoltzmannMachine` in the shapes that the field has names for."""

from convdbn.energy import Bernoulli, BlockSoftmax, BoltzmannMachine, Conv, Dense, Gaussian, Unit


def rbm(visible: int, hidden: int, *, gaussian: bool = False) -> BoltzmannMachine:
    """Restricted Boltzmann machine: Bernoulli (or Gaussian) visibles `(B, visible)`, Bernoulli hiddens.

    >>> rbm(784, 500).shapes((784,))
    [(784,), (500,)]
    """
    return BoltzmannMachine([_visible(visible, gaussian), Bernoulli(hidden)], [(0, 1, Dense(visible, hidden))])


def conv_rbm(
    channels: int, filters: int, kernel: int | tuple[int, int], *, pool: int = 2, gaussian: bool = False
) -> BoltzmannMachine:
    """Convolutional RBM with probabilistic max-pooling over `pool` x `pool` blocks (Lee et al. 2009, section 3.3).

    Visibles are `(B, channels, H, W)`, hiddens `(B, filters, H - kernel + 1, W - kernel + 1)`.

    >>> conv_rbm(1, 40, 9).shapes((1, 28, 28))
    [(1, 28, 28), (40, 20, 20)]
    """
    units = [_visible(channels, gaussian), BlockSoftmax(filters, pool)]
    return BoltzmannMachine(units, [(0, 1, Conv(channels, filters, kernel))])


def _visible(n: int, gaussian: bool) -> Unit:
    return Gaussian(n) if gaussian else Bernoulli(n)
