"""Drawing of curves, histograms and tables, from numbers computed elsewhere. Never opens a window."""

import math
from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from convdbn.visual.figures import LAID_OVER, WIDTH, blank

COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442")
"""Suitable for color-blind readers (Okabe and Ito 2008)."""
STYLES = ("-", "--", "-.", ":")
BINS = 100
PANEL = (3.2, 2.2)
"""Inches of a small panel."""
MANY = 20
"""Largest number of classes for which a confusion matrix has room for numbers."""


def curves(rows: Sequence[Mapping[str, float]], title: str = "") -> Figure:
    """Learning curves from rows of metrics: a panel for each metric, a line for each layer.

    A row has `layer`, `step`, and the metrics at this step; it may lack some metrics of other rows.
    """
    layers = sorted({int(row["layer"]) for row in rows})
    names = list(dict.fromkeys(name for row in rows for name in row if name not in ("layer", "step")))
    figure, axes = _panels(len(names), title)
    for axis, name in zip(axes, names, strict=True):
        for index, layer in enumerate(layers):
            points = [(row["step"], row[name]) for row in rows if row["layer"] == layer and name in row]
            color, style = COLORS[index % len(COLORS)], STYLES[index % len(STYLES)]
            steps, values = [step for step, _ in points], [value for _, value in points]
            axis.plot(steps, values, color=color, linestyle=style, lw=1.5, label=f"layer {layer}")
        axis.set_title(name.replace("_", " "), loc="left", fontsize=9)
        axis.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        axis.set_xlabel("update", fontsize=8)
        axis.margins(y=0.08)
    axes[0].legend(fontsize=8, frameon=False)
    return figure


def histograms(layers: Sequence[Tensor], titles: Sequence[str], label: str) -> Figure:
    """Histograms of values, one panel for each layer; the logarithmic scale of the counts makes rare values visible.

    `label` names the values. A line marks 0.
    """
    figure, axes = _panels(len(layers))
    for axis, values, title in zip(axes, layers, titles, strict=True):
        axis.axvline(0, color="0.6", lw=0.8)
        axis.hist(values.flatten().numpy(), bins=BINS, color=COLORS[0], log=True)
        axis.set_title(title, loc="left", fontsize=9)
        axis.set_xlabel(label, fontsize=8)
        axis.xaxis.set_major_locator(MaxNLocator(4))
        axis.ticklabel_format(axis="x", scilimits=(-2, 3))
    axes[0].set_ylabel("number", fontsize=8)
    return figure


def activity(layers: Sequence[Tensor], titles: Sequence[str]) -> Figure:
    """Hidden activities `(cases, units)` as images, one below the other, one row for each case.

    A dark column is a unit that is never on, a bright column a unit that is always on; similar rows are pictures that
    the layer does not distinguish (Hinton 2010, section 15).
    """
    figure = blank(WIDTH, 3.0 * len(layers))
    axes = figure.subplots(len(layers), 1, squeeze=False)[:, 0]
    for axis, values, title in zip(axes, layers, titles, strict=True):
        low, high = min(0.0, float(values.min())), max(1.0, float(values.max()))
        image = axis.imshow(
            values.numpy(), cmap=LAID_OVER, vmin=low, vmax=high, aspect="auto", interpolation="nearest"
        )
        figure.colorbar(image, ax=axis, label="activity", fraction=0.03, pad=0.01)
        axis.set_title(title, loc="left", fontsize=10)
        axis.set_xlabel("unit", fontsize=8)
        axis.set_ylabel("case", fontsize=8)
        axis.tick_params(labelsize=8)
    return figure


def confusion(counts: Tensor, classes: Sequence[str], title: str = "") -> Figure:
    """The confusion matrix of true classes (rows) and predicted classes (columns), and beside it each class's error.

    Colors are shares of a row; the cells have the `counts` `(K, K)` if there is room for numbers.
    """
    shares = counts / counts.sum(1, keepdim=True).clamp(min=1)
    few = len(classes) <= MANY
    side = 0.5 * len(classes) + 1.5 if few else 9.0
    figure = blank(1.3 * side + 0.6, side)
    table, bars = figure.subplots(1, 2, sharey=True, width_ratios=(4, 1))
    table.imshow(shares.numpy(), cmap="Blues", vmin=0, vmax=1, aspect="auto", interpolation="nearest")
    for row, column in counts.nonzero().tolist() if few else ():
        color = "white" if shares[row, column] > 0.5 else "black"
        table.text(column, row, f"{int(counts[row, column])}", ha="center", va="center", fontsize=7, color=color)
    size = 9 if few else 4
    table.set_xticks(range(len(classes)), classes, rotation=0 if _short(classes) else 90, fontsize=size)
    table.set_yticks(range(len(classes)), classes, fontsize=size)
    table.set(xlabel="taken for", ylabel="class")
    table.set_title(title, loc="left", fontsize=10)
    errors = 100 * (1 - shares.diagonal())
    rectangles = bars.barh(range(len(classes)), errors.numpy(), color=COLORS[1])
    if few:
        bars.bar_label(rectangles, fmt="%.1f", padding=2, fontsize=7)
    bars.margins(x=0.35)
    bars.spines[["top", "right"]].set_visible(False)
    bars.tick_params(labelleft=False, left=False, labelsize=8)
    bars.set_xlabel("error, %")
    return figure


def _panels(count: int, title: str = "") -> tuple[Figure, list[Axes]]:
    """Small panels, three in a row."""
    columns = min(count, 3)
    rows = math.ceil(count / columns)
    figure = blank(max(PANEL[0] * columns, 4.0), PANEL[1] * rows, title)
    axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(labelsize=8)
    for axis in axes[count:]:
        axis.remove()
    return figure, axes[:count]


def _short(classes: Sequence[str]) -> bool:
    return max(map(len, classes)) <= 3
