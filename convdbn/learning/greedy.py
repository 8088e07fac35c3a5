"""Greedy layer-wise training (Hinton et al. 2006): each machine is fitted to the pooled maps of those below it."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from convdbn.energy import UNITS, BoltzmannMachine, LearnedGaussian, Unit
from convdbn.errors import DataError, Diverged, UsageError
from convdbn.images import Images, Mirrored, build_transform
from convdbn.learning.layer_inputs import CHUNK, LayerInput
from convdbn.learning.trainer import Trainer
from convdbn.models.compose import composed
from convdbn.models.geometry import Geometry, check_size, output_side, trimmed_size
from convdbn.models.machines import conv_dbm, dbm, doubled
from convdbn.models.stack import MODEL_FILE, Stack, load, load_run, save
from convdbn.recipes import LayerSettings, Recipe, check
from convdbn.storage.metrics import Metrics, MetricsLog, cut
from convdbn.storage.resumable import Checkpointing

log = logging.getLogger(__name__)

METRICS_FILE = "metrics.csv"
TENSORBOARD_FOLDER = "tensorboard"
"""Where whoever watches a run for TensorBoard writes, a sub-folder `layer-1` and so on for each layer."""
BIAS_SAMPLE = 1000
"""Pictures or crops whose mean sets the visible biases."""
FIT_SAMPLE = 5000
"""Pictures that a transform with parameters is fitted to."""


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
    callbacks: Sequence[Callable[[Stack, int, Metrics], Any]] = (),
    verbose: bool = True,
) -> Stack:
    """Train the layers of `recipe` on `images` one after the other; the finished stack.

    The run is saved into `folder`, with `data` in the metadata; with `resume` the run in there goes on. `stop` is
    asked before each update; once it says so, the run saves itself and raises `Interrupted`. `callbacks` see the
    stack so far, the number of the layer in training and each row of metrics.
    """

    def watch(stack: Stack, layer: int, row: Metrics) -> None:
        for callback in callbacks:
            callback(stack, layer, row)

    run = GreedyTraining(
        recipe, images, held_out=held_out, folder=folder, data=data, device=device, stop=stop, watch=watch
    )
    if resume and folder is not None:
        run.resume(folder)
    return run.run()


class GreedyTraining:
    """A run: trains the layers of `recipe` on `images` one after the other, and saves into `folder` as it goes.

    `stop` is asked before each update; once it says so, the run saves itself and raises `Interrupted`. `resume` picks
    up a saved run, which then ends with the same parameters as one that was never stopped. `watch` sees each row of
    metrics, with the stack so far and the number of the layer that is trained.
    """

    def __init__(
        self,
        recipe: Recipe,
        images: Images,
        *,
        held_out: Images | None = None,
        folder: Path | None = None,
        data: dict[str, Any] | None = None,
        device: torch.device | str = "cpu",
        stop: Callable[[], bool] = lambda: False,
        watch: Callable[[Stack, int, Metrics], None] | None = None,
    ) -> None:
        self.recipe, self.folder, self.device = recipe.resolved(len(images)), folder, device
        self.stop, self.watch = stop, watch
        self.images = Mirrored(images) if recipe.mirror else images
        self.held_out, self.data = held_out, data or {}
        self.stack = Stack(build_transform(recipe.transform), [], ())
        self.saved_trainer: dict[str, Tensor] = {}
        self.first_layer = 0

    def resume(self, folder: Path) -> None:
        """Take up the run saved in the folder."""
        self.stack, metadata, self.saved_trainer = load_run(folder)
        self.first_layer = metadata["progress"]["layer"]
        cut(folder / METRICS_FILE, self.first_layer + 1, metadata["progress"]["step"])

    def run(self) -> Stack:
        """Train what is left to train; the finished stack."""
        if not self.stack.picture:
            self._fit_transform()
        self.stack.to(self.device)
        machines = self.recipe.machines
        for depth in range(self.first_layer, len(machines)):
            self._train_layer(depth, machines[depth])
            if self.recipe.doubled and depth + 1 == len(machines):
                self.stack = Stack(self.stack.transform, [composed(self.stack)], self.stack.picture)
            self._save(depth + 1, {})
        return self.stack.eval()

    def _fit_transform(self) -> None:
        """Fit the transform and refuse, before any work, sizes that a later layer could not take."""
        check(self.recipe)
        indices = torch.randperm(len(self.images), generator=torch.Generator().manual_seed(self.recipe.seed))
        self.stack.transform.fit(_Pictures(self.images, indices[:FIT_SAMPLE]))
        first = self.stack.prepare(self.images[[0]][0][None])
        channels, *size = first.shape[1:]
        check_sizes(self.recipe.layers, size)
        if self.recipe.initial and not self.recipe.joint:
            self._clear_folder()
            self.stack.machines.extend(self._initial().machines)
            self.first_layer = len(self.stack.machines)
        crop = self.recipe.layers[0].crop
        self.stack.picture = (channels, *((crop, crop) if crop else size))

    def _initial(self) -> Stack:
        """The trained model to begin with; UsageError unless its layers are the lowest of the recipe's."""
        model, name = load(self.recipe.initial), self.recipe.initial
        found = [
            (unit.n, kernel, pool) for (_, unit), (kernel, pool) in zip(model.layers, model.geometry, strict=True)
        ]
        wanted = [(x.filters, (x.kernel, x.kernel), x.pool if x.kernel else 1) for x in self.recipe.layers]
        deep = len(model.layers) > len(model.machines) and not self.recipe.joint
        if found != wanted[: len(found)] or deep:
            raise UsageError(f"initial={name!r}: has layers {found}, the recipe {wanted} (units, kernel, pool)")
        before, now = (
            # Resizing and padding may differ: filters know nothing of the size of pictures.
            [step for step in transform.spec() if step not in transform.shaping.spec()]
            for transform in (model.transform, self.stack.transform)
        )
        if before != now:
            raise UsageError(
                f"initial={name!r}: was trained with another transform, {model.transform.spec()}; take it"
            )
        return model

    def _clear_folder(self) -> None:
        """Begin a run: only now, with the pictures looked at, is one that may stand in the folder given up."""
        if self.folder is not None:
            self.folder.mkdir(parents=True, exist_ok=True)
            curves = (self.folder / TENSORBOARD_FOLDER).glob("layer-*/events.out.tfevents.*")
            for path in (self.folder / MODEL_FILE, self.folder / METRICS_FILE, *curves):
                path.unlink(missing_ok=True)

    def _train_layer(self, depth: int, settings: LayerSettings) -> None:
        """Fit machine `depth`, from its start or from where the saved run stood."""
        inputs = self._inputs(self.images, depth, settings)
        trainer = self._trainer(depth, settings, inputs)
        epochs = settings.updates * settings.batch / len(self.images)
        log.info("layer %d: %.3g epochs, %s", depth + 1, epochs, settings)
        path = None if self.folder is None else self.folder / METRICS_FILE
        save = None if path is None else partial(self._save, depth)
        batches = Checkpointing(save, self.stop).with_checkpoints(
            inputs.batches(trainer.step), trainer.state, lambda: f"layer {depth + 1}, step {trainer.step}"
        )
        with MetricsLog(path, depth + 1, updates=settings.updates, done=trainer.step) as metrics:

            def row(values: Metrics) -> None:
                metrics(values)
                if self.watch is not None:
                    self.watch(self.stack, depth + 1, values)

            try:
                trainer.fit(
                    (batch.to(self.device) for batch in batches),
                    watched=self._watched(inputs),
                    on_metrics=row,
                    log_every=self.recipe.log_every,
                )
            except Diverged as error:
                raise Diverged(f"layer {depth + 1}, {error}") from error

    def _inputs(self, images: Images, depth: int, settings: LayerSettings, **options: int) -> LayerInput:
        trim = any(layer.crop for layer in self.recipe.layers)
        return LayerInput(self.stack, images, settings, depth, seed=self.recipe.seed, trim=trim, **options)

    def _trainer(self, depth: int, settings: LayerSettings, inputs: LayerInput) -> Trainer:
        """The trainer of machine `depth`, new with the machine itself, or as the saved run left it."""
        generator = torch.Generator(self.device).manual_seed(self.recipe.seed + depth)
        if len(self.stack.machines) > depth:
            trainer = Trainer(self.stack.machines[depth], settings, generator=generator)
            trainer.load_state(self.saved_trainer)
            return trainer
        sample = inputs.sample(min(BIAS_SAMPLE, max(len(self.images), settings.batch))).to(self.device)
        layers = self.recipe.layers if self.recipe.joint else [settings]
        classes = len(self.images.classes) if settings.labels else 0
        machine = _machine(layers, sample.shape[1] - classes, classes)
        if self.recipe.doubled and depth in (0, len(self.recipe.layers) - 1):
            machine = doubled(machine, below=depth == 0)
        machine.to(self.device)
        machine.units[0].check(sample[:, : machine.units[0].n], f"input of layer {depth + 1}")
        self.stack.machines.append(machine)
        trainer = Trainer(machine, settings, generator=generator)
        trainer.initialize(sample, below=self.stack.machines[depth - 1] if depth else None)
        if self.recipe.joint and self.recipe.initial:
            _begin_with(machine, self._initial())
        if depth == 0:
            self._clear_folder()
        return trainer

    def _watched(self, inputs: LayerInput) -> tuple[Tensor, Tensor] | None:
        """As many training as held-out inputs, for the free-energy gap."""
        if self.held_out is None:
            return None
        unseen = self._inputs(self.held_out, inputs.depth, inputs.settings, cache_bytes=0)
        count = min(len(self.held_out), len(self.images))
        return inputs.sample(count).to(self.device), unseen.sample(count).to(self.device)

    def _save(self, layer: int, trainer: Mapping[str, Tensor]) -> None:
        """Write the stack, whose lowest `layer` layers are trained, and the tensors of the one that is not yet."""
        if self.folder is None:
            return
        metadata = {
            "recipe": self.recipe.as_dict(),
            "data": self.data,
            "progress": {"layer": layer, "step": int(trainer.get("step", 0))},
        }
        save(self.folder / MODEL_FILE, self.stack, metadata, trainer)


