"""The one training loop: contrast of two phases, sparsity, an optimizer step, and a row of metrics now and then."""

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from convdbn.energy import BoltzmannMachine, Gaussian, Given, LearnedGaussian, State, mean_per_unit, pooled
from convdbn.errors import Diverged, UsageError
from convdbn.learning.capture import Captured
from convdbn.learning.centering import Centering
from convdbn.learning.denoising import denoising_loss
from convdbn.learning.initialize import initialize, transposed_below
from convdbn.learning.optimizer import load_optimizer_state, optimizer_for, optimizer_state
from convdbn.learning.phases import (
    ContrastiveDivergence,
    FastPersistentContrastiveDivergence,
    NegativePhase,
    ParallelTempering,
    PersistentContrastiveDivergence,
    positive,
)
from convdbn.learning.sparsity import BiasSparsity, DecayedSparsity, Sparsity
from convdbn.ops.grad import without_gradients
from convdbn.ops.memory import keep_freed_memory
from convdbn.recipes import LayerSettings
from convdbn.sampling.bound import unnormalized
from convdbn.sampling.gibbs import mean, start, update
from convdbn.sampling.labels import label_logits
from convdbn.storage.metrics import Metrics

ANNEAL = 0.7
"""Share of the updates over which sigma falls from its first to its last value."""
MOMENTUM_SWITCH = 0.1
"""Share of the updates after which the momentum takes its last value."""
EXPLODED = 1e3
"""A reconstruction error this many times the spread of the data is an explosion."""


