"""Greedy layer-wise training (Hinton et al. 2006): each machine is trained on the pooled maps of those below it."""

import functools
import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from convdbn.errors import DataError, Diverged, UsageError
from convdbn.images import Images, Mirrored, build_transform
from convdbn.learning.build import begin_with, initial_model, machine_for
from convdbn.learning.diagnostics import idle_units
from convdbn.learning.layer_inputs import CHUNK, LayerInput, input_for
from convdbn.learning.optimizer import MakeOptimizer
from convdbn.learning.penalty import Penalty
from convdbn.learning.phases import NegativePhase
from convdbn.learning.progress import Progress
from convdbn.learning.trainer import Trainer
from convdbn.models.compose import dbm_from_doubled
from convdbn.models.files import open_model, save
from convdbn.models.stack import Stack
from convdbn.recipes import Recipe, check
from convdbn.recipes.geometry import check_size, output_side, padded_size, trimmed_size
from convdbn.storage import metrics
from convdbn.storage.checkpoint import FILES
from convdbn.storage.metrics import METRICS_FILE, Metrics, MetricsFile
from convdbn.storage.resumable import Checkpointing

__all__ = ["Callback", "train_greedily"]

log = logging.getLogger(__name__)

TENSORBOARD_FOLDER = "tensorboard"
"""Folder of a run for TensorBoard, with a sub-folder `layer-1` and so on for each layer."""
BIAS_SAMPLE = 1000
"""Pictures or crops whose mean sets the visible biases."""
FIT_SAMPLE = 5000
"""Pictures that fit a transform with parameters."""

Callback = Callable[[Stack, int, Metrics], bool | None]
"""Takes the stack so far, the number of the layer in training, and a row of metrics; True stops the run."""


def train_greedily(
    recipe: Recipe,
    images: Images,
    *,
    held_out: Images | None = None,
    folder: Path | None = None,
    data: dict[str, Any] | None = None,
    resume: bool = False,
    device: torch.device | str = "cpu",
    stop: Callable[[], bool] = lambda: False,
    callbacks: Sequence[Callback] = (),
    optimizer: MakeOptimizer | None = None,
    penalty: Penalty | None = None,
    phase: NegativePhase | None = None,
    verbose: bool = True,
) -> Stack:
    """Train the layers of `recipe` on `images` one after the other; returns the trained stack.

    The run is saved into `folder`, with `data` in the metadata; with `resume` the run in the folder continues, and
    ends with the same parameters as a run without interruption. `stop` is called after each update; when it returns
    True, the run is saved and raises `Interrupted`. When one of the `callbacks` returns True, the run is saved too,
    and the stack so far is returned. `held_out` images serve only for the free-energy gap.

    A custom `optimizer` is a callable that makes a torch optimizer from groups of parameters, such as
    `torch.optim.RMSprop`; the recipe sets its rate. A `penalty` is added to the loss, and a `phase` replaces the
    recipe's negative phase. A resumed run must get the same ones; the metadata contain their names.
    """
    own = {"optimizer": optimizer, "penalty": penalty, "phase": phase}
    run = _Run(recipe, images, held_out=held_out, folder=folder, data=data or {}, device=device, own=own)
    if resume:
        run.resume()
    else:
        run.begin()
    for number, differences in enumerate(run.recipe.differences(), start=1):
        log.info("layer %d: %s", number, differences or "all settings at their defaults")
    for depth in range(run.trained, len(run.recipe.machines)):
        try:
            finished = _train_layer(run, depth, stop, callbacks, verbose)
        except Diverged as error:
            raise Diverged(f"layer {depth + 1}, {error}") from error
        if not finished:
            break
        run.finish(depth)
    return run.stack.eval()


