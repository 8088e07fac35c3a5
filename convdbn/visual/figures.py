"""Drawing of pictures, from tensors computed elsewhere. Never opens a window."""

import io
import math
from collections.abc import Sequence
from pathlib import Path

import torch
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import Tensor

TILE = 0.6
"""Width of a filter in inches."""
WIDTH = 16 * TILE
"""Width in inches of a figure that fills a page."""
DPI = 150
"""Pixels per inch of a saved picture."""
MARGIN, GUTTER = 1.35, 0.06
"""Inches for the labels beside rows of pictures, and between rows."""
NAME = 0.2
"""Inches for the labels above columns of pictures."""
LAID_OVER = "viridis"
"""Color map for maps over a gray picture; suitable for color-blind readers and for print."""


def tiles(pictures: Tensor, *, columns: int | None = None, gap: int = 1, signed: bool = True) -> Tensor:
    """Pictures `(n, c, h, w)` side by side in one `(H, W, c)` with values in [0, 1], NaN in the gaps.

    Each is scaled by its own largest magnitude, so that 0 is gray and weak filters are as clear as strong ones. If
    not `signed`, pixels are in [0, 1] and stay as they are.
    """
    n, channels, height, width = pictures.shape
    columns = columns or math.ceil(math.sqrt(n * height / width * 1.5))
    rows = math.ceil(n / columns)
    sheet = torch.full((channels, rows * (height + gap) - gap, columns * (width + gap) - gap), math.nan)
    if signed:
        pictures = pictures / pictures.abs().amax((1, 2, 3), keepdim=True).clamp(min=1e-12) / 2 + 0.5
    for index, picture in enumerate(pictures):
        top, left = index // columns * (height + gap), index % columns * (width + gap)
        sheet[:, top : top + height, left : left + width] = picture
    return sheet.permute(1, 2, 0)


def blocks(pictures: Tensor) -> Tensor:
    """The pictures of each unit, `(U, n, c, h, w)`, as one square block `(U, c, H, W)`, row by row with white lines
    between them: nine pictures are three rows of three."""
    columns = math.ceil(math.sqrt(pictures.shape[1]))
    sheets = [tiles(x, columns=columns, signed=False).nan_to_num(nan=1.0) for x in pictures]
    return torch.stack(sheets).permute(0, 3, 1, 2)


def filter_grids(
    layers: Sequence[Tensor],
    titles: Sequence[str],
    title: str = "",
    *,
    numbers: Sequence[Sequence[int]] = (),
    columns: int = 16,
    gap: int = 1,
    signed: bool = True,
) -> Figure:
    """One grid of filters for each layer, one below the other; each of `layers` has pictures `(n, c, h, w)`, drawn by
    `tiles`. `title` is above all grids. `numbers` are those of the units of each layer: that of the first unit in a
    row is at the left of the row. Without `numbers` there is nothing."""
    sheets = [tiles(x, columns=min(len(x), columns), gap=gap, signed=signed) for x in layers]
    widest = min(max(map(len, layers)), columns)
    width = min(WIDTH, max(6.0, WIDTH / 8 * widest))
    heights = [max(0.7, width * sheet.shape[0] / sheet.shape[1]) for sheet in sheets]
    figure = blank(width, sum(heights) + 0.4 * len(sheets), title)
    axes = figure.subplots(len(sheets), 1, squeeze=False, height_ratios=heights)[:, 0]
    for axis, sheet, name, units in zip(axes, sheets, titles, numbers or [()] * len(sheets), strict=True):
        _draw(axis, sheet, name, units[::columns])
    return figure


def panels(
    layers: Sequence[Tensor],
    titles: Sequence[str],
    title: str = "",
    *,
    numbers: Sequence[Sequence[int]] = (),
    gap: int = 1,
    signed: bool = True,
) -> Figure:
    """The grids of `filter_grids` side by side, one panel for each layer, each about as high as wide."""
    columns = [math.ceil(math.sqrt(len(x) * x.shape[2] / x.shape[3])) for x in layers]
    sheets = [tiles(x, columns=n, gap=gap, signed=signed) for x, n in zip(layers, columns, strict=True)]
    side = max(WIDTH / len(sheets), 4.0)
    highest = max(sheet.shape[0] / sheet.shape[1] for sheet in sheets)
    figure = blank(side * len(sheets), side * highest + 0.3, title)
    axes = figure.subplots(1, len(sheets), squeeze=False)[0]
    for axis, sheet, name, units, n in zip(axes, sheets, titles, numbers or [()] * len(sheets), columns, strict=True):
        _draw(axis, sheet, name, units[::n])
        axis.set_anchor("N")
    return figure


