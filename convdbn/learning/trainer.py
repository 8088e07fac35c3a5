"""The training of one machine: contrast of two phases, penalties, an optimizer's step, and a row of metrics."""

import copy
import itertools
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Protocol

import torch
from torch import Tensor

from convdbn.energy import BoltzmannMachine, Given, State
from convdbn.errors import UsageError
from convdbn.learning.capture import Captured
from convdbn.learning.centering import Centering
from convdbn.learning.denoising import denoising_loss
from convdbn.learning.diagnostics import Diagnostics
from convdbn.learning.initialize import initialize
from convdbn.learning.labels import classification_loss, given, with_inferred_labels
from convdbn.learning.optimizer import MakeOptimizer, optimizer_for, still
from convdbn.learning.penalty import Penalty
from convdbn.learning.phases import NegativePhase, phase_for, positive
from convdbn.learning.precision import Precision
from convdbn.learning.schedule import Schedule
from convdbn.learning.sparsity import sparsity_for
from convdbn.ops.grad import without_gradients
from convdbn.ops.memory import keep_freed_memory
from convdbn.recipes import LayerSettings
from convdbn.sampling.bits import draw_bits
from convdbn.storage.metrics import Metrics

__all__ = ["Trainer"]


class Part(Protocol):
    """A part of the trainer with a state that changes from update to update."""

    def state(self) -> dict[str, Tensor]:
        """The state of the part between updates."""

    def load_state(self, tensors: Mapping[str, Tensor]) -> None:
        """The inverse of `state`."""


