import math
import subprocess
import sys

import pytest
import torch
from matplotlib.image import imread
from torch.nn import functional as F

from convdbn.energy import Gaussian
from convdbn.images import build_transform
from convdbn.models.machines import conv_rbm, rbm
from convdbn.models.stack import Stack
from convdbn.visual import figures, projections


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def stack_of(*machines, picture, transform=()):
    generator = seeded()
    stack = Stack(build_transform(transform), machines, picture)
    with torch.no_grad():
        for machine in machines:
            machine.links[0].weight.normal_(generator=generator)
    return stack


def weights(stack, depth):
    return stack.machines[depth].links[0].weight.detach()


class TestTiles:
    def test_layout(self):
        """Five pictures 2 x 3 in rows of three, one pixel between them, the empty place and the gaps NaN."""
        pictures = torch.randn(5, 1, 2, 3, generator=seeded())
        sheet = figures.tiles(pictures, columns=3)
        assert sheet.shape == (2 * 3 - 1, 3 * 4 - 1, 1)
        covered = torch.zeros(5, 11, dtype=torch.bool)
        for index, picture in enumerate(pictures):
            top, left = index // 3 * 3, index % 3 * 4
            tile = sheet[top : top + 2, left : left + 3, 0]
            torch.testing.assert_close(tile, picture[0] / picture.abs().max() / 2 + 0.5)
            covered[top : top + 2, left : left + 3] = True
        assert torch.equal(sheet[..., 0].isnan(), ~covered)
        assert int(covered.sum()) == 5 * 6

    def test_scale(self):
        """Zero is gray, the largest magnitude black or white, each picture by its own."""
        pictures = torch.zeros(3, 1, 1, 3)
        pictures[0, 0, 0] = torch.tensor([-2.0, 0.0, 1.0])
        pictures[1, 0, 0] = torch.tensor([0.0, 0.001, 0.0005])
        sheet = figures.tiles(pictures, columns=1, gap=1)[..., 0]
        assert sheet[0].tolist() == [0.0, 0.5, 0.75]
        assert sheet[2].tolist() == pytest.approx([0.5, 1.0, 0.75])
        assert sheet[4].tolist() == [0.5, 0.5, 0.5]  # all zero: gray, not a division by zero

    def test_colors_are_scaled_together(self):
        picture = torch.tensor([4.0, -2.0, 0.0]).view(1, 3, 1, 1)
        assert figures.tiles(picture)[0, 0].tolist() == [1.0, 0.25, 0.5]

    @pytest.mark.parametrize("gap", [0, 1, 4])
    def test_gaps(self, gap):
        sheet = figures.tiles(torch.ones(4, 1, 2, 2), columns=2, gap=gap)
        assert sheet.shape == (4 + gap, 4 + gap, 1)
        assert int(sheet.isnan().sum()) == (4 + gap) ** 2 - 16

    @pytest.mark.parametrize("n", [1, 2, 7, 24, 40])
    def test_without_columns_all_have_their_place(self, n):
        pictures = torch.ones(n, 1, 3, 2)
        sheet = figures.tiles(pictures)
        assert int((sheet == 1).sum()) == n * 6
        height, width, _ = sheet.shape
        assert 0.5 < width / height < 4 or n < 4

    def test_the_pictures_are_left_alone(self):
        pictures = torch.randn(3, 1, 2, 2, generator=seeded())
        before = pictures.clone()
        figures.tiles(pictures)
        assert torch.equal(pictures, before)


class TestFilterGrids:
    def test_one_grid_below_the_other(self):
        layers = [torch.randn(24, 1, 5, 5, generator=seeded()), torch.randn(7, 1, 9, 9, generator=seeded())]
        figure = figures.filter_grids(layers, ["first", "second"])
        assert [axis.get_title(loc="left") for axis in figure.axes] == ["first", "second"]
        for axis, pictures in zip(figure.axes, layers, strict=True):
            (image,) = axis.images
            shown = torch.as_tensor(image.get_array())
            side = pictures.shape[-1]
            first = pictures[0, 0] / pictures[0].abs().max() / 2 + 0.5
            torch.testing.assert_close(shown[:side, :side].to(first.dtype), first)
            assert image.get_clim() == (0, 1)
            assert not axis.axison
            assert shown.isfinite().all()

    def test_gaps_are_white(self):
        figure = figures.filter_grids([-torch.ones(2, 1, 2, 2)], ["t"])
        shown = torch.as_tensor(figure.axes[0].images[0].get_array())
        assert shown.tolist() == [[0, 0, 1, 0, 0], [0, 0, 1, 0, 0]]

    def test_color_filters_are_shown_in_color_and_other_channels_as_their_mean(self):
        figure = figures.filter_grids([torch.randn(4, 3, 5, 5, generator=seeded())], ["t"])
        assert figure.axes[0].images[0].get_array().shape[-1] == 3
        pictures = torch.ones(1, 2, 1, 1)
        pictures[0, 1] = -1
        figure = figures.filter_grids([pictures], ["t"])
        assert torch.as_tensor(figure.axes[0].images[0].get_array()).tolist() == [[0.5]]

    def test_a_title_for_each(self):
        with pytest.raises(ValueError, match="zip"):
            figures.filter_grids([torch.ones(2, 1, 2, 2)], ["one", "too many"])


