"""Constructors of the machines that have names in the literature; each returns a `BoltzmannMachine`.

A layer is a `Unit`, or the number of its Bernoulli units.
"""

import itertools
from collections.abc import Sequence

from convdbn.energy import Bernoulli, BlockSoftmax, BoltzmannMachine, Categorical, Conv, Dense, Link, Unit


def rbm(visible: int | Unit, hidden: int | Unit) -> BoltzmannMachine:
    """Restricted Boltzmann machine: visibles `(B, visible)`, hiddens `(B, hidden)`.

    >>> rbm(784, 500).shapes((784,))
    [(784,), (500,)]
    """
    return dbm(visible, [hidden])


def labeled_rbm(visible: int | Unit, hidden: int | Unit, classes: int) -> BoltzmannMachine:
    """Classification RBM (Larochelle and Bengio 2008): one-hot labels `(B, classes)` beside the visible layer.

    >>> labeled_rbm(784, 500, 10).shapes((784,))
    [(784,), (500,), (10,)]
    """
    return dbm(visible, [hidden], classes)


def conv_rbm(channels: int | Unit, filters: int, kernel: int | tuple[int, int], *, pool: int = 2) -> BoltzmannMachine:
    """Convolutional RBM with probabilistic max-pooling over `pool` x `pool` blocks (Lee et al. 2009, section 3.3).

    Visibles are `(B, channels, H, W)`, hiddens `(B, filters, H - kernel + 1, W - kernel + 1)`.

    >>> conv_rbm(1, 40, 9).shapes((1, 28, 28))
    [(1, 28, 28), (40, 20, 20)]
    """
    return conv_dbm(channels, [filters], [kernel], [pool])


def dbm(visible: int | Unit, hidden: Sequence[int | Unit], classes: int = 0) -> BoltzmannMachine:
    """Deep Boltzmann machine (Salakhutdinov and Hinton 2009): a chain of fully connected layers, trained together.

    With `classes`, a layer of one-hot labels is linked to the highest layer.

    >>> dbm(784, [500, 1000], 10).shapes((784,))
    [(784,), (500,), (1000,), (10,)]
    """
    units = [_units(layer) for layer in (visible, *hidden)]
    links: list[tuple[int, int, Link]] = [
        (layer, layer + 1, Dense(below.n, above.n)) for layer, (below, above) in enumerate(itertools.pairwise(units))
    ]
    if classes:
        links.append((len(units), len(units) - 1, Dense(classes, units[-1].n)))
        units.append(Categorical(classes))
    return BoltzmannMachine(units, links)


def conv_dbm(
    channels: int | Unit, filters: Sequence[int], kernels: Sequence[int | tuple[int, int]], pools: Sequence[int]
) -> BoltzmannMachine:
    """Convolutional deep Boltzmann machine with probabilistic max-pooling, all layers trained together.

    Every layer sees the pooling units of the one below, and all units of a block receive the same field from above
    (Lee et al. 2009, section 3.6).

    >>> conv_dbm(1, [8, 16], [5, 3], [2, 1]).shapes((1, 28, 28))
    [(1, 28, 28), (8, 24, 24), (16, 10, 10)]
    """
    units = [_units(channels), *(BlockSoftmax(n, pool) for n, pool in zip(filters, pools, strict=True))]
    links = [
        (layer, layer + 1, Conv(below.n, above.n, kernel, pool=pool))
        for layer, ((below, above), kernel, pool) in enumerate(
            zip(itertools.pairwise(units), kernels, [1, *pools[:-1]], strict=True)
        )
    ]
    return BoltzmannMachine(units, links)


def doubled(machine: BoltzmannMachine, *, below: bool) -> BoltzmannMachine:
    """A restricted machine with two copies of its lower layer, or of its upper one, which share weights and biases.

    In a deep machine the layer between them has a neighbor on each side; here the copies stand for both neighbors
    (Salakhutdinov and Hinton 2009, section 3.1).

    >>> doubled(rbm(784, 500), below=True).shapes((784,))
    [(784,), (500,), (784,)]
    """
    (lower, upper), (link,) = machine.units, machine.links
    copy, second = (lower, (2, 1, link)) if below else (upper, (0, 2, link))
    return BoltzmannMachine([lower, upper, copy], [(0, 1, link), second])


def _units(layer: int | Unit) -> Unit:
    return Bernoulli(layer) if isinstance(layer, int) else layer
