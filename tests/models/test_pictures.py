"""A model's pictures of itself are those of `convdbn.visual`, and a notebook shows them."""

import numpy as np
import pytest
import torch
from IPython.core.formatters import DisplayFormatter

from convdbn.errors import UsageError
from convdbn.images import as_images
from convdbn.models.files import create_model
from convdbn.visual import model_figures, unit_figures


@pytest.fixture(scope="module")
def model():
    model = create_model("crbm_mnist")
    model.history = [{"layer": 1.0, "step": step, "reconstruction_error": 1 / step} for step in (1.0, 2.0, 3.0)]
    return model


@pytest.fixture(scope="module")
def images():
    return torch.rand(3, 1, 28, 28, generator=torch.Generator().manual_seed(0))


def pixels(figure):
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba())


def test_each_is_the_figure_of_the_visual_part(model, images):
    pairs = [
        (model.plot_filters(1), unit_figures.linear(model, layer=1)),
        (model.plot_filters(method="top_down", units=[0, 3]), unit_figures.top_down(model, units=[0, 3])),
        (model.plot_history(), model_figures.curves(model.history)),
        (model.plot_weights(), model_figures.weights(model)),
        (model.plot_maps(images, 1, units=[2]), model_figures.maps(model, as_images(images), layer=1, units=[2])),
        (model.plot_reconstructions(images), unit_figures.reconstruction(model, as_images(images))),
    ]
    for figure, expected in pairs:
        assert np.array_equal(pixels(figure), pixels(expected))


def test_a_notebook_shows_them(model):
    data, _ = DisplayFormatter().format(model.plot_filters(1))
    assert data["image/png"][:8] == b"\x89PNG\r\n\x1a\n"


def test_what_cannot_be_drawn_is_refused(model):
    with pytest.raises(UsageError, match="method='deconv': no such method; choose from linear"):
        model.plot_filters(method="deconv")
    with pytest.raises(UsageError):
        create_model("crbm_mnist", pretrained=False).plot_history()