def _train_layer(
    run: "_Run", depth: int, stop: Callable[[], bool], callbacks: Sequence[Callback], verbose: bool
) -> bool:
    """Train machine `depth`, from its start or from the step of the saved run; False if a callback stopped it."""
    layer, settings = depth + 1, run.recipe.machines[depth]
    began = time.perf_counter()
    inputs = input_for(run.stack, run.images, run.recipe, depth)
    trainer = run.trainer(depth, inputs)
    log.info("layer %d: %.3g epochs", layer, settings.updates * settings.batch / len(run.images))
    checkpoint = Checkpointing(None if run.folder is None else functools.partial(run.save, depth), stop)
    checkpoint.save(trainer.state())
    batches = (batch.to(run.device) for batch in inputs.batches(trainer.step))
    steps = trainer.steps(batches, watched=run.watched(inputs), log_every=run.recipe.log_every)
    with (
        MetricsFile(run.metrics_file) as file,
        Progress(layer, updates=settings.updates, done=trainer.step, verbose=verbose) as progress,
    ):
        for row in steps:
            callback_stops = False
            if row is not None:
                shown = time.perf_counter()
                run.history.append({"layer": layer, **row})
                file.write(run.history[-1])
                progress.show(row)
                answers = [callback(run.stack, layer, row) for callback in callbacks]
                callback_stops = any(answers)
                trainer.seconds_watching += time.perf_counter() - shown
            interrupted = checkpoint.stop()
            if interrupted or callback_stops or checkpoint.due():
                checkpoint.save(trainer.state())
            if interrupted:
                raise checkpoint.interrupted(f"layer {layer}, step {trainer.step}")
            if callback_stops:
                log.info("layer %d, step %d: stopped by a callback", layer, trainer.step)
                run.tell_stack(depth, trainer.step)
                return False
    seconds, watching = time.perf_counter() - began, trainer.seconds_watching + checkpoint.seconds
    log.info("layer %d: %.3g s, %.1f %% of them to watch and to save", layer, seconds, 100 * watching / seconds)
    for problem in idle_units(run.history[-1]) if run.history else ():
        log.warning("layer %d: %s", layer, problem)
    return True


class _Run:
    """The common state of all layers of a run: the stack so far, the images, and the folder of the run."""

    def __init__(
        self,
        recipe: Recipe,
        images: Images,
        *,
        held_out: Images | None,
        folder: Path | None,
        data: dict[str, Any],
        device: torch.device | str,
        own: dict[str, Any],
    ) -> None:
        self.recipe = recipe.resolved(len(images))
        self.folder, self.device, self.own = folder, device, own
        self.images = Mirrored(images) if recipe.mirror else images
        self.held_out, self.data = held_out, data
        raw = [{"kind": "raw"}] if images.raw else []
        self.stack = Stack(build_transform([*raw, *recipe.transform]), [], ())
        self.trained = 0
        """Number of trained layers."""
        self.saved: Mapping[str, Tensor] = {}
        """The trainer's tensors of a resumed run."""
        self.history: list[Metrics] = []
        self.metrics_file = None if folder is None else folder / METRICS_FILE

    def begin(self) -> None:
        """Fit the transform and refuse, before any training, sizes that a later layer cannot take."""
        check(self.recipe)
        indices = torch.randperm(len(self.images), generator=torch.Generator().manual_seed(self.recipe.seed))
        self.stack.transform.fit(_Pictures(self.images, indices[:FIT_SAMPLE]))
        first = self.stack.prepare(self.images[[0]][0][None])
        channels, *whole = first.shape[1:]
        size = checked_size(self.recipe, whole)
        if self.recipe.initial and not self.recipe.joint:
            self._clear_folder()
            self.stack.machines.extend(initial_model(self.recipe, self.stack.transform).machines)
            self.trained = len(self.stack.machines)
        crop = self.recipe.layers[0].crop
        cropped = any(layer.crop for layer in self.recipe.layers)
        self.stack.picture = (channels, *((crop, crop) if crop else whole if cropped else size))
        self.stack.to(self.device)

    def resume(self) -> None:
        """Continue the run in the folder; UsageError if it has another custom optimizer, penalty or phase."""
        if self.folder is None or self.metrics_file is None:
            raise UsageError("resume=True: needs the folder of the run to resume; set folder")
        run = open_model(self.folder, "model")
        self.stack, metadata, self.saved = run.model, run.metadata, run.trainer
        if (before := metadata.get("own", {})) != (now := _names(self.own)):
            raise UsageError(f"resume=True: the run was trained with {before}, not with {now}; pass the same")
        self.trained, step = metadata["progress"]["layer"], metadata["progress"]["step"]
        metrics.cut(self.metrics_file, self.trained + 1, step)
        self.history = metrics.read(self.metrics_file) if self.metrics_file.exists() else []
        self.stack.to(self.device)

    def finish(self, depth: int) -> None:
        """Save the stack after the training of machine `depth`; after the last, doubled machines become one."""
        if self.recipe.doubled and depth + 1 == len(self.recipe.machines):
            self.stack = Stack(self.stack.transform, [dbm_from_doubled(self.stack)], self.stack.picture)
        self.save(depth + 1, {})

    def save(self, layer: int, trainer: Mapping[str, Tensor]) -> None:
        """Write the stack with `layer` trained layers, and the trainer's tensors for the next layer."""
        self.tell_stack(layer, int(trainer.get("step", 0)))
        if self.folder is not None:
            save(self.folder / FILES["model"], self.stack, self.stack.metadata, trainer)

    def tell_stack(self, layer: int, step: int) -> None:
        """Give the stack its recipe, data, progress and history."""
        self.stack.history = list(self.history)
        self.stack.metadata = {
            "recipe": json.loads(json.dumps(self.recipe.as_dict())),  # lists for tuples, as in a file
            "data": self.data,
            "progress": {"layer": layer, "step": step},
        }
        if own := _names(self.own):
            self.stack.metadata["own"] = own

    def trainer(self, depth: int, inputs: LayerInput) -> Trainer:
        """The trainer of machine `depth`: a new one, with a new machine, or that of the saved run."""
        settings = self.recipe.machines[depth]
        generator = torch.Generator(self.device).manual_seed(self.recipe.seed + depth)
        if len(self.stack.machines) > depth:
            trainer = Trainer(self.stack.machines[depth], settings, generator=generator, **self.own)
            trainer.load_state(self.saved)
            return trainer
        sample = inputs.sample(min(BIAS_SAMPLE, max(len(self.images), settings.batch))).to(self.device)
        classes = len(self.images.classes) if settings.labels else 0
        machine = machine_for(self.recipe, depth, sample.shape[1] - classes, classes).to(self.device)
        machine.units[0].check(sample[:, : machine.units[0].n], f"input of layer {depth + 1}")
        self.stack.machines.append(machine)
        trainer = Trainer(machine, settings, generator=generator, **self.own)
        trainer.initialize(sample, below=self.stack.machines[depth - 1] if depth else None)
        if self.recipe.joint and self.recipe.initial:
            begin_with(machine, initial_model(self.recipe, self.stack.transform))
        if depth == 0:
            self._clear_folder()
        return trainer

    def watched(self, inputs: LayerInput) -> tuple[Tensor, Tensor] | None:
        """As many training as held-out inputs, for the free-energy gap."""
        if self.held_out is None:
            return None
        held_out = input_for(self.stack, self.held_out, self.recipe, inputs.depth, cache_bytes=0)
        count = min(len(self.held_out), len(self.images))
        return inputs.sample(count).to(self.device), held_out.sample(count).to(self.device)

    def _clear_folder(self) -> None:
        """Delete an earlier run in the folder; called only after a first look at the images, which may fail."""
        if self.folder is not None:
            self.folder.mkdir(parents=True, exist_ok=True)
            curves = (self.folder / TENSORBOARD_FOLDER).glob("layer-*/events.out.tfevents.*")
            for path in (self.folder / FILES["model"], self.folder / METRICS_FILE, *curves):
                path.unlink(missing_ok=True)


