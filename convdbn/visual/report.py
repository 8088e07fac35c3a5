"""The page of a report: layout only; `report_data` computes its contents."""

import base64
import io
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from jinja2 import Environment, PackageLoader, StrictUndefined
from torch import Tensor

from convdbn import __version__
from convdbn.images import Images
from convdbn.models.stack import Stack
from convdbn.visual import figures
from convdbn.visual.report_data import Projections, Responses

TILE = 56
"""Pixels of the longer side of a unit in the overview, or a little less."""
SHARP = 3
"""From this factor on, pictures are enlarged by a whole number, so that their pixels stay squares."""
BLOCK = 8
"""Side of the blocks of JPEG in pixels: no block has pixels of two patches."""
QUALITY = 95
CHART = (216, 96)
"""Width and height of a chart in pixels."""
LABEL = 10
"""Least distance in pixels between the labels of two lines."""
PREFERRED = 3
"""Number of preferred classes for each unit."""


class Contents(NamedTuple):
    """The contents of a report; `why` is the reason if there are no pictures, and so no responses."""

    name: str
    about: Mapping[str, Any]
    metrics: Sequence[Mapping[str, float]]
    projections: Sequence[Projections]
    responses: Sequence[Responses] | None
    images: Images | None
    why: str


class Sprite(NamedTuple):
    """Pictures of one size side by side in a single picture, as a data URI, and their layout in its pixels."""

    uri: str
    width: int
    height: int
    pitch: tuple[int, int]  # from one picture to the next, across and down
    size: tuple[int, int]  # of all, across and down
    columns: int


