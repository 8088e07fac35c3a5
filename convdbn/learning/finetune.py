"""Fine-tuning: a stack becomes a classifier that learns from labeled pictures by backpropagation."""

import copy
import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from convdbn.errors import DataError, UsageError
from convdbn.images import Images
from convdbn.images.augment import distorted
from convdbn.learning.backprop import Descent, shuffled
from convdbn.learning.trainer import drawn_bits
from convdbn.models.classifier import Classifier
from convdbn.recipes import Settings, setting
from convdbn.storage.resumable import NOT_SAVED, Checkpointing

log = logging.getLogger(__name__)

BATCH = 100
"""Pictures that are classified at once."""
LINEAR_RATE = 100.0
"""Rate of the linear map, over the layers' and the root of the number of values that it sees."""


@dataclass(frozen=True)
class FineTuning(Settings):
    """How a classifier is trained."""

    epochs: int = setting(60, low=1, help="Passes over the labeled pictures.")
    batch: int = setting(50, low=1, help="Pictures in one update.")
    rate: float = setting(1e-3, above=0, help="Highest learning rate of the layers, with Adam.")
    dropout: float = setting(
        0.5,
        low=0,
        below=1,
        help="Share of their inputs that the linear map and fully connected layers above others do not see, drawn "
        "anew for each picture.",
    )
    distort: float = setting(
        1.0,
        low=0,
        help="Strength of random shifts, rotations, stretches and smooth distortions; 0 leaves the pictures as they "
        "are.",
    )
    sample_input: bool = setting(
        False, help="Take the input of the lowest layer as probabilities and draw bits from it in every update."
    )
    mirror: bool = setting(False, help="Mirror pictures at random; not for letters and digits.")
    adversarial: float = setting(
        0.0,
        low=0,
        help="Present each batch twice, the second time with every input value moved this far in the direction that "
        "raises the loss (Goodfellow, Shlens and Szegedy 2015); 0 presents it once.",
    )
    weight_decay: float = setting(
        1e-4, low=0, help="Share of the weights, times the learning rate, that every update subtracts."
    )
    held_out: float = setting(
        0.1,
        low=0,
        high=0.5,
        help="Share of the labeled pictures that select the best epoch; 0 trains on all of them to the end.",
    )
    seed: int = setting(0, low=0, help="Seed of everything random in the training.")


def finetune(
    network: Classifier, images: Images, settings: FineTuning, checkpointing: Checkpointing = NOT_SAVED
) -> Classifier:
    """Train `network` in place on labeled pictures of one size; it ends as it was after its best epoch.

    The best epoch has the lowest cross-entropy on the held-out share of the labeled pictures; test pictures decide
    nothing. A run that `checkpointing` saved goes on from its network.
    """
    if images.labels is None:
        raise DataError(f"images={images.name!r}: no labels; put the pictures of each class into its own sub-folder")
    pictures = shaped(network, images, torch.arange(len(images)))
    labels, device = images.labels.to(pictures.device), pictures.device
    train, held = (indices.to(device) for indices in _split(images.labels, settings))
    batch = min(settings.batch, len(train))
    per_epoch = len(train) // batch
    generator = torch.Generator(device).manual_seed(settings.seed)
    presented = _presentation(network, pictures, settings, generator)
    descent = Descent(
        _groups(network, settings),
        updates=settings.epochs * per_epoch,
        weight_decay=settings.weight_decay,
        generator=generator,
    )
    best = _Best()
    if checkpointing.saved:
        descent.load_state(checkpointing.saved)
        best.load_state(checkpointing.saved)
    else:
        network.standardize(network.inputs(part) for part in pictures[train].split(BATCH))

    def thinned(values: Tensor) -> Tensor:
        seen = torch.rand(values.shape, generator=generator, device=device) >= settings.dropout
        return values * seen / (1 - settings.dropout)

    def loss(chosen: Tensor) -> Tensor:
        index = train[chosen]
        x = presented(index).requires_grad_(settings.adversarial > 0)

        def missed(x: Tensor) -> Tensor:
            return F.cross_entropy(network.linear(thinned(network.values(x, thinned))), labels[index])

        plain = missed(x)
        return (plain + missed(worse(x, plain, settings.adversarial))) / 2 if settings.adversarial else plain

    batches = shuffled(len(train), batch, seed=settings.seed, start=descent.step)
    guarded = checkpointing.with_checkpoints(
        batches, lambda: descent.state() | best.state(), lambda: f"step {descent.step}"
    )
    # Distorted pictures go through `network.inputs` in every update, whose checks wait for the GPU.
    recorded = not settings.distort and not settings.mirror and all(s.kernel == (0, 0) for s in network.shapes)
    for value in descent.steps(guarded, loss, recorded=recorded):
        epoch, within = divmod(descent.step, per_epoch)
        if within:
            continue
        if not len(held):
            log.info("epoch %d: loss %.4f", epoch, value)
            continue
        judged = float(F.cross_entropy(logits(network, pictures[held]), labels[held]))
        log.info("epoch %d: loss %.4f, held-out %.4f", epoch, value, judged)
        best.look(network, judged)
    if best.parameters:
        network.load_state_dict(best.parameters)
    return network.eval()


