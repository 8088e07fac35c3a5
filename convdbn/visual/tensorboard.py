"""Curves and pictures for TensorBoard, written during training if tensorboard is installed."""

from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from convdbn.errors import UsageError
from convdbn.models.stack import Stack
from convdbn.recipes import Recipe
from convdbn.storage.metrics import Metrics
from convdbn.visual import figures, projections

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

PICTURES = 10
"""Number of pictures of the filters in a layer's training, after the picture at the start."""


class TensorBoard:
    """A callback that writes each row of metrics of a run as scalars, and now and then the layer's filters.

    Every layer is a TensorBoard run of its own, `folder/layer-1` and so on, so that a chart compares them. A resumed
    run makes TensorBoard drop the rows that the interrupted run had written after their common step.
    """

    def __init__(self, folder: Path, recipe: Recipe) -> None:
        try:
            import torch.utils.tensorboard  # noqa: F401 - so that a missing package is noticed before any work
        except ImportError as error:
            raise UsageError(
                "tensorboard=True: tensorboard is not installed; pip install tensorboard, or leave it out"
            ) from error
        self.folder, self.recipe = folder, recipe
        self.writers: dict[int, SummaryWriter] = {}

    def __enter__(self) -> "TensorBoard":
        return self

    def __call__(self, stack: Stack, layer: int, metrics: Metrics) -> None:
        """Write a row of the layer in training, the highest of `stack` (or all layers, if trained together)."""
        step = int(metrics["step"])
        writer = self._writer(layer, step)
        for name, value in metrics.items():
            if name != "step":
                writer.add_scalar(name, value, step)
        every = self.recipe.layers[layer - 1].updates / PICTURES
        if step // every > (step - self.recipe.log_every) // every:  # the first row of every tenth, and the last
            for number in range(layer, len(stack.layers) + 1):
                filters = figures.for_display(figures.tiles(projections.linear_combination(stack, number).cpu()))
                writer.add_image(f"filters of layer {number}", filters, step, dataformats="HWC"[: filters.ndim])

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for writer in self.writers.values():
            writer.close()

    def _writer(self, layer: int, step: int) -> "SummaryWriter":
        """The layer's writer; a new one drops earlier data from this step on."""
        from torch.utils.tensorboard import SummaryWriter

        if layer not in self.writers:
            self.writers[layer] = SummaryWriter(self.folder / f"layer-{layer}", purge_step=step, flush_secs=10)
        return self.writers[layer]
