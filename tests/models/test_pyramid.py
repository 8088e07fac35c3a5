import pytest
import torch

from convdbn.models.pyramid import SpatialPyramid, cells


def test_a_cell_is_the_plain_mean_of_its_window():
    """13 positions in 5 cells: windows of 5 that begin at 0, 2, 4, 6 and 8."""
    maps = torch.rand(3, 2, 13, 13, generator=torch.Generator().manual_seed(0))
    rows = SpatialPyramid((1,), (5,), power=1)([maps]).view(3, 2, 5, 5)
    for i in range(5):
        for j in range(5):
            window = maps[:, :, 2 * i : 2 * i + 5, 2 * j : 2 * j + 5]
            torch.testing.assert_close(rows[:, :, i, j], window.mean((2, 3)))


@pytest.mark.parametrize("length", [1, 2, 3, 7, 13, 40])
@pytest.mark.parametrize("count", [1, 2, 3, 5, 9])
def test_cells_average_and_leave_no_position_out(length, count):
    weights = cells(length, count)
    assert weights.shape == (count, length)
    torch.testing.assert_close(weights.sum(1), torch.ones(count))
    assert (weights.sum(0) > 0).all()
    # Symmetric: a mirrored picture has mirrored cells, but for starts that no whole number divides evenly.
    assert (weights.flip(0, 1) - weights).abs().sum(1).max() <= 2 / min(length, weights.count_nonzero(1).max()) + 1e-6


def test_pyramids_layers_and_vectors_follow_each_other():
    maps = [torch.rand(2, 3, 8, 6), torch.rand(2, 5, 4, 3), torch.rand(2, 7)]
    rows = SpatialPyramid((2, 1, 3), (1, 2), power=0.5)(maps)
    assert rows.shape == (2, 5 + 20 + 3 + 12 + 7)
    torch.testing.assert_close(rows[:, :5], maps[1].mean((2, 3)).sqrt())
    torch.testing.assert_close(rows[:, -7:], maps[2].sqrt())


def test_windows_of_strong_contrast_say_the_same_at_any_strength_and_faint_ones_less():
    maps = torch.rand(2, 3, 9, 9, generator=torch.Generator().manual_seed(0)) + 0.5
    strong, stronger, faint = (SpatialPyramid((1,), (1,), 1, window=3)([maps * scale]) for scale in (10, 20, 1e-3))
    torch.testing.assert_close(strong, stronger, rtol=1e-3, atol=0)
    assert (faint < 0.1 * strong).all()
    # Windows of 3 begin at every position, 7 a side; each is brought to unit length over the three maps.
    windows = torch.stack([maps[:, :, i : i + 3, j : j + 3].mean((2, 3)) for i in range(7) for j in range(7)])
    unit = windows / (windows.square().sum(2, keepdim=True) + 0.01).sqrt()
    torch.testing.assert_close(SpatialPyramid((1,), (1,), 1, window=3)([maps]), unit.mean(0))


@pytest.mark.parametrize(
    "bad", [{"layers": ()}, {"layers": (0,)}, {"grid": (0,)}, {"grid": ()}, {"power": 0}, {"window": 0}]
)
def test_bad_values_are_named(bad):
    (name,) = bad
    with pytest.raises(ValueError, match=f"{name}="):
        SpatialPyramid(**bad)


def test_a_layer_that_is_not_there():
    with pytest.raises(ValueError, match=r"layers=\(3,\): the model has layers 1 to 1"):
        SpatialPyramid((3,))([torch.rand(1, 1, 2, 2)])