class _Pictures:
    """Pictures for the fit of a transform, which may go through them more than once: batches of one size each."""

    def __init__(self, images: Images, indices: Tensor) -> None:
        self.images, self.indices = images, indices

    def __iter__(self) -> Iterator[Tensor]:
        for chunk in self.indices.split(CHUNK):
            batch = self.images[chunk]
            yield from [batch] if isinstance(batch, Tensor) else (picture[None] for picture in batch)


def check_sizes(layers: Sequence[LayerSettings], size: Sequence[int]) -> None:
    """Refuse pictures of a (height, width), after the transform, that some layer could not take."""
    shapes = [Geometry((layer.kernel, layer.kernel), layer.pool) for layer in layers]
    cropped = any(layer.crop for layer in layers)
    deepest = max((number for number, layer in enumerate(layers, start=1) if not layer.crop), default=0)
    size = trimmed_size(size, shapes[:deepest]) if cropped else size
    check_size(size, shapes[:deepest], "pictures (after the transform)")
    for number, layer in enumerate(layers, start=1):
        if not layer.crop:
            continue
        below = shapes[: number - 1]
        sides = [output_side(side, below, axis) for axis, side in enumerate(trimmed_size(size, below))]
        if layer.crop > min(sides):
            raise DataError(
                f"layer {number}: crop={layer.crop} is larger than its input of {sides[0]}x{sides[1]}: use larger "
                "pictures or a smaller crop"
            )


