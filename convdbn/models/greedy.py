"""Greedy layer-wise training (Hinton et al. 2006): each machine is fitted to the pooled maps of those below it."""

import csv
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from convdbn.energy import BoltzmannMachine
from convdbn.errors import Diverged, Interrupted
from convdbn.images import Images, Mirrored, build_transform
from convdbn.learning.trainer import Metrics, Trainer
from convdbn.models.inputs import CHUNK, LayerInput
from convdbn.models.machines import conv_rbm, rbm
from convdbn.models.stack import MODEL_FILE, Stack, check_size, load_run, save
from convdbn.recipes import Layer, Recipe

log = logging.getLogger(__name__)

METRICS_FILE = "metrics.csv"
COLUMNS = (
    "layer", "step", "reconstruction_error", "free_energy_gap", "activation", "dead", "always_on", "weight_rms",
    "update_to_weight", "hidden_bias", "rate", "sigma",
)  # fmt: skip
SAVE_SECONDS = 60.0
BIAS_SAMPLE = 1000
"""Pictures or crops whose mean sets the visible biases."""
FIT_SAMPLE = 5000
"""Pictures that a transform with parameters is fitted to."""


class GreedyTraining:
    """A run: trains the layers of `recipe` on `images` one after the other, and saves into `folder` as it goes.

    `stop` is asked before each update; once it says so, the run saves itself and raises `Interrupted`. `resume` picks
    up a saved run, which then ends with the same parameters as one that was never stopped.
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
    ) -> None:
        self.recipe, self.folder, self.stop, self.device = recipe, folder, stop, device
        self.images = Mirrored(images) if recipe.mirror else images
        self.held_out, self.data = held_out, data or {}
        self.stack = Stack(build_transform(recipe.transform), [], ())
        self.saved_trainer: dict[str, Tensor] = {}
        self.first_layer = 0
        self.last_save = time.monotonic()

    def resume(self, folder: Path) -> None:
        """Take up the run saved in the folder."""
        self.stack, metadata, self.saved_trainer = load_run(folder)
        self.first_layer = metadata["progress"]["layer"]
        _cut_metrics(folder / METRICS_FILE, self.first_layer + 1, metadata["progress"]["step"])

    def run(self) -> Stack:
        """Train what is left to train; the finished stack."""
        if not self.stack.picture:
            self._fit_transform()
        self.stack.to(self.device)
        for depth in range(self.first_layer, len(self.recipe.layers)):
            self._train_layer(depth, self.recipe.layers[depth])
            self._save(depth + 1, 0, None)
        return self.stack.eval()

    def _fit_transform(self) -> None:
        """Fit the transform and refuse, before any work, sizes that a later layer could not take."""
        indices = torch.randperm(len(self.images), generator=torch.Generator().manual_seed(self.recipe.seed))
        chunks = (self.images[chunk] for chunk in indices[:FIT_SAMPLE].split(CHUNK))
        self.stack.transform.fit(torch.stack(chunk) if isinstance(chunk, list) else chunk for chunk in chunks)
        first = self.stack.prepare(self.images[[0]][0][None])
        size = tuple(first.shape[2:])
        for number, layer in enumerate(self.recipe.layers, start=1):
            size = (layer.crop, layer.crop) if layer.crop else size
            if layer.kernel:
                what = f"layer {number}: crops" if layer.crop else f"layer {number}: input maps"
                check_size(size, [(layer.kernel, layer.pool)], what)
                size = tuple((side - layer.kernel + 1) // layer.pool for side in size)
        self._clear_folder()
        crop = self.recipe.layers[0].crop
        self.stack.picture = (first.shape[1], *((crop, crop) if crop else first.shape[2:]))

    def _clear_folder(self) -> None:
        """Begin a run: only now is one that may stand in the folder given up."""
        if self.folder is not None:
            self.folder.mkdir(parents=True, exist_ok=True)
            for name in (MODEL_FILE, METRICS_FILE):
                (self.folder / name).unlink(missing_ok=True)

    def _train_layer(self, depth: int, settings: Layer) -> None:
        """Fit machine `depth`, from its start or from where the saved run stood."""
        inputs = LayerInput(self.stack, self.images, settings, depth, seed=self.recipe.seed)
        generator = torch.Generator(self.device).manual_seed(self.recipe.seed + depth)
        fresh = len(self.stack.machines) == depth
        if fresh:
            sample = inputs.sample(BIAS_SAMPLE).to(self.device)
            self.stack.machines.append(_machine(settings, sample.shape[1]).to(self.device))
            self.stack.machines[depth].units[0].check(sample, f"input of layer {depth + 1}")
        machine = self.stack.machines[depth]
        trainer = Trainer(machine, settings, generator=generator)
        if fresh:
            trainer.initialise(sample)
        elif self.saved_trainer:
            trainer.load_state(self.saved_trainer)
        epochs = settings.updates * settings.batch / len(self.images)
        log.info(
            "layer %d: %d updates of %d (%.3g epochs), %s",
            depth + 1,
            settings.updates,
            settings.batch,
            epochs,
            settings,
        )
        watched = self._watched(inputs)
        with (
            self._writer() as writer,
            tqdm(total=settings.updates, initial=trainer.step, disable=None) as bar,
        ):
            bar.set_description(f"layer {depth + 1}")

            def on_metrics(metrics: Metrics) -> None:
                bar.update(metrics["step"] - bar.n)
                bar.set_postfix(error=f"{metrics['reconstruction_error']:.4f}", on=f"{metrics['activation']:.4f}")
                if writer is not None:
                    csv.DictWriter(writer, COLUMNS).writerow({"layer": depth + 1, **metrics})
                    writer.flush()

            batches = self._guarded(inputs.batches(trainer.step), trainer, depth)
            try:
                trainer.fit(batches, watched=watched, on_metrics=on_metrics, log_every=self.recipe.log_every)
            except Diverged as error:
                raise Diverged(f"layer {depth + 1}, {error}") from error

    def _guarded(self, batches: Iterator[Tensor], trainer: Trainer, depth: int) -> Iterator[Tensor]:
        """The batches, with a look between two updates at whether to save or to stop."""
        for batch in batches:
            if self.stop():
                self._save(depth, trainer.step, trainer)
                raise Interrupted(f"layer {depth + 1}, step {trainer.step}: saved; go on with --resume")
            if time.monotonic() - self.last_save > SAVE_SECONDS:
                self._save(depth, trainer.step, trainer)
            yield batch.to(self.device)

    def _watched(self, inputs: LayerInput) -> tuple[Tensor, Tensor] | None:
        """As many training as held-out inputs, for the free-energy gap."""
        if self.held_out is None:
            return None
        unseen = LayerInput(
            self.stack, self.held_out, inputs.settings, inputs.depth, seed=self.recipe.seed, cache_bytes=0
        )
        count = min(len(self.held_out), len(self.images))
        return inputs.sample(count).to(self.device), unseen.sample(count).to(self.device)

    def _save(self, layer: int, step: int, trainer: Trainer | None) -> None:
        if self.folder is None:
            return
        metadata = {
            "recipe": self.recipe.as_dict(),
            "data": self.data,
            "progress": {"layer": layer, "step": step},
        }
        save(self.folder / MODEL_FILE, self.stack, metadata, trainer.state() if trainer else None)
        self.last_save = time.monotonic()

    def _writer(self) -> Any:
        """The metrics file, open for appending."""
        if self.folder is None:
            return nullcontext(None)
        path = self.folder / METRICS_FILE
        if not path.exists():
            path.write_text(",".join(COLUMNS) + "\n")
        return open(path, "a", newline="")


def _machine(settings: Layer, channels: int) -> BoltzmannMachine:
    gaussian = settings.visible == "gaussian"
    if settings.kernel == 0:
        return rbm(channels, settings.filters, gaussian=gaussian)
    return conv_rbm(channels, settings.filters, settings.kernel, pool=settings.pool, gaussian=gaussian)


def _cut_metrics(path: Path, layer: int, step: int) -> None:
    """Drop the rows that were written after the checkpoint: they will be written again."""
    if not path.exists():
        return
    with open(path, newline="") as file:
        rows = [row for row in csv.DictReader(file) if (int(row["layer"]), int(row["step"])) <= (layer, step)]
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)


def hold_out(images: Images, count: int, *, seed: int) -> tuple[Images, Images | None]:
    """Training pictures, and `count` others that are only watched; none where that would be over a tenth."""
    if count < 1 or count > len(images) / 10:
        return images, None
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))
    return images.select(order[count:].sort().values), images.select(order[:count])