class TestSave:
    @pytest.mark.parametrize(
        ("name", "magic"),
        [("a.png", b"\x89PNG"), ("a.pdf", b"%PDF"), ("a.svg", b"<?xml"), ("deep/down/a.png", b"\x89PNG")],
    )
    def test_the_file_is_in_the_format_of_its_name(self, tmp_path, name, magic):
        figure = figures.filter_grids([torch.randn(3, 1, 4, 4, generator=seeded())], ["t"])
        path = figures.save(figure, tmp_path / name)
        assert path == tmp_path / name
        assert path.read_bytes().startswith(magic)

    def test_black_and_white_filters_are_black_and_white_on_paper(self, tmp_path):
        pictures = torch.ones(16, 1, 4, 4)
        pictures[::2] *= -1
        path = figures.save(figures.filter_grids([pictures], [""]), str(tmp_path / "a.png"))
        drawn = torch.as_tensor(imread(path))[..., :3].mean(-1)
        dark, light = float((drawn < 0.05).float().mean()), float((drawn > 0.95).float().mean())
        assert dark > 0.1 and light > 0.3 and dark + light > 0.9

    def test_an_unknown_format_is_named(self, tmp_path):
        with pytest.raises(ValueError, match="xyz"):
            figures.save(figures.filter_grids([torch.ones(1, 1, 2, 2)], [""]), tmp_path / "a.xyz")
        assert not (tmp_path / "a.xyz").exists()


def test_no_window_is_opened():
    """No pyplot and no GUI, even where the environment asks for one."""
    code = (
        "import sys, torch\nfrom convdbn.visual import figures, plots\n"
        "plots.curves([{'layer': 1, 'step': 1, 'dead': 0.0}]).canvas.draw()\n"
        "figures.filter_grids([torch.ones(2, 1, 3, 3)], ['t']).canvas.draw()\n"
        "print(*({'matplotlib.pyplot', 'tkinter', 'PyQt6', 'PyQt5'} & set(sys.modules)))"
    )
    environment = {"MPLBACKEND": "TkAgg", "OMP_NUM_THREADS": "1", "PATH": "/usr/bin:/bin"}
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert run.stdout.strip() == ""


def painted(maps, filters, block):
    """By an explicit loop: every weight of a map, negative ones cut, scales the filter below, shared by its block."""
    units, below, height, width = maps.shape
    _, channels, kernel_height, kernel_width = filters.shape
    shape = (units, channels, height * block + kernel_height - 1, width * block + kernel_width - 1)
    pictures = torch.zeros(shape)
    for unit in range(units):
        for below_map in range(below):
            for i in range(height):
                for j in range(width):
                    weight = max(0.0, float(maps[unit, below_map, i, j])) / block**2
                    for y in range(i * block, (i + 1) * block):
                        for x in range(j * block, (j + 1) * block):
                            pictures[unit, :, y : y + kernel_height, x : x + kernel_width] += (
                                weight * filters[below_map]
                            )
    return pictures