def _machine(layers: Sequence[LayerSettings], channels: int, classes: int) -> BoltzmannMachine:
    visible: Unit = UNITS[layers[0].visible](channels)
    if layers[0].variance != "fixed":
        visible = LearnedGaussian(channels, layers[0].sigma, shared=layers[0].variance == "scalar")
    hidden = [UNITS[layer.hidden](layer.filters) for layer in layers]
    if layers[0].kernel == 0:
        return dbm(visible, hidden, classes)
    filters, kernels, pools = zip(*((layer.filters, layer.kernel, layer.pool) for layer in layers), strict=True)
    return conv_dbm(visible, filters, kernels, pools)


@torch.no_grad()
def _begin_with(machine: BoltzmannMachine, model: Stack) -> None:
    """The lowest layers of a deep machine, and labels over the same highest one, as `model` has them; further links
    stay as they are, noise, so that the two say nearly the same."""
    machine.units[0].load_state_dict(model.machines[0].units[0].state_dict())
    for layer, (link, unit) in enumerate(model.layers):
        machine.links[layer].load_state_dict(link.state_dict())
        machine.units[layer + 1].load_state_dict(unit.state_dict())
    top = model.machines[-1]
    if machine.units[-1].kind == top.units[-1].kind == "categorical" and len(machine.units) == len(model.layers) + 2:
        machine.links[-1].load_state_dict(top.links[-1].state_dict())
        machine.units[-1].load_state_dict(top.units[-1].state_dict())