class _Pictures:
    """Batches of pictures, each batch of one size, for the fit of a transform, which may iterate more than once."""

    def __init__(self, images: Images, indices: Tensor) -> None:
        self.images, self.indices = images, indices

    def __iter__(self) -> Iterator[Tensor]:
        for batch in self.images.batches(self.indices.split(CHUNK)):
            yield from [batch] if isinstance(batch, Tensor) else (picture[None] for picture in batch)


def _names(own: Mapping[str, Any]) -> dict[str, str]:
    """The names of the custom parts: that of a function, or of an object's class."""
    return {kind: _name(part) for kind, part in own.items() if part is not None}


def _name(part: Any) -> str:
    if isinstance(part, functools.partial):
        options = [*map(repr, part.args), *(f"{name}={value!r}" for name, value in part.keywords.items())]
        return f"{_name(part.func)}({', '.join(options)})"
    named = part if hasattr(part, "__qualname__") else type(part)
    return f"{named.__module__}.{named.__qualname__}"


def checked_size(recipe: Recipe, size: Sequence[int]) -> Sequence[int]:
    """The (height, width) to which pictures of this size, after the transform, are trimmed or padded for the layers
    that see whole pictures; DataError if that, or a layer's crop, is not possible."""
    layers, geometry = recipe.layers, [layer.geometry for layer in recipe.layers]
    cropped = any(layer.crop for layer in layers)
    deepest = max((number for number, layer in enumerate(layers, start=1) if not layer.crop), default=0)
    if recipe.sizes == "pad":
        size = padded_size(size, geometry[:deepest])
    elif recipe.sizes == "trim" or cropped:
        size = trimmed_size(size, geometry[:deepest])
    check_size(size, geometry[:deepest])
    for number, layer in enumerate(layers, start=1):
        if not layer.crop:
            continue
        below = geometry[: number - 1]
        sides = [output_side(side, below, axis) for axis, side in enumerate(trimmed_size(size, below))]
        if layer.crop > min(sides):
            raise DataError(
                f"crop={layer.crop}: is larger than the input of layer {number}, {sides[0]}x{sides[1]}; use larger "
                "pictures or a smaller crop"
            )
    return size