def render(stack: Stack, contents: Contents) -> str:
    """The page as HTML; text from the data and the run is escaped."""
    environment = Environment(
        loader=PackageLoader("convdbn.visual", ""), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    titles: dict[int, int] = {}
    layers = [_layer(stack, contents, index, titles) for index in range(len(stack.layers))]
    images = contents.images
    data = {
        "layers": [layer.pop("data") for layer in layers],
        "titles": [images.title(index) for index in titles] if images is not None else [],
        "classes": images.classes if images is not None else [],
    }
    return environment.get_template("report.html.j2").render(
        contents=contents,
        layers=layers,
        data=data,
        charts=_charts(contents.metrics),
        recipe=_recipe(contents.about.get("recipe")),
        labeled=images is not None and images.labels is not None,
        version=__version__,
    )


def projected(pictures: Tensor) -> Sprite:
    """A lossless sprite of pictures, each scaled by its own largest magnitude, so that 0 is gray."""
    count, _, height, width = pictures.shape
    columns = math.ceil(math.sqrt(count))
    return _sprite(figures.tiles(pictures, columns=columns), width, height, (width + 1, height + 1), columns, "PNG")


def patched(patches: Tensor) -> Sprite:
    """A JPEG sprite of patches with pixels in [0, 1]."""
    count, _, height, width = patches.shape
    columns = math.ceil(math.sqrt(count))
    down, right = (-side % BLOCK for side in (height, width))
    whole = torch.nn.functional.pad(patches, (0, right, 0, down), mode="replicate")
    blank = whole.new_zeros(-count % columns, *whole.shape[1:])
    rows = torch.cat([whole, blank]).unflatten(0, (-1, columns))  # (rows, columns, c, h, w)
    sheet = rows.permute(0, 3, 1, 4, 2).flatten(2, 3).flatten(0, 1)
    return _sprite(sheet, width, height, (width + right, height + down), columns, "JPEG")


def _sprite(sheet: Tensor, width: int, height: int, pitch: tuple[int, int], columns: int, kind: str) -> Sprite:
    """A sprite from a sheet `(H, W, c)` with values in [0, 1], or NaN in the gaps."""
    from PIL import Image

    picture = Image.fromarray((255 * figures.for_display(sheet).clamp(0, 1)).round().byte().numpy())
    file = io.BytesIO()
    options = {"optimize": True} if kind == "PNG" else {"quality": QUALITY, "subsampling": 0}
    picture.save(file, kind, **options)
    uri = f"data:image/{kind.lower()};base64,{base64.b64encode(file.getvalue()).decode()}"
    return Sprite(uri, width, height, pitch, picture.size, columns)


def _layer(stack: Stack, contents: Contents, index: int, titles: dict[int, int]) -> dict[str, Any]:
    """One layer of the overview, and in `data` the details of its units."""
    unit, geometry = stack.layers[index].unit, stack.geometry[index]
    sprites = {name: projected(pictures) for name, pictures in contents.projections[index].items()}
    first = next(iter(sprites.values()))
    info = stack.feature_info[index]
    step = info.reduction // geometry.pool
    beyond = info.reduction - step  # pixels that a pooling unit sees more than one of its units
    responses = None if contents.responses is None else contents.responses[index]
    patches, units = (None, [{} for _ in range(unit.n)]) if responses is None else _units(responses, titles)
    return {
        "number": index + 1,
        "units": unit.n,
        "columns": first.columns,
        "kind": unit.kind.replace("_", " "),
        "kernel": "whole layer" if geometry.dense else by(*geometry.kernel),
        "pool": by(geometry.pool, geometry.pool) if geometry.pool > 1 else "none",
        "field": by(first.height, first.width),
        "pooled_field": by(first.height + beyond, first.width + beyond),
        "reduction": info.reduction,
        "zoom": zoom(first),
        "sprites": sprites,
        "patches": patches,
        "data": {
            "n": index + 1,
            "field": [first.height, first.width, step],
            "pooled": geometry.pool > 1,
            "columns": first.columns,
            "side": [first.height, first.width],
            "patches": patches and {"columns": patches.columns, "side": [patches.height, patches.width]},
            "edges": [] if responses is None else _short(responses.edges.tolist()),
            "units": units,
        },
    }


def _units(responses: Responses, titles: dict[int, int]) -> tuple[Sprite, list[dict[str, Any]]]:
    """A sprite of all patches, in which units share equal ones, and the details of each unit; `titles` numbers the
    pictures with patches."""
    best = responses.best
    places = torch.cat([best.pictures[..., None], best.corners], 2).flatten(0, 1)
    unique_places, tile = places.unique(dim=0, return_inverse=True)
    index_of = torch.zeros(len(unique_places), dtype=torch.long).scatter_(0, tile, torch.arange(len(tile)))
    sprite, tile = patched(best.patches.flatten(0, 1)[index_of]), tile.view(best.pictures.shape)
    units = []
    for index in range(len(best.pictures)):
        patches = zip(tile[index].tolist(), best.pictures[index].tolist(), best.corners[index].tolist(), strict=True)
        one: dict[str, Any] = {
            "mean": _short(float(responses.mean[index])),
            "sparseness": _short(float(responses.sparseness[index])),
            "histogram": responses.histogram[index].tolist(),
            "best": [
                [number, titles.setdefault(picture, len(titles)), *corner] for number, picture, corner in patches
            ],
        }
        if responses.information is not None and responses.class_means is not None:
            means = responses.class_means[index].nan_to_num(nan=-math.inf)
            value, number = means.topk(min(PREFERRED, len(means)))
            one["information"] = _short(float(responses.information[index]))
            one["classes"] = [
                [n, _short(x)] for n, x in zip(number.tolist(), value.tolist(), strict=True) if math.isfinite(x)
            ]
        units.append(one)
    return sprite, units


def by(height: int, width: int) -> str:
    return f"{height}\N{MULTIPLICATION SIGN}{width}"


def zoom(sprite: Sprite) -> float:
    """The factor by which the overview enlarges a unit."""
    factor = TILE / max(sprite.width, sprite.height)
    return math.floor(factor) if factor >= SHARP else round(factor, 3)


def _charts(rows: Sequence[Mapping[str, float]]) -> list[dict[str, Any]]:
    """A chart for each metric, with a line for each layer, in the chart's pixels."""
    names = list(dict.fromkeys(name for row in rows for name in row if name not in ("layer", "step")))
    rows_of = {name: [row for row in rows if math.isfinite(row.get(name, math.nan))] for name in names}
    return [_chart(name, own) for name, own in rows_of.items() if own]


def _chart(name: str, rows: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    """The chart of a metric that all these rows have."""
    values = [row[name] for row in rows]
    low, high, last = min(values), max(values), max(row["step"] for row in rows)
    across, up = CHART[0] / (last or 1), CHART[1] / ((high - low) or 1)
    lines = {
        layer: [
            (round(across * row["step"], 1), round(up * (high - row[name]), 1))
            for row in rows
            if row["layer"] == layer
        ]
        for layer in sorted({int(row["layer"]) for row in rows})
    }
    below, labeled_lines = -math.inf, []
    for layer, points in sorted(lines.items(), key=lambda line: line[1][-1][1]):
        # Labels go from top to bottom, so that none hides another.
        x, y = points[-1]
        below = max(y, below + LABEL)
        path = " ".join(f"{x:g},{y:g}" for x, y in points)
        labeled_lines.append({"layer": layer, "points": path, "label": (x, below)})
    text = f"{low:.3g} to {high:.3g} in {last:g} updates"
    title = name.replace("_", " ")
    return {"name": title, "low": low, "high": high, "last": last, "lines": labeled_lines, "text": text}


def _recipe(recipe: Mapping[str, Any] | None) -> list[tuple[str, list[str]]]:
    """The fields of the recipe, with one value or a value for each layer; empty for a model without a recipe."""
    if recipe is None:
        return []
    layers = recipe["layers"]
    general = [(name, [str(value)]) for name, value in recipe.items() if name != "layers"]
    return general + [(name, [str(layer[name]) for layer in layers]) for name in layers[0]]


def _short(value: Any) -> Any:
    """Numbers rounded to four digits; None for NaN and infinities, which JSON cannot represent."""
    if isinstance(value, list):
        return [_short(each) for each in value]
    return float(f"{value:.4g}") if math.isfinite(value) else None
