"""Rows of pictures, maps over them, curves, histograms and tables show what they are given."""

import csv

import pytest
import torch
from matplotlib.colors import to_hex
from matplotlib.image import imread

from convdbn.storage.metrics import COLUMNS, read
from convdbn.visual import figures, plots


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def shown(axis, index=0):
    return torch.as_tensor(axis.images[index].get_array())


def inside(figure):
    """Whether everything that is drawn is on the paper."""
    figure.canvas.draw()
    paper, drawn = figure.bbox, figure.get_tightbbox(figure.canvas.get_renderer()).transformed(figure.dpi_scale_trans)
    return min(drawn.x0, drawn.y0) >= -1 and drawn.x1 <= paper.x1 + 1 and drawn.y1 <= paper.y1 + 1


class TestBlocks:
    def test_nine_are_three_rows_of_three(self):
        pictures = torch.rand(2, 9, 3, 4, 5, generator=seeded())
        found = figures.blocks(pictures)
        assert found.shape == (2, 3, 3 * 5 - 1, 3 * 6 - 1)
        for index in range(9):
            top, left = index // 3 * 5, index % 3 * 6
            assert torch.equal(found[:, :, top : top + 4, left : left + 5], pictures[:, index])
        assert (found[:, :, 4] == 1).all() and (found[:, :, :, 5] == 1).all()

    def test_what_is_not_full_is_white(self):
        found = figures.blocks(torch.zeros(1, 3, 1, 2, 2))
        assert found.shape == (1, 1, 5, 5)
        assert (found[0, 0, 3:, 3:] == 1).all() and not found[0, 0, 3:, :2].any()


class TestPanels:
    def test_layers_stand_side_by_side(self):
        layers = [torch.randn(9, 1, 5, 5, generator=seeded()), torch.randn(20, 1, 9, 9, generator=seeded())]
        figure = figures.panels([*layers, layers[0]], ["1", "2", "3"], "above all")
        figure.canvas.draw()
        assert [axis.get_title(loc="left") for axis in figure.axes] == ["1", "2", "3"]
        boxes = [axis.get_position() for axis in figure.axes]
        assert boxes[0].x1 < boxes[1].x0 < boxes[1].x1 < boxes[2].x0
        assert boxes[0].y1 == pytest.approx(boxes[1].y1, abs=0.02)
        assert shown(figure.axes[0]).shape == (3 * 6 - 1, 3 * 6 - 1)
        assert inside(figure)

    def test_long_titles_do_not_run_into_one_another(self):
        """The method stands above all, so that those of the panels stay short."""
        figure = figures.panels([torch.randn(4, 1, 5, 5, generator=seeded())] * 3, ["layer 1: 256 units"] * 3)
        figure.canvas.draw()
        boxes = [axis._left_title.get_window_extent() for axis in figure.axes]
        assert boxes[0].x1 < boxes[1].x0 and boxes[1].x1 < boxes[2].x0

    def test_pixels_are_shown_as_they_are_where_they_are_not_signed(self):
        for draw in (figures.panels, figures.filter_grids):
            (axis,) = draw([torch.full((1, 1, 2, 2), 0.2)], ["t"], signed=False).axes
            torch.testing.assert_close(shown(axis), torch.full((2, 2), 0.2), check_dtype=False)
            (axis,) = draw([torch.full((1, 1, 2, 2), 0.2)], ["t"]).axes
            assert (shown(axis) == 1).all()


