"""Joint training of fully connected stacks without a classifier: up-down learning and autoencoders."""

import copy
import logging
from collections.abc import Callable
from statistics import fmean

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from convdbn.energy import BoltzmannMachine, Given
from convdbn.errors import UsageError
from convdbn.images import Images
from convdbn.images.augment import distorted
from convdbn.images.splits import labels_of
from convdbn.learning.backprop import Backprop, shuffled
from convdbn.learning.layer_inputs import prepared
from convdbn.learning.phases import ContrastiveDivergence, positive
from convdbn.models.stack import Stack
from convdbn.recipes.tuning import Refinement
from convdbn.sampling.bits import draw_bits
from convdbn.sampling.bound import log_density
from convdbn.storage.resumable import Checkpointing

log = logging.getLogger(__name__)


def refine(
    stack: Stack,
    x: Tensor,
    settings: Refinement,
    *,
    labels: Tensor | None = None,
    read: Callable[[Tensor], Tensor] | None = None,
    checkpoint: Checkpointing | None = None,
) -> Stack:
    """Train `stack` in place on vectors `(N, n)`, and one-hot `labels` where its top machine has label units.

    Upward and downward weights begin equal and then learn separately. An autoencoder has a decoder for every layer;
    in up-down learning the top machine stays undirected. Where every reading of the pictures differs, `read` gives
    the vectors at some indices for each update; else they are those of `x`. A run in `checkpoint` is resumed; `stack`
    is then the stack of that run.
    """
    checkpoint = checkpoint or Checkpointing()
    encoder = settings.method == "autoencoder"
    check(stack, labels=not encoder)
    if not len(stack.generative):
        lower = stack.machines if encoder else stack.machines[:-1]
        stack.generative = nn.ModuleList(copy.deepcopy(list(lower)))  # type: ignore[assignment]
    generator = torch.Generator(x.device).manual_seed(settings.seed)
    batch = min(settings.batch, len(x))
    per_epoch = len(x) // batch
    updates = settings.epochs * per_epoch

    def sweeps() -> int:
        return round(settings.k + (settings.k_end - settings.k) * backprop.step / max(1, updates - 1))

    def loss(index: Tensor) -> Tensor:
        vectors = x[index] if read is None else read(index)
        if encoder:
            return reconstruction_loss(stack, _presentation(vectors, stack, settings, generator))
        batch_labels = None if labels is None else labels[index]
        return up_down_loss(stack, vectors, batch_labels, k=sweeps(), generator=generator)

    groups = [{"params": list(stack.parameters()), "lr": settings.rate}]
    backprop = Backprop(groups, loss, updates=updates, generator=generator, recorded=read is None, key=sweeps)
    if checkpoint.saved:
        backprop.load_state(checkpoint.saved)
    checkpoint.save(backprop.state())
    losses: list[float] = []  # of the epoch so far, or of what a resumed run does of it
    for value in backprop.steps(shuffled(len(x), batch, seed=settings.seed, start=backprop.step)):
        losses.append(value)
        if backprop.step % per_epoch == 0:
            log.info("epoch %d: mean loss %.4f", backprop.step // per_epoch, fmean(losses))
            losses = []
        interrupted = checkpoint.stop()
        if interrupted or checkpoint.due():
            checkpoint.save(backprop.state())
        if interrupted:
            raise checkpoint.interrupted(f"step {backprop.step}")
    return stack.eval()


def _presentation(x: Tensor, stack: Stack, settings: Refinement, generator: torch.Generator) -> Tensor:
    """Vectors of pictures, with a new distortion every time if the settings have one."""
    if not settings.distort:
        return x
    return distorted(x.view(-1, *stack.picture), settings.distort, generator=generator).flatten(1)


def refine_on(stack: Stack, images: Images, settings: Refinement, checkpoint: Checkpointing | None = None) -> Stack:
    """`refine` on all pictures of a set, with their labels if the top machine has label units."""
    x, labels = prepared(stack, images), None
    if stack.machines[-1].units[-1].kind == "categorical":
        labels = F.one_hot(labels_of(images), len(images.classes)).to(x)

    def read(index: Tensor) -> Tensor:
        return prepared(stack, images.select(index.cpu()))

    return refine(stack, x, settings, labels=labels, read=read if images.changing else None, checkpoint=checkpoint)


def check(stack: Stack, *, labels: bool = False) -> None:
    """Refuse stacks without a single pass upwards and downwards, and, unless `labels`, those with label units."""
    if not labels and stack.machines[-1].units[-1].kind == "categorical":
        raise UsageError("model: has label units, which have no reconstruction; train its top layer without labels")
    if stack.deep or not all(layer.dense for layer in stack.geometry):
        raise UsageError(
            "model: does not consist of separate fully connected layers; train it with kernel: 0 and joint: false"
        )


def reconstruction_loss(stack: Stack, x: Tensor) -> Tensor:
    """Mean of -log p(x | layer 1), where layer 1 is decoded from the code: cross-entropy for Bernoulli pixels."""
    bottom = stack.downward(0)
    return -log_density(bottom.units[0], bottom.field((None, decoded(stack, encoded(stack, x), 1)), 0), x).mean()


def encoded(stack: Stack, x: Tensor) -> Tensor:
    """Means of the highest layer, `(B, n)`; differentiable."""
    for machine in stack.machines:
        x = machine.units[1].mean(machine.field((x, *[None] * (len(machine.units) - 1)), 1))
    return x


def decoded(stack: Stack, code: Tensor, layer: int = 0) -> Tensor:
    """Means of a layer, 0 being the pixels, from means of the highest; differentiable."""
    for index in range(len(stack.machines) - 1, layer - 1, -1):
        machine = stack.downward(index)
        code = machine.units[0].mean(machine.field((None, code), 0))
    return code


def up_down_loss(stack: Stack, x: Tensor, labels: Tensor | None, *, k: int, generator: torch.Generator) -> Tensor:
    """A scalar whose gradient is the up-down rule (Hinton, Osindero and Teh 2006, appendix B).

    In the wake phase, recognition draws the states upward, and the generative weights learn to predict each state
    from the one above it. The top machine takes a step of CD-k. In the sleep phase, generation draws the states
    downward from the result, and the recognition weights learn to predict each state from the one below it.
    """
    x, top = draw_bits(x, generator=generator), stack.machines[-1]
    loss = x.new_zeros(())
    for index in range(len(stack.machines) - 1):
        above = _draw(stack.machines[index], x, up=True, generator=generator)
        loss = loss - _log_probability(stack.downward(index), x, above, up=False)
        x = above
    data: Given = (x, None) if len(top.units) == 2 else (x, None, labels)
    means, samples = positive(top, data, generator=generator)
    dream = ContrastiveDivergence(k)(top, samples, generator=generator)
    for parameter, gradient in top.contrast(means, dream).items():
        loss = loss + (parameter * gradient).sum()  # its derivative in the parameter is `gradient`
    x = dream[0]
    for index in range(len(stack.machines) - 2, -1, -1):
        below = _draw(stack.downward(index), x, up=False, generator=generator)
        loss = loss - _log_probability(stack.machines[index], x, below, up=True)
        x = below
    return loss


@torch.no_grad()
def _draw(machine: BoltzmannMachine, x: Tensor, *, up: bool, generator: torch.Generator) -> Tensor:
    layer = 1 if up else 0
    return machine.units[layer].sample(machine.field(_input(x, up), layer), generator=generator)


def _log_probability(machine: BoltzmannMachine, x: Tensor, cause: Tensor, *, up: bool) -> Tensor:
    """Mean log probability of x in one layer given the other."""
    layer = 1 if up else 0
    return log_density(machine.units[layer], machine.field(_input(cause, up), layer), x).mean()


def _input(x: Tensor, up: bool) -> Given:
    return (x, None) if up else (None, x)