class TestLinearCombination:
    def test_layer_1_is_its_filters(self):
        stack = stack_of(conv_rbm(3, 4, 5), picture=(3, 12, 12))
        assert torch.equal(projections.linear_combination(stack, 1), weights(stack, 0))

    @pytest.mark.parametrize(("pool", "kernels", "channels"), [(2, (3, 2), 1), (1, (3, 2), 2), (3, (2, 3), 1)])
    def test_layer_2_against_a_loop(self, pool, kernels, channels):
        lower, upper = conv_rbm(channels, 3, kernels[0], pool=pool), conv_rbm(3, 4, kernels[1])
        stack = stack_of(lower, upper, picture=(channels, 20, 20))
        found = projections.linear_combination(stack, 2)
        side = kernels[1] * pool + kernels[0] - 1
        assert found.shape == (4, channels, side, side)
        torch.testing.assert_close(found, painted(weights(stack, 1), weights(stack, 0), pool), rtol=1e-4, atol=1e-5)

    def test_a_picture_is_as_large_as_what_the_unit_sees(self):
        """Of one unit of the detection layer, before its own pooling."""
        stack = stack_of(conv_rbm(1, 3, 5, pool=2), conv_rbm(3, 4, 3, pool=1), picture=(1, 20, 20))
        assert projections.linear_combination(stack, 2).shape[-1] == stack.feature_info[1].receptive_field

    def test_layer_3_cuts_negative_weights_at_every_step(self):
        machines = conv_rbm(1, 3, 3, pool=2), conv_rbm(3, 4, 2, pool=2), conv_rbm(4, 5, 2, pool=1)
        stack = stack_of(*machines, picture=(1, 40, 40))
        first, second, third = (weights(stack, depth) for depth in range(3))
        expected = painted(painted(third, second, 2), first, 2)
        torch.testing.assert_close(projections.linear_combination(stack, 3), expected, rtol=1e-4, atol=1e-5)

    def test_planted_weights(self):
        """One weight leads to one filter at one place, a negative one nowhere."""
        stack = stack_of(conv_rbm(1, 2, 2, pool=2), conv_rbm(2, 1, 2), picture=(1, 10, 10))
        with torch.no_grad():
            weights(stack, 0)[0, 0] = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
            weights(stack, 0)[1, 0] = 100.0
            weights(stack, 1).zero_()
            weights(stack, 1)[0, 0, 1, 0] = 4.0
            weights(stack, 1)[0, 1, 0, 1] = -1.0
        expected = torch.zeros(5, 5)
        for y, x in ((2, 0), (2, 1), (3, 0), (3, 1)):
            expected[y : y + 2, x : x + 2] += weights(stack, 0)[0, 0]
        torch.testing.assert_close(projections.linear_combination(stack, 2)[0, 0], expected)

    def test_it_points_where_the_unit_is_most_sensitive(self):
        """Up to the cut of negative weights the picture is the adjoint of the two links."""
        stack = stack_of(conv_rbm(1, 3, 3, pool=2), conv_rbm(3, 4, 2), picture=(1, 20, 20))
        with torch.no_grad():
            weights(stack, 1).abs_()
        picture = projections.linear_combination(stack, 2)
        x = torch.randn(5, 1, 6, 6, generator=seeded(3))
        through = F.conv2d(F.avg_pool2d(F.conv2d(x, weights(stack, 0)), 2), weights(stack, 1)).flatten(1)
        torch.testing.assert_close(F.conv2d(x, picture).flatten(1), through, rtol=1e-4, atol=1e-4)

    def test_what_is_done_to_a_picture_is_not_done_to_the_weights(self):
        stack = stack_of(conv_rbm(1, 3, 3), conv_rbm(3, 4, 2), picture=(1, 20, 20))
        before = [weights(stack, depth).clone() for depth in (0, 1)]
        for layer in (1, 2):
            projections.linear_combination(stack, layer).zero_()
        assert all(torch.equal(weights(stack, depth), before[depth]) for depth in (0, 1))

    def test_dense_layers_fill_the_picture(self):
        stack = stack_of(rbm(3 * 4 * 5, 6), rbm(6, 2), picture=(3, 4, 5))
        first = projections.linear_combination(stack, 1)
        assert torch.equal(first, weights(stack, 0).view(6, 3, 4, 5))
        second = projections.linear_combination(stack, 2)
        expected = torch.einsum("un,nchw->uchw", weights(stack, 1).clamp(min=0), first)
        torch.testing.assert_close(second, expected)

    def test_a_dense_layer_above_a_convolutional_one(self):
        """Its vector is the pooled maps, 3 of 2 x 4."""
        stack = stack_of(conv_rbm(1, 3, 3, pool=2), rbm(3 * 2 * 4, 5), picture=(1, 6, 10))
        found = projections.linear_combination(stack, 2)
        expected = painted(weights(stack, 1).view(5, 3, 2, 4), weights(stack, 0), 2)
        assert found.shape == (5, 1, 6, 10)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)

    @pytest.mark.parametrize("layer", [0, 3, -1])
    def test_layers_that_are_not_there(self, layer):
        stack = stack_of(conv_rbm(1, 3, 3), conv_rbm(3, 4, 2), picture=(1, 20, 20))
        with pytest.raises(ValueError, match=f"layer={layer}: the model has layers 1 to 2"):
            projections.linear_combination(stack, layer)


def test_whole_path_from_stack_to_file(tmp_path):
    stack = stack_of(conv_rbm(Gaussian(1), 6, 5), conv_rbm(6, 5, 3), picture=(1, 20, 20))
    pictures = [projections.linear_combination(stack, layer) for layer in (1, 2)]
    assert all(math.isfinite(float(x.sum())) and not x.requires_grad for x in pictures)
    path = figures.save(figures.filter_grids(pictures, ["1", "2"]), tmp_path / "a.png")
    assert torch.as_tensor(imread(path)).std() > 0.1
