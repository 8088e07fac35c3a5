"""Named machines are constructors: the same `BoltzmannMachine` in the shapes that the field has names for."""

import itertools
from collections.abc import Sequence

from convdbn.energy import Bernoulli, BlockSoftmax, BoltzmannMachine, Categorical, Conv, Dense, Gaussian, Unit


def rbm(visible: int, hidden: int, *, gaussian: bool = False) -> BoltzmannMachine:
    """Restricted Boltzmann machine: Bernoulli (or Gaussian) visibles `(B, visible)`, Bernoulli hiddens.

    >>> rbm(784, 500).shapes((784,))
    [(784,), (500,)]
    """
    return dbm(visible, [hidden], gaussian=gaussian)


def labelled_rbm(visible: int, hidden: int, classes: int, *, gaussian: bool = False) -> BoltzmannMachine:
    """Classification RBM (Larochelle and Bengio 2008): one-hot labels `(B, classes)` beside the visible layer.

    >>> labelled_rbm(784, 500, 10).shapes((784,))
    [(784,), (500,), (10,)]
    """
    units = [_visible(visible, gaussian), Bernoulli(hidden), Categorical(classes)]
    return BoltzmannMachine(units, [(0, 1, Dense(visible, hidden)), (2, 1, Dense(classes, hidden))])


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


def dbm(visible: int, hidden: Sequence[int], *, gaussian: bool = False) -> BoltzmannMachine:
    """Deep Boltzmann machine (Salakhutdinov and Hinton 2009): a chain of fully connected layers, trained together.

    >>> dbm(784, [500, 1000]).shapes((784,))
    [(784,), (500,), (1000,)]
    """
    sizes = [visible, *hidden]
    units = [_visible(visible, gaussian), *map(Bernoulli, hidden)]
    links = [Dense(below, above) for below, above in itertools.pairwise(sizes)]
    return BoltzmannMachine(units, [(layer, layer + 1, link) for layer, link in enumerate(links)])


def conv_dbm(
    channels: int, filters: Sequence[int], kernels: Sequence[int], pools: Sequence[int], *, gaussian: bool = False
) -> BoltzmannMachine:
    """Convolutional deep Boltzmann machine with probabilistic max-pooling, all layers trained together.

    Every layer sees the pooling units of the one below, and the field from above reaches all units of a block alike
    (Lee et al. 2009, section 3.6).

    >>> conv_dbm(1, [8, 16], [5, 3], [2, 1]).shapes((1, 28, 28))
    [(1, 28, 28), (8, 24, 24), (16, 10, 10)]
    """
    below = [channels, *filters]
    links = [
        Conv(below[layer], above, kernel, pool=pool)
        for layer, (above, kernel, pool) in enumerate(zip(filters, kernels, [1, *pools], strict=False))
    ]
    units = [_visible(channels, gaussian), *(BlockSoftmax(n, pool) for n, pool in zip(filters, pools, strict=True))]
    return BoltzmannMachine(units, [(layer, layer + 1, link) for layer, link in enumerate(links)])


def _visible(n: int, gaussian: bool) -> Unit:
    return Gaussian(n) if gaussian else Bernoulli(n)
