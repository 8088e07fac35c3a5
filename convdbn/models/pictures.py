"""Figures of a model. Each method calls one function of `convdbn.visual`, which loads matplotlib only then.

Imports in the package go down only, but this file calls up.
"""

import importlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from convdbn.errors import UsageError
from convdbn.images import as_images

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Pictures"]

METHODS = ("linear", "top_down", "samples", "maximize")


class Pictures:
    """Figures of a model. `layer` is the number of a layer, 1 being the lowest, or None for all; `images` are
    anything that `as_images` takes. A notebook shows a figure that is the last value of a cell."""

    history: list[dict[str, float]]

    def plot_filters(
        self,
        layer: int | None = None,
        *,
        method: Literal["linear", "top_down", "samples", "maximize"] = "linear",
        units: int | Sequence[int] | None = None,
    ) -> "Figure":
        """A picture of each unit, by a method of `convdbn.visual.projections`: "linear" draws each filter as a sum of
        the filters below, weighted by it."""
        if method not in METHODS:
            raise UsageError(f"method={method!r}: no such method; choose from {', '.join(METHODS)}")
        figure: Figure = getattr(_visual("unit_figures"), method)(self, layer=layer, units=units)
        return figure

    def plot_history(self, layer: int | None = None) -> "Figure":
        """Learning curves; UsageError for a model without a history."""
        figure: Figure = _visual("model_figures").curves(self.history, layer=layer)
        return figure

    def plot_weights(self, layer: int | None = None) -> "Figure":
        """Histograms of the weights."""
        figure: Figure = _visual("model_figures").weights(self, layer=layer)
        return figure

    def plot_maps(
        self, images: Any, layer: int | None = None, *, units: int | Sequence[int] | None = None
    ) -> "Figure":
        """Responses of units at each place of the images; by default of the 8 most active units of the highest layer
        with maps."""
        figure: Figure = _visual("model_figures").maps(self, as_images(images), layer=layer, units=units)
        return figure

    def plot_reconstructions(self, images: Any, layer: int | None = None) -> "Figure":
        """The images and their reconstructions from each layer."""
        figure: Figure = _visual("unit_figures").reconstruction(self, as_images(images), layer=layer)
        return figure


def _visual(name: str) -> Any:
    return importlib.import_module(f"convdbn.visual.{name}")