class Trainer:
    """Fits one machine, whose layer 0 is visible and the others hidden, to batches of visible states.

    The settings determine everything except a custom `optimizer`, `penalty` (in addition to sparsity) and negative
    `phase`. The trainer and the machine determine the next update; `state` and `load_state` carry the trainer through
    a checkpoint, and a resumed run continues exactly. The machine's parameters keep their `requires_grad`, and `grad`
    is None.
    """

    def __init__(
        self,
        machine: BoltzmannMachine,
        settings: LayerSettings,
        *,
        generator: torch.Generator,
        optimizer: MakeOptimizer | None = None,
        penalty: Penalty | None = None,
        phase: NegativePhase | None = None,
    ) -> None:
        _check_own_parts(settings, penalty, phase)
        keep_freed_memory()
        self.machine, self.settings, self.generator = machine, settings, generator
        self.step = 0
        self.seconds_watching = 0.0
        """Time that rows of metrics took; on a GPU the updates that they waited for are in it."""
        self.schedule = Schedule(settings)
        self.diagnostics = Diagnostics(machine)
        self.optimizer = optimizer_for(machine, settings, optimizer)
        self.gradients = self.optimizer.gradients
        self.still = [parameter for parameter in still(machine) if parameter.requires_grad]
        # Copies, because the state of a penalty or a phase belongs to one machine.
        self.negative = phase_for(settings) if phase is None else copy.deepcopy(phase)
        self.sparsity, self.penalty = sparsity_for(settings), copy.deepcopy(penalty)
        self.centering = None if settings.centering == "none" else Centering(settings.centering)
        self.precision = Precision(machine, settings.precision, gpu=machine.links[0].weight.is_cuda)
        self.captured = Captured(self._take, generator=generator)
        # A recording replays the same operations every time, but custom parts may vary theirs.
        self.captured.refused = any(part is not None for part in (optimizer, penalty, phase))
        self.parts: dict[str, Part | None] = {
            "": self.diagnostics,
            "optimizer.": self.optimizer,
            "negative.": self.negative,
            "offset.": self.centering,
            "sparsity.": self.sparsity,
            "penalty.": self.penalty,
        }

    def initialize(self, data: Tensor, *, below: BoltzmannMachine | None = None) -> None:
        """Set weights and biases before the first update, from visible states `data`, `(B, ...)`.

        `below` is the machine whose hidden layer is visible here, if there is one.
        """
        self.diagnostics.data_spread = float(data.var())
        initialize(self.machine, self.settings, data, below=below, generator=self.generator)

    def steps(
        self, batches: Iterable[Tensor], *, watched: tuple[Tensor, Tensor] | None = None, log_every: int = 20
    ) -> Iterator[Metrics | None]:
        """Take updates up to `settings.updates`, one for each batch; yields a row of metrics at the first, every
        `log_every` and the last, and None at the others.

        `watched` are equally many training and held-out inputs; a metric compares their free energies, of as many as
        a batch has, the next ones in every row, and of all in the last row. Raises `Diverged` with step and statistic
        as soon as a row of metrics shows it.
        """
        pair = None if watched is None else (given(self.machine, watched[0]), given(self.machine, watched[1]))
        for data in itertools.islice(batches, self.settings.updates - self.step):
            last = self.step == self.settings.updates - 1
            logged = self.step % log_every == 0 or last
            before = self.diagnostics.weights() if logged else []
            key = self.schedule.apply(self.step, self.machine, self.optimizer, self.negative)
            states = self.captured(data, key)
            part = pair if last or pair is None else _rotated(pair, self.step // log_every, len(data))
            self.step += 1
            yield self._row(states, before, part) if logged else None

    @without_gradients
    def _take(self, visible: Tensor) -> State:
        """An update on a batch of the layer's input."""
        if self.settings.sample_input:
            visible = draw_bits(visible, generator=self.generator)
        with self.precision:
            return self.update(given(self.machine, visible))

    @without_gradients
    def update(self, data: Given) -> State:
        """Update the parameters once; returns the positive state, for the metrics. Layers of None are hidden."""
        with _frozen(self.still):
            learn = self._denoise if self.settings.objective == "denoising" else self._contrast
            means, model, loss = learn(data)
            self._add_gradients(loss, means)
            if self.centering is None:
                self.optimizer.step(self.gradients)
            else:
                self.centering.step(self.machine, self.optimizer, means, model)
        for unit in self.machine.units:
            unit.confine()
        return means

    def _contrast(self, data: Given) -> tuple[State, State, Tensor | None]:
        """Add the contrast of the data's and the model's states to the gradients; returns both states, and the
        classification loss if the settings have one."""
        labeled = None
        if self.settings.labeled:
            data, labeled = with_inferred_labels(self.machine, data, generator=self.generator)
        means, samples = positive(self.machine, data, generator=self.generator, sweeps=self.settings.mean_field)
        model = means
        if self.settings.generative:
            model = self.negative(self.machine, samples, generator=self.generator)
            self._check_state(model, means)
            # Per position of the hidden layer, so that rates do not depend on the size of the pictures.
            scale = self.settings.generative / means[1][0, 0].numel()
            keep = self.optimizer.share_kept
            self.machine.contrast(means, model, scale=scale, onto=self.gradients, keep=keep)
            self.negative.follow(self.machine, means, model, scale=scale)
        else:
            self._fade()
        if not self.settings.discriminative:
            return means, model, None
        with torch.enable_grad():
            loss = classification_loss(self.machine, data, labeled)
            return means, model, self.settings.discriminative * loss

    def _check_state(self, model: State, means: State) -> None:
        """Refuse a phase whose state does not have the shapes of this machine."""
        if [x.shape[1:] for x in model] != [x.shape[1:] for x in means]:
            shapes = [tuple(x.shape) for x in model]
            raise UsageError(
                f"phase={type(self.negative).__name__}: returned a state of shapes {shapes}, but the data have "
                f"{[tuple(x.shape) for x in means]}; return one tensor for each layer"
            )

    def _denoise(self, data: Given) -> tuple[State, State, Tensor]:
        """The data with the hidden means, twice, and the denoising loss."""
        assert data[0] is not None
        self._fade()
        corruption = self.settings.corruption
        with torch.enable_grad():
            loss, means = denoising_loss(self.machine, data[0], corruption=corruption, generator=self.generator)
            return means, means, loss / means[1][0, 0].numel()

    def _fade(self) -> None:
        """Multiply the last gradients by their factor in the next."""
        for gradient in self.gradients.values():
            gradient.mul_(self.optimizer.share_kept)

    def _add_gradients(self, loss: Tensor | None, means: State) -> None:
        """Add the gradients of the loss, of the penalties, and of L2: `l2` times half the squared weights."""
        for penalty in (self.sparsity, self.penalty):
            if penalty is not None:
                with torch.enable_grad():
                    term = penalty(self.machine, means)
                    if not (isinstance(term, Tensor) and term.ndim == 0 and term.requires_grad):
                        raise UsageError(
                            f"penalty={type(penalty).__name__}: returned {term!r}; return a scalar tensor that "
                            "depends on the machine's parameters"
                        )
                    loss = term if loss is None else loss + term
        if loss is not None:
            slopes = torch.autograd.grad(loss, [*self.gradients], allow_unused=True)
            for buffer, slope in zip(self.gradients.values(), slopes, strict=True):
                if slope is not None:
                    buffer.add_(slope)
        if self.settings.l2:
            for _, _, link in self.machine.unique_links:
                self.gradients[link.weight].add_(link.weight.detach(), alpha=self.settings.l2)

    @without_gradients
    def _row(self, states: State, before: list[Tensor], watched: tuple[Given, Given] | None) -> Metrics:
        began, rate = time.perf_counter(), float(self.optimizer.param_groups[0]["lr"])
        with self.precision:
            row = self.diagnostics.row(states, before, watched, step=self.step, rate=rate)
        self.seconds_watching += time.perf_counter() - began
        return row

    def state(self) -> dict[str, Tensor]:
        """All that the next updates depend on except the machine; Diverged if a parameter is not finite."""
        self.diagnostics.refuse_parameters(self.step)
        tensors = {"step": torch.tensor(self.step), "generator": self.generator.get_state()}
        for prefix, part in self.parts.items():
            if part is not None:
                tensors |= {prefix + name: x for name, x in part.state().items()}
        return tensors

    def load_state(self, tensors: Mapping[str, Tensor]) -> None:
        """The inverse of `state`."""
        device = self.machine.units[0].bias.device
        self.step = int(tensors["step"])
        self.generator.set_state(tensors["generator"])
        for prefix, part in self.parts.items():
            if part is not None:
                own = {name: x for name, x in tensors.items() if name.startswith(prefix)}
                part.load_state({name.removeprefix(prefix): x.to(device) for name, x in own.items()})


def _check_own_parts(settings: LayerSettings, penalty: Penalty | None, phase: NegativePhase | None) -> None:
    """Refuse penalties and phases of a wrong class, and a phase that would have no effect."""
    if penalty is not None and (isinstance(penalty, type) or not isinstance(penalty, Penalty)):
        raise UsageError(f"penalty={penalty!r}: give an object of a class that derives from Penalty")
    if phase is not None and not isinstance(phase, NegativePhase):
        raise UsageError(f"phase={phase!r}: give an object of a class that derives from NegativePhase")
    if phase is not None and (settings.objective == "denoising" or not settings.generative):
        raise UsageError(
            f"phase={type(phase).__name__}: needs the likelihood (objective: likelihood, generative above 0); "
            "leave it out"
        )


def _rotated(pair: tuple[Given, Given], turn: int, count: int) -> tuple[Given, Given]:
    """Group number `turn` of `count` inputs of each; after the last group comes the first again.

    The free energies of all inputs would take longer than the updates between two rows.
    """
    whole = next(len(x) for x in pair[0] if x is not None)
    first = turn * count % whole
    training, held_out = (tuple(None if x is None else x[first : first + count] for x in group) for group in pair)
    return training, held_out


@contextmanager
def _frozen(parameters: list[torch.nn.Parameter]) -> Iterator[None]:
    """Inside `with`, these do not learn."""
    for parameter in parameters:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in parameters:
            parameter.requires_grad_(True)
