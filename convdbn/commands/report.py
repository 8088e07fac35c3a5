"""`report`: an overview of a model, in a page to open in a browser."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convdbn.commands.inputs import Source, is_packaged, model_from, opened
from convdbn.commands.inspect import inspect
from convdbn.commands.options import (
    ValueRange,
    check_counts,
    check_output,
    checked_device,
    command,
)
from convdbn.errors import DataError, UsageError

if TYPE_CHECKING:
    from convdbn.commands.inputs import Data, Model
    from convdbn.images import Images
    from convdbn.models.stack import Stack

log = logging.getLogger(__name__)


@command
def report(
    model: "Model",
    data: "Data | None" = None,
    *,
    output: str | Path | None = None,
    count: int = 1000,
    value_range: ValueRange = None,
    data_root: str | Path | None = None,
    download: bool = False,
    seed: int = 0,
    device: str = "auto",
) -> dict[str, Any]:
    """Show what every unit has learned, in a single self-contained HTML file.

    The page has a description of the model, its learning curves, and for each unit its projections, the patches that
    excite it most, its activity, its selectivity, and its information about the class.

    Args:
        data: pictures for the responses, as for `train`; by default the training pictures, if they can be opened.
        output: .html file to write; by default report.html in the run folder, NAME.html for a model of the package.
        count: number of pictures, drawn at random if there are more.
        seed: seed of this draw and of the start of the maximized inputs.
    """
    check_counts(count=count)
    run = opened(model)
    file = run.path
    path = Path(output) if output is not None else _default_output(file)
    check_output(path, ".html")
    stack = model_from(run.model, device if file is None else checked_device(device))
    from convdbn.models.generate import seeded
    from convdbn.visual import report as page
    from convdbn.visual import report_data

    sources = {"value_range": value_range, "data_root": data_root, "download": download}
    images, why = _pictures(stack, run.metadata if data is None else {}, data, **sources)
    if images is not None and len(images) > count:
        images = _draw(images, count, seed)
    contents = page.Contents(
        path.stem if file is None else _name(file),
        inspect(model),
        run.history,
        report_data.projections(stack, generator=seeded(stack, seed)),
        None if images is None else report_data.responses(stack, images),
        images,
        why,
    )
    if why:
        log.warning("report without pictures: %s", why)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page.render(stack, contents), encoding="utf-8")
    return {
        "output": str(path),
        "megabytes": round(path.stat().st_size / 1e6, 2),
        "pictures": 0 if images is None else len(images),
    }


def _name(file: Path) -> str:
    """The title of the page: the name of a packaged model, otherwise that of the run folder."""
    return file.stem if is_packaged(file) else file.parent.resolve().name


def _default_output(file: Path | None) -> Path:
    """In the run folder, or here for a model of the package."""
    if file is None:
        raise UsageError("output=None: a model in memory has no folder; name an .html file")
    return Path(f"{_name(file)}.html") if is_packaged(file) else file.with_name("report.html")


def _pictures(
    stack: "Stack", metadata: Mapping[str, Any], data: "Data | None", **options: Any
) -> tuple["Images | None", str]:
    """The pictures, after a trial of the first on the model; or None and the reason, if `data` is None and the
    training pictures, which the metadata name, cannot be opened."""
    from convdbn.models.passes import visible

    training = metadata.get("data", {})
    if data is None and ("data" not in training or "pictures" in training):
        return None, "data=None: the training pictures are not in a file; pass them as data"
    try:
        images = Source(training["data"] if data is None else data, **options).images(stack.channels)
        visible(stack, images[[0]][0][None], len(stack.layers))
        return images, ""
    except DataError as error:
        if data is not None:
            raise
        return None, str(error)


def _draw(images: "Images", count: int, seed: int) -> "Images":
    """A random draw of `count` pictures, in the order of the set."""
    import torch

    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))
    return images.select(order[:count].sort().values)