class Trainer:
    """Fits one machine, whose layer 0 is visible and the others hidden, to batches of visible states.

    Everything that decides the next update is in here and in the machine; `state` and `load_state` carry it through
    a checkpoint, after which the run goes on exactly as if it had not stopped.
    """

    def __init__(self, machine: BoltzmannMachine, settings: LayerSettings, *, generator: torch.Generator) -> None:
        self.machine, self.settings, self.generator = machine, settings, generator
        keep_freed_memory()
        self.step = 0
        self.data_spread = math.inf
        self.labeled = any(unit.kind == "categorical" for unit in machine.units)
        self.negative = _negative_phase(settings)
        self.sparsity = _sparsity(settings)
        self.centering = None if settings.centering == "none" else Centering(settings.centering)
        # Real-valued input is centered by its transform, and its bias stays at the data's mean (Lee et al. 2009).
        machine.units[0].bias.requires_grad_(not isinstance(machine.units[0], Gaussian))
        self.optimizer = optimizer_for(machine, settings)
        self.gradients = {x: x.grad for x in machine.parameters() if x.grad is not None}
        self.captured = Captured(self._update_visible, generator=generator)

    def initialize(self, data: Tensor, *, below: BoltzmannMachine | None = None) -> None:
        """Weights by `settings.init`; visible biases from the data: its mean, or log-odds for Bernoulli units.

        `below` is the machine whose hidden layer is visible here, where there is one.
        """
        self.data_spread = float(data.var())
        if self.settings.init == "transposed":
            return transposed_below(self.machine, self.settings, below, generator=self.generator)
        initialize(self.machine, self.settings, data, generator=self.generator)
        with torch.no_grad():
            for unit, x in zip(self.machine.units, self._given(data), strict=True):
                if x is not None:
                    unit.bias.copy_(unit.data_bias(mean_per_unit(x)))

    def fit(
        self,
        batches: Iterable[Tensor],
        *,
        watched: tuple[Tensor, Tensor] | None = None,
        on_metrics: Callable[[Metrics], None] = lambda metrics: None,
        log_every: int = 20,
    ) -> None:
        """Take updates up to `settings.updates`, one for each batch.

        `watched` are equally many training and held-out pictures, whose free energies are compared for the metrics.
        Gradients are off meanwhile, in `batches` and `on_metrics` too.
        Raises `Diverged`, naming layer, step and statistic, as soon as a row of metrics shows it.
        """
        with _precision(self.machine, self.settings.precision), torch.no_grad():
            for data in itertools.islice(batches, self.settings.updates - self.step):
                logged = self.step % log_every == 0 or self.step == self.settings.updates - 1
                before = [link.weight.detach().clone() for link in self.machine.links] if logged else []
                states = self.captured(data, self._schedule())
                self.step += 1
                if logged:
                    on_metrics(self._metrics(states, before, watched))

    def _update_visible(self, visible: Tensor) -> State:
        if self.settings.sample_input:
            visible = drawn_bits(visible, generator=self.generator)
        return self.update(self._given(visible))

    def _given(self, visible: Tensor) -> Given:
        """A state with the visible layer alone, or with the labels that stand behind its units."""
        if not self.labeled:
            return self.machine.clamped_visible(visible)
        pixels, labels = visible.split([self.machine.units[0].n, self.machine.units[-1].n], 1)
        return *self.machine.clamped_visible(pixels)[:-1], labels

    @without_gradients
    def update(self, data: Given) -> State:
        """One update of the parameters; the positive state, for the metrics. Layers that are None are hidden."""
        means = self._denoise(data) if self.settings.objective == "denoising" else self._learn(data)
        for unit in self.machine.units:
            if isinstance(unit, LearnedGaussian):
                unit.confine()
        return means

    def _denoise(self, data: Given) -> State:
        """A step down the loss of undoing damage."""
        assert data[0] is not None
        self._fade()
        with torch.enable_grad():
            loss, means = denoising_loss(
                self.machine, data[0], corruption=self.settings.corruption, generator=self.generator
            )
            self._add_gradients(loss / means[1][0, 0].numel(), means)
        self.optimizer.step()
        return means

    def _learn(self, data: Given) -> State:
        """A step down the contrast of data and model, where it counts, and the other terms of the loss."""
        known = None
        if self.settings.labeled:
            data, known = self._with_labels(data)
        means, samples = positive(self.machine, data, generator=self.generator, sweeps=self.settings.mean_field)
        model = means
        if self.settings.generative:
            model = self.negative(self.machine, samples, generator=self.generator)
            # Per position of the hidden layer, so that rates do not depend on the size of the pictures.
            scale = self.settings.generative / means[1][0, 0].numel()
            self.machine.contrast(means, model, scale=scale, onto=self.gradients, keep=self._kept())
            self.negative.follow(self.machine, means, model, scale=scale)
        else:
            self._fade()
        self._add_gradients(self._classification(data, known), means)
        if self.centering is None:
            self.optimizer.step()
        else:
            self.centering.step(self.machine, self.optimizer, means, model)
        return means

    def _kept(self) -> float:
        """Share of the last gradients that goes on in the next."""
        return self.optimizer.param_groups[0].get("momentum", 0.0)

    def _fade(self) -> None:
        for gradient in self.gradients.values():
            gradient.mul_(self._kept())

    def _classification(self, data: Given, known: Tensor | None) -> Tensor | None:
        """The discriminative term of the loss, -log p(label | pixels) where the label is known."""
        if not self.settings.discriminative:
            return None
        pixels, *_, labels = data
        assert pixels is not None and labels is not None
        with torch.enable_grad():
            missed = F.cross_entropy(label_logits(self.machine, pixels), labels, reduction="none")
            classified = missed.mean() if known is None else missed[known].sum() / known.sum().clamp(min=1)
            return self.settings.discriminative * classified

    @without_gradients
    def _with_labels(self, data: Given) -> tuple[Given, Tensor]:
        """Labels that are not known, rows of zeros, drawn from p(label | pixels); and which were known, `(B,)`.

        The positive phase is then a draw of labels and hidden units given the pixels alone, as the gradient of
        log p(pixels) wants it (Larochelle and Bengio 2008, section 5.3).
        """
        pixels, *_, labels = data
        assert pixels is not None and labels is not None
        known = labels.sum(1) > 0
        index = torch.multinomial(label_logits(self.machine, pixels).softmax(1), 1, generator=self.generator)
        drawn = torch.zeros_like(labels).scatter_(1, index, 1)
        return (*data[:-1], torch.where(known[:, None], labels, drawn)), known

    def _add_gradients(self, loss: Tensor | None, means: State) -> None:
        """Those of the loss and of sparsity, where there are any, and of half the squared weights."""
        if self.sparsity is not None:
            with torch.enable_grad():
                sparsity = self.sparsity(self.machine, means)
                loss = sparsity if loss is None else loss + sparsity
        if loss is not None:
            loss.backward()
        if self.settings.l2:
            for _, _, link in self.machine.unique_links:
                self.gradients[link.weight].add_(link.weight.detach(), alpha=self.settings.l2)

    def _schedule(self) -> tuple[float, int]:
        """Set learning rate, momentum, sigma and sweeps for this step; those that are no tensors."""
        s, progress = self.settings, self.step / max(1, self.settings.updates)
        rate = s.rate + (s.rate_end - s.rate) * progress
        momentum = float(s.momentum if progress < MOMENTUM_SWITCH else s.momentum_end)
        for group in self.optimizer.param_groups:
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(rate * group["factor"])
            else:
                group["lr"] = rate * group["factor"]
            if "betas" in group:
                group["betas"] = (momentum, group["betas"][1])
            else:
                group["momentum"] = momentum
        visible = self.machine.units[0]
        if isinstance(visible, Gaussian) and not isinstance(visible, LearnedGaussian):
            visible.set_scale(s.sigma * (s.sigma_end / s.sigma) ** min(1.0, progress / ANNEAL))
        if s.k_end:
            self.negative.k = round(s.k + (s.k_end - s.k) * progress)
        return momentum, self.negative.k

    @torch.no_grad()
    def _metrics(self, states: State, before: list[Tensor], watched: tuple[Tensor, Tensor] | None) -> Metrics:
        """What the practical guide says to watch; two passes on the pictures of this batch."""
        data, hidden = states[0], states[1]
        reconstruction = update(self.machine, start(self.machine, self.machine.clamped_visible(data)), 0, mean)[0]
        on = pooled(hidden, self.machine.units[1].pool)
        typical, highest = mean_per_unit(on), on.amax([0, *range(2, on.ndim)])
        weight = torch.cat([link.weight.flatten() for link in self.machine.links])
        step = weight - torch.cat([w.flatten() for w in before])
        values = {
            "reconstruction_error": (data - reconstruction).square().mean(),
            "activation": hidden.mean(),
            "dead": (highest < 0.05).float().mean(),
            "always_on": (typical > 0.95).float().mean(),
            "weight_rms": weight.square().mean().sqrt(),
            "update_to_weight": step.norm() / weight.norm(),
            "hidden_bias": self.machine.units[1].bias.mean(),
        }
        if isinstance(self.machine.units[0], Gaussian):
            values["sigma"] = self.machine.units[0].scale.mean()
        if watched is not None:
            seen, unseen = (-unnormalized(self.machine, self._given(x)).mean() for x in watched)
            values["free_energy_gap"] = unseen - seen
        row = torch.stack([*values.values()]).tolist()  # one copy from the device for all
        rate = float(self.optimizer.param_groups[0]["lr"])
        metrics = {"step": self.step, "rate": rate, **dict(zip(values, row, strict=True))}
        self._refuse_metrics(metrics)
        return metrics

    def _refuse_metrics(self, metrics: Metrics) -> None:
        for name, value in metrics.items():
            if not math.isfinite(value):
                raise Diverged(f"step {self.step}: {name} is {value}. {_REMEDY}")
        error, limit = metrics["reconstruction_error"], EXPLODED * max(self.data_spread, 1e-6)
        if error > limit:
            raise Diverged(f"step {self.step}: reconstruction_error is {error:.3g}, above {limit:.3g}. {_REMEDY}")

    def state(self) -> dict[str, Tensor]:
        """Everything but the machine that the next updates depend on; Diverged where a parameter is not finite."""
        for name, parameter in self.machine.named_parameters():
            if not torch.isfinite(parameter).all():
                raise Diverged(f"step {self.step}: parameter {name} is not finite. {_REMEDY}")
        tensors = {
            "step": torch.tensor(self.step),
            "data_spread": torch.tensor(self.data_spread, dtype=torch.float64),
            "generator": self.generator.get_state(),
        }
        tensors |= optimizer_state(self.optimizer)
        tensors |= {f"negative.{name}": x for name, x in self.negative.state().items()}
        if self.centering is not None:
            tensors |= {f"offset.{layer}": x for layer, x in enumerate(self.centering.offsets or [])}
        if isinstance(self.sparsity, DecayedSparsity) and self.sparsity.average is not None:
            tensors["sparsity.average"] = self.sparsity.average
        return tensors

    def load_state(self, tensors: Mapping[str, Tensor]) -> None:
        """The inverse of `state`."""
        device = self.machine.units[0].bias.device
        self.step = int(tensors["step"])
        self.data_spread = float(tensors["data_spread"])
        self.generator.set_state(tensors["generator"])
        load_optimizer_state(self.optimizer, tensors)
        self.negative.load_state(_of("negative.", tensors, device))
        if self.centering is not None:
            offsets = _of("offset.", tensors, device)
            self.centering.offsets = [offsets[str(layer)] for layer in range(len(offsets))] or None
        if isinstance(self.sparsity, DecayedSparsity) and "sparsity.average" in tensors:
            self.sparsity.average = tensors["sparsity.average"].to(device)