class TestLabeledRows:
    def test_each_row_is_its_pictures_with_its_name(self):
        rows = [torch.rand(3, 1, 4, 5, generator=seeded(seed)) for seed in range(3)]
        figure = figures.labeled_rows(rows, ["picture", "seen", "completed"], "halves")
        assert [axis.get_ylabel() for axis in figure.axes] == ["picture", "seen", "completed"]
        for axis, row in zip(figure.axes, rows, strict=True):
            assert axis.images[0].get_clim() == (0, 255)
            for index, picture in enumerate(row):
                part = shown(axis)[:, 6 * index : 6 * index + 5]
                assert torch.equal(part, (255 * picture[0]).round().byte())
        assert figure.texts[0].get_text() == "halves"
        assert inside(figure)

    def test_signed_rows_are_gray_at_zero_each_by_its_own(self):
        rows = [torch.tensor([-1.0, 0.0, 0.5]).view(3, 1, 1, 1), torch.tensor([-4.0, 0.0, 2.0]).view(3, 1, 1, 1)]
        figure = figures.labeled_rows(rows, ["a", "b"])
        for axis in figure.axes:
            assert shown(axis)[0, ::2].tolist() == [0, 128, 191]

    @pytest.mark.parametrize(("count", "height", "width"), [(1, 4, 4), (2, 30, 10), (16, 28, 28), (3, 10, 40)])
    def test_nothing_is_cut_off_or_lies_on_another(self, count, height, width):
        rows = [torch.rand(count, 1, height, width, generator=seeded())] * 3
        figure = figures.labeled_rows(rows, ["layer 2, unit 127"] * 3, "a title")
        assert inside(figure)
        boxes = [axis.get_window_extent() for axis in figure.axes]
        assert boxes[0].y0 > boxes[1].y1 and boxes[1].y0 > boxes[2].y1
        drawn = boxes[0].width / boxes[0].height
        assert drawn == pytest.approx((count * (width + 1) - 1) / height, rel=0.05)  # pixels stay nearly square

    def test_a_large_picture_has_its_pixels(self):
        figure = figures.labeled_rows([torch.rand(1, 1, 300, 600, generator=seeded())], ["a"])
        assert figure.axes[0].get_position().width * figure.get_figwidth() == pytest.approx(600 / figures.DPI)

    def test_color_pictures(self):
        figure = figures.labeled_rows([torch.rand(2, 3, 4, 4, generator=seeded())], ["a"])
        assert shown(figure.axes[0]).shape == (4, 9, 3)

    def test_a_name_for_each(self):
        with pytest.raises(ValueError, match="zip"):
            figures.labeled_rows([torch.rand(1, 1, 2, 2)], ["one", "too many"])


class TestOverlays:
    def test_maps_lie_over_gray_pictures(self):
        pictures = torch.rand(2, 3, 4, 4, generator=seeded())
        maps = torch.rand(2, 3, 4, 4, generator=seeded(1))
        figure = figures.overlays(pictures, maps, ["unit 7", "unit 9", "unit 4"])
        rows = figure.axes[:4]
        assert [axis.get_ylabel() for axis in rows] == ["picture", "unit 7", "unit 9", "unit 4"]
        gray = (255 * pictures.mean(1)).round().byte()
        for axis in rows:
            assert torch.equal(shown(axis)[:, :4], gray[0]) and torch.equal(shown(axis)[:, 5:], gray[1])
        assert len(rows[0].images) == 1
        for unit, axis in enumerate(rows[1:]):
            torch.testing.assert_close(shown(axis, 1)[:, 5:], maps[1, unit], check_dtype=False)
            assert axis.images[1].get_clim() == (0, pytest.approx(float(maps.max())))
            assert axis.images[1].get_cmap().name == "viridis"
        assert inside(figure)

    def test_the_picture_shows_through_where_a_map_is_low(self):
        maps = torch.tensor([[0.0, 0.1], [0.01, 0.2]]).view(1, 1, 2, 2)
        figure = figures.overlays(torch.rand(1, 1, 2, 2), maps, ["u"])
        alpha = torch.as_tensor(figure.axes[1].images[1].get_alpha())
        torch.testing.assert_close(alpha, torch.tensor([[0.0, 0.5], [0.05, 0.85]]), check_dtype=False)


def metrics(layers=2, steps=(1, 21, 41)):
    return [
        {"layer": layer, "step": step, "reconstruction_error": layer / step, "dead": 0.0}
        | ({"sigma": 0.3} if layer == 1 else {})
        for layer in range(1, layers + 1)
        for step in steps
    ]


