"""Drawing only: what is drawn was computed elsewhere. No window is ever opened."""

import math
from collections.abc import Sequence
from pathlib import Path

import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import Tensor

TILE = 0.6
"""Inches a filter takes on paper."""


def tiles(pictures: Tensor, *, columns: int | None = None, gap: int = 1) -> Tensor:
    """Pictures `(n, c, h, w)` side by side in one `(H, W, c)` with values in [0, 1], NaN in the gaps.

    Each is scaled by its own largest magnitude, grey meaning 0, so weak filters show as clearly as strong ones.
    """
    n, channels, height, width = pictures.shape
    columns = columns or math.ceil(math.sqrt(n * height / width * 1.5))
    rows = math.ceil(n / columns)
    sheet = torch.full((channels, rows * (height + gap) - gap, columns * (width + gap) - gap), math.nan)
    scale = pictures.abs().amax((1, 2, 3), keepdim=True).clamp(min=1e-12)
    for index, picture in enumerate(pictures / scale / 2 + 0.5):
        top, left = index // columns * (height + gap), index % columns * (width + gap)
        sheet[:, top : top + height, left : left + width] = picture
    return sheet.permute(1, 2, 0)


def filter_grids(layers: Sequence[Tensor], titles: Sequence[str]) -> Figure:
    """One grid of filters for each layer, below one another; `layers` hold `(n, c, h, w)` pictures each."""
    sheets = [tiles(pictures, columns=min(len(pictures), 16)) for pictures in layers]
    width = 16 * TILE
    heights = [max(1.0, width * sheet.shape[0] / sheet.shape[1]) for sheet in sheets]
    figure = Figure(figsize=(width, sum(heights) + 0.4 * len(sheets)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(sheets), 1, squeeze=False, height_ratios=heights)[:, 0]
    for axis, sheet, title in zip(axes, sheets, titles, strict=True):
        axis.imshow(_shown(sheet).numpy(), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        axis.set_title(title, loc="left", fontsize=10)
        axis.set_axis_off()
    return figure


def sheet(pictures: Tensor, *, columns: int | None = None) -> Tensor:
    """Pictures `(n, c, h, w)` side by side in one `(H, W)` or `(H, W, 3)` of bytes.

    Values in [0, 1] are shown as they are, others scaled by the largest magnitude of all, grey meaning 0.
    """
    low, high = (float(extreme) for extreme in pictures.aminmax())
    if low < 0 or high > 1:
        pictures = pictures / max(-low, high) / 2 + 0.5
    n, channels, height, width = pictures.shape
    columns = columns or math.ceil(math.sqrt(n))
    out = torch.ones(channels, math.ceil(n / columns) * (height + 1) - 1, columns * (width + 1) - 1)
    for index, picture in enumerate(pictures):
        top, left = index // columns * (height + 1), index % columns * (width + 1)
        out[:, top : top + height, left : left + width] = picture
    return (255 * _shown(out.permute(1, 2, 0))).round().byte()


def save_frames(frames: Sequence[Tensor], path: str | Path, *, scale: int = 2, milliseconds: int = 80) -> Path:
    """Write pictures of bytes, each pixel `scale` wide: a .gif shows all in turn, any other format the last alone."""
    from PIL import Image

    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    drawn = [
        Image.fromarray(frame.numpy()).resize((frame.shape[1] * scale, frame.shape[0] * scale), 0) for frame in frames
    ]
    if path.suffix.lower() == ".gif":
        drawn[0].save(path, save_all=True, append_images=drawn[1:], duration=milliseconds, loop=0)
    else:
        drawn[-1].save(path)
    return path


def save(figure: Figure, path: str | Path) -> Path:
    """Write the figure in the format of the file's name; its folder is made where needed."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)
    return path


def _shown(sheet: Tensor) -> Tensor:
    """White gaps; one channel without its dimension, and anything but 1 or 3 channels as their mean."""
    sheet = sheet.nan_to_num(nan=1.0)
    return sheet if sheet.shape[-1] == 3 else sheet.mean(-1)
