"""Fine-tuning: a stack becomes a classifier that learns from labeled pictures by backpropagation."""

import copy
import logging
import math
from collections.abc import Mapping
from statistics import fmean
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from convdbn.errors import UsageError
from convdbn.images import Images
from convdbn.images.augment import distorted
from convdbn.images.splits import labels_of
from convdbn.learning.backprop import Backprop, shuffled
from convdbn.models.classifier import Classifier
from convdbn.recipes.tuning import FineTuning
from convdbn.sampling.bits import draw_bits
from convdbn.storage.resumable import Checkpointing

log = logging.getLogger(__name__)

BATCH = 100
"""Pictures to classify at once."""
LINEAR_RATE = 100.0
"""The rate of the linear map is this times the layers' rate, over the square root of its number of inputs."""


def finetune(
    network: Classifier, images: Images, settings: FineTuning, checkpoint: Checkpointing | None = None
) -> Classifier:
    """Train `network` in place on labeled images of one size; it ends with the parameters of its best epoch.

    The best epoch has the lowest cross-entropy on the held-out share of the labeled images; test images play no part.
    A run in `checkpoint` is resumed; `network` is then the network of that run.
    """
    labels = labels_of(images)
    checkpoint = checkpoint or Checkpointing()
    pictures = shaped(network, images, torch.arange(len(images)))
    device = pictures.device
    train, held_out = (indices.to(device) for indices in _split(labels, settings))
    labels = labels.to(device)
    batch = min(settings.batch, len(train))
    per_epoch = len(train) // batch
    generator = torch.Generator(device).manual_seed(settings.seed)
    presentation = _Presentation(network, images, pictures, settings, generator)

    def loss(indices: Tensor) -> Tensor:
        return presentation.loss(train[indices], labels)

    backprop = Backprop(
        _groups(network, settings),
        loss,
        updates=settings.epochs * per_epoch,
        weight_decay=settings.weight_decay,
        generator=generator,
        recorded=presentation.recorded,
    )
    best = _Best()
    if checkpoint.saved:
        backprop.load_state(checkpoint.saved)
        best.load_state(checkpoint.saved)
    else:
        network.standardize(network.inputs(part) for part in pictures[train].split(BATCH))
    checkpoint.save(backprop.state() | best.state())
    losses: list[float] = []  # of the epoch so far, or of what a resumed run does of it
    for value in backprop.steps(shuffled(len(train), batch, seed=settings.seed, start=backprop.step)):
        losses.append(value)
        epoch, within = divmod(backprop.step, per_epoch)
        if not within and len(held_out):
            held_out_loss = float(F.cross_entropy(logits(network, pictures[held_out]), labels[held_out]))
            best.update(network, held_out_loss)
            log.info("epoch %d: mean loss %.4f, held-out %.4f", epoch, fmean(losses), held_out_loss)
        elif not within:
            log.info("epoch %d: mean loss %.4f", epoch, fmean(losses))
        losses = losses if within else []
        interrupted = checkpoint.stop()
        if interrupted or checkpoint.due():
            checkpoint.save(backprop.state() | best.state())
        if interrupted:
            raise checkpoint.interrupted(f"step {backprop.step}")
    if best.parameters:
        network.load_state_dict(best.parameters)
    return network.eval()