class TestCurves:
    def test_a_panel_for_each_quantity_and_a_line_for_each_layer(self):
        figure = plots.curves(metrics())
        assert [axis.get_title(loc="left") for axis in figure.axes] == ["reconstruction error", "dead", "sigma"]
        first = figure.axes[0]
        for layer, line in enumerate(first.lines, start=1):
            assert list(line.get_xdata()) == [1, 21, 41]
            assert line.get_ydata() == pytest.approx([layer, layer / 21, layer / 41])
        assert [text.get_text() for text in first.get_legend().get_texts()] == ["layer 1", "layer 2"]
        assert [len(line.get_xdata()) for line in figure.axes[2].lines] == [3, 0]
        assert inside(figure)

    def test_layers_are_told_apart_with_any_kind_of_sight(self):
        """By color (Okabe and Ito) and by the stroke of the line."""
        lines = plots.curves(metrics(layers=4)).axes[0].lines
        assert [to_hex(line.get_color()).upper() for line in lines] == list(plots.COLORS[:4])
        assert len({line.get_linestyle() for line in lines}) == 4

    def test_rows_of_a_file(self, tmp_path):
        with open(tmp_path / "metrics.csv", "w", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            writer.writerows(metrics())
        assert read(tmp_path / "metrics.csv") == metrics()


class TestHistograms:
    def test_every_value_is_counted(self):
        layers = [torch.randn(5, 1, 3, 3, generator=seeded()), torch.randn(7, 5, generator=seeded(1))]
        figure = plots.histograms(layers, ["one", "two"], "weight")
        for axis, values in zip(figure.axes, layers, strict=True):
            assert sum(patch.get_height() for patch in axis.patches) == values.numel()
            edges = [patch.get_x() for patch in axis.patches]
            assert min(edges) == pytest.approx(float(values.min()), rel=1e-4)
            assert axis.get_yscale() == "log" and axis.get_xlabel() == "weight"
        assert inside(figure)

    def test_values_that_are_all_the_same(self):
        figure = plots.histograms([torch.zeros(4)], ["one"], "update")
        assert sum(patch.get_height() for patch in figure.axes[0].patches) == 4


class TestActivity:
    def test_a_row_for_each_case_and_a_column_for_each_unit(self):
        values = torch.rand(6, 9, generator=seeded())
        figure = plots.activity([values, 3 * values], ["one", "two"])
        first, second = (axis for axis in figure.axes if axis.get_xlabel() == "unit")
        assert torch.equal(shown(first).float(), values)
        assert first.images[0].get_clim() == (0, 1)
        assert second.images[0].get_clim() == (0, pytest.approx(float(3 * values.max())))
        assert first.get_ylabel() == "case"
        assert inside(figure)


class TestConfusion:
    def test_counts_and_errors(self):
        counts = torch.tensor([[8, 2, 0], [0, 5, 0], [3, 0, 1]])
        figure = plots.confusion(counts, ["cat", "dog", "elephant"], "title")
        table, bars = figure.axes
        torch.testing.assert_close(shown(table).float(), torch.tensor([[0.8, 0.2, 0], [0, 1, 0], [0.75, 0, 0.25]]))
        written = {(round(text.get_position()[1]), round(text.get_position()[0])): text for text in table.texts}
        assert {place: text.get_text() for place, text in written.items()} == {
            (0, 0): "8", (0, 1): "2", (1, 1): "5", (2, 0): "3", (2, 2): "1",
        }  # fmt: skip
        assert written[0, 0].get_color() == "white" and written[0, 1].get_color() == "black"
        assert [patch.get_width() for patch in bars.patches] == pytest.approx([20, 0, 75])
        assert [label.get_text() for label in table.get_yticklabels()] == ["cat", "dog", "elephant"]
        assert inside(figure)

    def test_a_class_without_pictures_has_no_error_of_its_own(self):
        bars = plots.confusion(torch.tensor([[2, 0], [0, 0]]), ["a", "b"]).axes[1]
        assert bars.patches[0].get_width() == 0

    def test_many_classes_have_no_numbers(self):
        figure = plots.confusion(torch.eye(101).long(), [f"class {i}" for i in range(101)])
        assert not figure.axes[0].texts
        assert len(figure.axes[0].get_yticklabels()) == 101
        assert inside(figure)


def test_what_is_drawn_is_on_the_paper(tmp_path):
    """White letters on dark cells, dark on light ones: the written file holds both."""
    path = figures.save(plots.confusion(torch.tensor([[9, 1], [2, 8]]), ["a", "b"], "t"), tmp_path / "c.png")
    drawn = torch.as_tensor(imread(path))[..., :3]
    assert float((drawn.amax(-1) < 0.1).float().mean()) > 0.001
    blue = (drawn[..., 2] > 0.3) & (drawn[..., 0] < 0.1)
    assert float(blue.float().mean()) > 0.1