def labeled_rows(
    rows: Sequence[Tensor], labels: Sequence[str], title: str = "", columns: Sequence[str] = ()
) -> Figure:
    """Rows of pictures `(n, c, h, w)`, equally many in each, with a label at the left of each row and, in `columns`,
    labels above each column.

    A row with all values in [0, 1] is drawn as it is; other rows are scaled by their largest magnitude, so that 0 is
    gray.
    """
    figure, axes = _rows(rows, labels, title, room=NAME if columns else 0)
    for axis, row in zip(axes, rows, strict=True):
        axis.imshow(sheet(row, columns=len(row)).numpy(), cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    width = rows[0].shape[3]
    axes[0].set_xticks([index * (width + 1) + (width - 1) / 2 for index in range(len(columns))], columns, fontsize=9)
    axes[0].tick_params(top=False, labeltop=True, bottom=False, labelbottom=False)
    return figure


def overlays(pictures: Tensor, maps: Tensor, labels: Sequence[str], title: str = "") -> Figure:
    """Maps `(B, U, H, W)` of values from 0 to 1 over the pictures `(B, c, H, W)`: a row of the pictures alone, then a
    row for each unit; `labels` name the units.

    The picture is visible where a map is low; the color scale ends at the highest value of all maps.
    """
    (count, units), top = maps.shape[:2], float(maps.max().clamp(min=1e-3))
    gray = pictures.mean(1, keepdim=True)
    figure = labeled_rows([gray] * (1 + units), ["picture", *labels], title)
    for axis, row in zip(figure.axes[1:], maps.transpose(0, 1), strict=True):
        values = tiles(row[:, None], columns=count, signed=False)[..., 0].nan_to_num(nan=0.0)
        alpha = (values / top).clamp(max=0.85)
        image = axis.imshow(values.numpy(), cmap=LAID_OVER, vmin=0, vmax=top, alpha=alpha.numpy())
    place = figure.axes[1].get_position()
    bar = figure.add_axes((place.x1 + 0.01, place.y0, 0.012, place.height))
    figure.colorbar(image, cax=bar, ticks=[0, top / 2, top], format="%.2g")
    bar.set_title("probability", fontsize=8, loc="left")
    bar.tick_params(labelsize=8)
    return figure


def for_display(sheet: Tensor) -> Tensor:
    """A sheet `(H, W, c)` with NaN in the gaps as it is drawn: with white gaps, three channels `(H, W, 3)` as they
    are, and any other number of channels as their mean `(H, W)`."""
    sheet = sheet.nan_to_num(nan=1.0)
    return sheet if sheet.shape[-1] == 3 else sheet.mean(-1)


def sheet(pictures: Tensor, *, columns: int | None = None) -> Tensor:
    """Pictures `(n, c, h, w)` side by side in one `(H, W)` or `(H, W, 3)` of bytes.

    Values in [0, 1] stay as they are; others are scaled by the largest magnitude of all, so that 0 is gray.
    """
    low, high = (float(extreme) for extreme in pictures.aminmax())
    if low < 0 or high > 1:
        pictures = pictures / max(-low, high) / 2 + 0.5
    columns = columns or math.ceil(math.sqrt(len(pictures)))
    return (255 * for_display(tiles(pictures, columns=columns, signed=False))).round().byte()


def save_frames(frames: Sequence[Tensor], path: str | Path, *, scale: int = 2, milliseconds: int = 80) -> Path:
    """Write pictures of bytes, each pixel `scale` wide: a .gif has all of them, any other format only the last."""
    from PIL import Image

    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    images = [
        Image.fromarray(frame.numpy()).resize((frame.shape[1] * scale, frame.shape[0] * scale), 0) for frame in frames
    ]
    if path.suffix.lower() == ".gif":
        images[0].save(path, save_all=True, append_images=images[1:], duration=milliseconds, loop=0)
    else:
        images[-1].save(path)
    return path


def save(figure: Figure, path: str | Path) -> Path:
    """Write the figure in the format of the file's name; makes its folder if needed."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=DPI)
    return path


class Page(Figure):
    """A figure without a window; notebooks display it."""

    def _repr_png_(self) -> bytes:
        file = io.BytesIO()
        self.savefig(file, format="png", dpi=DPI / 2)
        return file.getvalue()


def blank(width: float, height: float, title: str = "") -> Figure:
    """An empty figure with this width and height in inches, and its title above."""
    figure = Page(figsize=(width, height + 0.3 * bool(title)), layout="constrained")
    FigureCanvasAgg(figure)
    if title:
        figure.suptitle(title, fontsize=10, x=0.01, ha="left")
    return figure


def _draw(axis: Axes, sheet: Tensor, title: str, numbers: Sequence[int]) -> None:
    """Draw a grid below its title, with a number at the left of each row, if there are numbers."""
    axis.imshow(for_display(sheet).numpy(), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axis.set_title(title, loc="left", fontsize=10)
    axis.set_axis_off()
    for row, number in enumerate(numbers):
        y = 1 - (row + 0.5) / len(numbers)
        axis.text(0, y, f"{number} ", transform=axis.transAxes, ha="right", va="center", fontsize=7, color="gray")


def _rows(rows: Sequence[Tensor], labels: Sequence[str], title: str, room: float = 0.0) -> tuple[Figure, list[Axes]]:
    """A figure with one empty axis for each row, its label at the left, and an equal margin at the right; `room`
    inches above the rows."""
    line = WIDTH - 2 * MARGIN
    # A sixth of the line for each picture, or more, so that each of its pixels has at least one pixel of the file.
    widths = [min(line, max(line / 6, row.shape[3] / DPI) * len(row)) for row in rows]
    heights = [
        width * row.shape[2] / (len(row) * row.shape[3]) + GUTTER for row, width in zip(rows, widths, strict=True)
    ]
    top = room + (0.4 if title else GUTTER)
    height = sum(heights) + top
    figure = blank(WIDTH, height)
    figure.set_layout_engine("none")
    figure.text(0.01, 1 - 0.2 / height, title, fontsize=10, va="center")
    axes: list[Axes] = []
    for index, (width, label) in enumerate(zip(widths, labels, strict=True)):
        bottom = height - top - sum(heights[: index + 1])
        place = (MARGIN / WIDTH, (bottom + GUTTER) / height, width / WIDTH, (heights[index] - GUTTER) / height)
        axis = figure.add_axes(place)
        axis.set_ylabel(label, rotation=0, ha="right", va="center", fontsize=9)
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set_visible(False)
        axes.append(axis)
    return figure, axes