class _Presentation:
    """How the network sees images in training: with new distortions, bits and dropout every time, and read anew if
    they change. `pictures` are all images as one tensor."""

    def __init__(
        self,
        network: Classifier,
        images: Images,
        pictures: Tensor,
        settings: FineTuning,
        generator: torch.Generator,
    ) -> None:
        self.network, self.images, self.pictures = network, images, pictures
        self.settings, self.generator = settings, generator
        if settings.sample_input:
            low, high = network.inputs(pictures[:BATCH]).aminmax()
            if low < 0 or high > 1:
                raise UsageError(
                    "sample_input=True: needs pixels in [0, 1], but the model takes real values; leave it out"
                )
        self.fixed = None
        """The input of the lowest layer, if it is always the same."""
        if not settings.distort and not settings.mirror and not images.changing:
            self.fixed = torch.cat([network.inputs(batch) for batch in pictures.split(BATCH)])
        # Distorted pictures go through `network.inputs` in every update, and its checks wait for the GPU.
        self.recorded = self.fixed is not None and all(shape.dense for shape in network.geometry)

    def loss(self, index: Tensor, labels: Tensor) -> Tensor:
        """Mean cross-entropy of the pictures at these indices, or its mean with that of their adversarial copies."""
        strength = self.settings.adversarial
        x, targets = self._inputs(index).requires_grad_(strength > 0), labels[index]
        plain = self._cross_entropy(x, targets)
        if not strength:
            return plain
        return (plain + self._cross_entropy(adversarial(x, plain, strength), targets)) / 2

    def _inputs(self, index: Tensor) -> Tensor:
        if self.fixed is not None:
            x = self.fixed[index]
        else:
            pictures = self._read(index)
            strength, mirror = self.settings.distort, self.settings.mirror
            x = self.network.inputs(distorted(pictures, strength, mirror=mirror, generator=self.generator))
        return draw_bits(x, generator=self.generator) if self.settings.sample_input else x

    def _read(self, index: Tensor) -> Tensor:
        if self.images.changing:
            return shaped(self.network, self.images, index.cpu())
        return self.pictures[index]

    def _cross_entropy(self, x: Tensor, labels: Tensor) -> Tensor:
        values = self._dropout(self.network.values(x, self._dropout))
        return F.cross_entropy(self.network.linear(values), labels)

    def _dropout(self, values: Tensor) -> Tensor:
        mask = torch.rand(values.shape, generator=self.generator, device=values.device) >= self.settings.dropout
        return values * mask / (1 - self.settings.dropout)


def adversarial(x: Tensor, loss: Tensor, strength: float) -> Tensor:
    """`x` after a step of `strength` in every value that raises the loss, clamped to the range of the batch."""
    (slope,) = torch.autograd.grad(loss, x, retain_graph=True)
    x = x.detach()
    return (x + strength * slope.sign()).clamp(*x.aminmax())


class _Best:
    """The lowest held-out loss so far, and a copy of the parameters that had it."""

    def __init__(self) -> None:
        self.loss, self.parameters = math.inf, dict[str, Tensor]()

    def update(self, network: Classifier, loss: float) -> None:
        if loss < self.loss:
            self.loss, self.parameters = loss, copy.deepcopy(network.state_dict())

    def state(self) -> dict[str, Tensor]:
        loss = torch.tensor(self.loss, dtype=torch.float64)
        return {"judged": loss, **{f"best.{name}": x for name, x in self.parameters.items()}}

    def load_state(self, tensors: Mapping[str, Tensor]) -> None:
        self.loss = float(tensors["judged"])
        self.parameters = {name[5:]: x for name, x in tensors.items() if name.startswith("best.")}


def _groups(network: Classifier, settings: FineTuning) -> list[dict[str, Any]]:
    """Parameters with their rates: those of the linear map, and all below it that learn."""
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
    """Percentage of pictures that the network assigns to a wrong class."""
    counts = confusion(network, images)
    return 100 * float((counts.sum() - counts.trace()) / counts.sum())


def confusion(network: Classifier, images: Images) -> Tensor:
    """Number of pictures of each class (rows) that the network assigns to each class (columns): `(K, K)` int64."""
    assert images.labels is not None
    parts = torch.arange(len(images)).split(BATCH)
    predicted = torch.cat([logits(network, shaped(network, images, part)).argmax(1).cpu() for part in parts])
    count = len(network.classes)
    return (images.labels * count + predicted).bincount(minlength=count**2).view(count, count)


def shaped(network: Classifier, images: Images, indices: Tensor) -> Tensor:
    """Pictures as one batch, on the device of the network."""
    return network.transform.batch(images, indices).to(network.linear.bias)


def _split(labels: Tensor, settings: FineTuning) -> tuple[Tensor, Tensor]:
    """Indices of the training pictures and of the held-out ones, both stratified by class."""
    from sklearn.model_selection import train_test_split  # only fine-tuning needs it

    indices = torch.arange(len(labels))
    count = math.ceil(settings.held_out * len(labels))
    if count == 0:
        return indices, indices[:0]
    try:
        train, held_out = train_test_split(indices, test_size=count, stratify=labels, random_state=settings.seed)
    except ValueError as problem:
        raise UsageError(
            f"held_out={settings.held_out}: {count} of {len(labels)} labeled pictures cannot represent every class "
            f"({problem}); label more, or hold out 0"
        ) from problem
    return train, held_out