def drawn_bits(probabilities: Tensor, *, generator: torch.Generator) -> Tensor:
    """Zeros and ones with these probabilities of a one."""
    p = probabilities
    return torch.rand(p.shape, generator=generator, device=p.device, dtype=p.dtype).lt_(p)


def _of(prefix: str, tensors: Mapping[str, Tensor], device: torch.device) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): x.to(device) for name, x in tensors.items() if name.startswith(prefix)}


_REMEDY = "Training diverged: lower `rate`, raise `sigma`, or check the scale of the pictures"


@contextmanager
def _precision(machine: BoltzmannMachine, name: str) -> Iterator[None]:
    """Products in this precision, for as long as the training lasts. Left alone, a GPU would take float32 for matrix
    products and TF32 for convolutions."""
    settings: tuple[Any, ...] = (torch.backends.cuda.matmul, torch.backends.cudnn.conv)  # type: ignore[attr-defined]
    before = [setting.fp32_precision for setting in settings]
    for setting in settings:
        setting.fp32_precision = "tf32" if name == "tf32" else "ieee"
    for link in machine.links:
        link.products = torch.bfloat16 if name == "bfloat16" else None
    try:
        yield
    finally:
        for setting, precision in zip(settings, before, strict=True):
            setting.fp32_precision = precision
        for link in machine.links:
            link.products = None


def _negative_phase(settings: LayerSettings) -> NegativePhase:
    if settings.border and (settings.phase != "cd" or settings.kernel == 0):
        raise UsageError(f"border={settings.border}: needs phase: cd and a convolutional layer; take border: 0")
    if settings.phase == "pcd":
        return PersistentContrastiveDivergence(settings.k)
    if settings.phase == "fast-pcd":
        return FastPersistentContrastiveDivergence(settings.k, rate=settings.fast_rate)
    if settings.phase == "tempering":
        return ParallelTempering(settings.k, temperatures=settings.temperatures)
    return ContrastiveDivergence(settings.k, noise_free=settings.noise_free, border=settings.border)


def _sparsity(settings: LayerSettings) -> Sparsity | None:
    if settings.sparsity == "none":
        return None
    kind = BiasSparsity if settings.sparsity == "bias" else DecayedSparsity
    return kind(settings.target, settings.strength)