def worse(x: Tensor, loss: Tensor, strength: float) -> Tensor:
    """`x`, every value moved by `strength` the way that raises the loss, as far as the range of the batch allows."""
    (slope,) = torch.autograd.grad(loss, x, retain_graph=True)
    x = x.detach()
    return (x + strength * slope.sign()).clamp(*x.aminmax())


class _Best:
    """A copy of the network as it was judged best."""

    def __init__(self) -> None:
        self.judged, self.parameters = math.inf, dict[str, Tensor]()

    def look(self, network: Classifier, judged: float) -> None:
        if judged < self.judged:
            self.judged, self.parameters = judged, copy.deepcopy(network.state_dict())

    def state(self) -> dict[str, Tensor]:
        judged = torch.tensor(self.judged, dtype=torch.float64)
        return {"judged": judged, **{f"best.{name}": x for name, x in self.parameters.items()}}

    def load_state(self, tensors: Mapping[str, Tensor]) -> None:
        self.judged = float(tensors["judged"])
        self.parameters = {name[5:]: x for name, x in tensors.items() if name.startswith("best.")}


def _presentation(
    network: Classifier, pictures: Tensor, settings: FineTuning, generator: torch.Generator
) -> Callable[[Tensor], Tensor]:
    """What the lowest layer sees of pictures, by their indices: distorted and drawn anew at every presentation."""
    if settings.sample_input:
        low, high = network.inputs(pictures[:BATCH]).aminmax()
        if low < 0 or high > 1:
            raise UsageError("sample_input=True: the model takes real values, of which no bits can be drawn")
    fixed = None
    if not settings.distort and not settings.mirror:
        fixed = torch.cat([network.inputs(batch) for batch in pictures.split(BATCH)])

    def presented(index: Tensor) -> Tensor:
        if fixed is not None:
            x = fixed[index]
        else:
            x = distorted(pictures[index], settings.distort, mirror=settings.mirror, generator=generator)
            x = network.inputs(x)
        return drawn_bits(x, generator=generator) if settings.sample_input else x

    return presented


def _groups(network: Classifier, settings: FineTuning) -> list[dict[str, Any]]:
    """Parameters with their rates: the linear map, and everything below it that learns."""
    linear = list(network.linear.parameters())
    own = set(linear)
    below = [x for x in network.parameters() if x.requires_grad and x not in own]
    linear_rate = settings.rate * LINEAR_RATE / math.sqrt(network.linear.in_features)
    return [{"params": below, "lr": settings.rate}, {"params": linear, "lr": linear_rate}]


@torch.no_grad()
def logits(network: Classifier, pictures: Tensor) -> Tensor:
    """Logits `(N, classes)` of pictures of one size, by batches."""
    return torch.cat([network(batch) for batch in pictures.split(BATCH)])


def error(network: Classifier, images: Images) -> float:
    """Percent of the pictures that the network takes for another class."""
    counts = confusion(network, images)
    return 100 * float((counts.sum() - counts.trace()) / counts.sum())


def confusion(network: Classifier, images: Images) -> Tensor:
    """How many pictures of each class, a row, the network takes for each class, a column: `(K, K)` int64."""
    assert images.labels is not None
    parts = torch.arange(len(images)).split(BATCH)
    predicted = torch.cat([logits(network, shaped(network, images, part)).argmax(1).cpu() for part in parts])
    count = len(network.classes)
    return (images.labels * count + predicted).bincount(minlength=count**2).view(count, count)


def shaped(network: Classifier, images: Images, indices: Tensor) -> Tensor:
    """Pictures as one batch, where the network is."""
    return network.transform.batch(images, indices).to(network.linear.bias)


def _split(labels: Tensor, settings: FineTuning) -> tuple[Tensor, Tensor]:
    """Indices of the pictures to train on and of those that judge, every class in its share."""
    from sklearn.model_selection import train_test_split  # needed by fine-tuning alone

    everything = torch.arange(len(labels))
    held = math.ceil(settings.held_out * len(labels))
    if held == 0:
        return everything, everything[:0]
    try:
        train, judge = train_test_split(everything, test_size=held, stratify=labels, random_state=settings.seed)
    except ValueError as problem:
        raise UsageError(
            f"held_out={settings.held_out}: {held} of {len(labels)} labeled pictures cannot judge every class "
            f"({problem}); label more, or hold out 0"
        ) from problem
    return train, judge
