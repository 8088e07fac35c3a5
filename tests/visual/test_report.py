"""The page as text: pictures come back out of it as they went in, and nothing in it is markup by accident."""

import base64
import io
import itertools
import math

import numpy as np
import pytest
import torch
from PIL import Image

from convdbn.visual import report


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def opened(sprite):
    """The sprite's pixels, `(H, W)` or `(H, W, 3)`."""
    picture = Image.open(io.BytesIO(base64.b64decode(sprite.uri.split(",")[1])))
    assert picture.size == sprite.size
    return np.asarray(picture)


def cell(sprite, index):
    """One of its pictures, where the page looks for it."""
    down, right = index // sprite.columns * sprite.pitch[1], index % sprite.columns * sprite.pitch[0]
    return opened(sprite)[down : down + sprite.height, right : right + sprite.width]


class TestSprites:
    @pytest.mark.parametrize("channels", [1, 3])
    def test_projections_are_exact_each_by_its_own_largest_magnitude(self, channels):
        pictures = torch.randn(7, channels, 4, 5, generator=seeded()) * torch.logspace(-3, 3, 7)[:, None, None, None]
        sprite = report.projected(pictures)
        for index, picture in enumerate(pictures):
            wanted = 255 * (picture / picture.abs().max() / 2 + 0.5)
            wanted = wanted.permute(1, 2, 0) if channels == 3 else wanted[0]
            assert np.abs(cell(sprite, index) - wanted.numpy()).max() <= 0.51

    @pytest.mark.parametrize("channels", [1, 3])
    @pytest.mark.parametrize("size", [(9, 9), (8, 16)])
    def test_patches_keep_their_pixels_and_touch_no_other(self, channels, size):
        """Black beside white: JPEG would mix them if they shared its blocks."""
        pictures = torch.arange(5).remainder(2).view(5, 1, 1, 1).expand(5, channels, *size).float()
        pictures = torch.cat([pictures, torch.linspace(0, 1, size[1]).expand(1, channels, *size)])
        sprite = report.patched(pictures)
        assert sprite.uri.startswith("data:image/jpeg;base64,")
        for index, picture in enumerate(pictures):
            wanted = 255 * (picture.permute(1, 2, 0) if channels == 3 else picture[0])
            assert np.abs(cell(sprite, index) - wanted.numpy()).max() <= 6

    def test_other_channels_are_shown_as_their_mean(self):
        pictures = torch.tensor([1.0, -1.0]).view(1, 2, 1, 1)
        assert opened(report.projected(pictures)).tolist() == [[128]]

    @pytest.mark.parametrize(("side", "zoom"), [(9, 6), (18, 3), (28, 2), (112, 0.5)])
    def test_pixels_stay_squares_where_they_are_large(self, side, zoom):
        assert report.zoom(report.projected(torch.ones(1, 1, side, side - 1))) == zoom


class TestCharts:
    ROWS = (
        {"layer": 1.0, "step": 0.0, "error": 2.0, "sigma": 0.5},
        {"layer": 1.0, "step": 10.0, "error": 1.0, "sigma": math.nan},
        {"layer": 2.0, "step": 5.0, "error": 1.5},
    )

    def test_points_lie_in_the_plane(self):
        width, height = report.CHART
        error, sigma = report._charts(self.ROWS)
        assert (error["name"], error["low"], error["high"], error["last"]) == ("error", 1, 2, 10)
        lines = {line["layer"]: line["points"] for line in error["lines"]}
        assert lines == {1: f"0,0 {width},{height}", 2: f"{width / 2:g},{height / 2:g}"}
        assert [line["points"] for line in sigma["lines"]] == ["0,0"]  # what is not finite is no point
        assert error["text"] == "1 to 2 in 10 updates"

    def test_numbers_of_lines_that_end_together_stand_apart(self):
        rows = [{"layer": layer, "step": 1, "x": value} for layer, value in [(1, 0.0), (2, 0.01), (3, 1.0)]]
        ends = [line["label"][1] for line in report._charts(rows)[0]["lines"]]
        assert min(b - a for a, b in itertools.pairwise(ends)) >= report.LABEL

    def test_a_run_without_metrics_has_none(self):
        assert report._charts([]) == []


def test_numbers_are_short_and_json_has_them_all():
    assert report._short([0.123456, math.nan, [-math.inf, 12345.6]]) == [0.1235, None, [None, 12350.0]]
