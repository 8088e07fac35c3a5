"""`report`: all of a model at once, in a page to open in a browser."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from convdbn.commands.inputs import pictures_for
from convdbn.commands.inspect import inspect
from convdbn.commands.load import load
from convdbn.commands.options import check_counts, check_output, seeded
from convdbn.errors import DataError

if TYPE_CHECKING:
    from convdbn.images import Images
    from convdbn.models.stack import Stack


def report(
    run_dir: str | Path,
    *,
    data: str | Path | None = None,
    data_root: str | Path | None = None,
    download: bool = False,
    output: str | Path | None = None,
    count: int = 1000,
    device: str = "auto",
    seed: int = 0,
) -> dict[str, Any]:
    """Show what every unit has learned, in one HTML file that needs nothing else.

    What the model is, its learning curves, and of each unit its projections, the parts of pictures that excite it
    most, its activity, how selective it is, and what it says about the class.

    Args:
        run_dir: run folder, model file, or the name of a model of the package.
        data: pictures to look at, as for `train`; those that the model was trained on, where they can be opened.
        data_root: where the torchvision data sets lie.
        download: fetch a torchvision data set that is not there.
        output: .html file to write; report.html in the run folder, or NAME.html for a model of the package.
        count: pictures to look at, drawn at random where there are more.
        device: auto, cpu, cuda, ...
        seed: seed of the draw and of where the maximized inputs begin.
    """
    check_counts(count=count)
    model, about = load(run_dir, device=device), inspect(run_dir)
    import torch

    from convdbn.learning.greedy import METRICS_FILE
    from convdbn.models.stack import WEIGHTS
    from convdbn.storage import metrics
    from convdbn.visual import report as page
    from convdbn.visual import report_data

    file = Path(about["file"])
    packaged = file.parent == WEIGHTS
    name = file.stem if packaged else file.parent.resolve().name
    path = Path(output or (f"{name}.html" if packaged else file.with_name("report.html")))
    check_output(path, ".html")
    images, why = _opened(model, data or about["data"]["data"], data_root, download, data is None)
    if images is not None and len(images) > count:
        drawn = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))[:count]
        images = images.select(drawn.sort().values)
    curves = file.with_name(METRICS_FILE)
    projections = report_data.projections(model, generator=seeded(model, seed))
    responses = None if images is None else report_data.responses(model, images)
    shown = page.Contents(
        name,
        about,
        metrics.read(curves) if not packaged and curves.is_file() else [],
        projections,
        responses,
        images,
        why,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page.render(model, shown), encoding="utf-8")
    return {
        "output": str(path),
        "megabytes": round(path.stat().st_size / 1e6, 2),
        "pictures": 0 if images is None else len(images),
    } | ({"no_pictures": why} if why else {})


def _opened(
    model: "Stack", data: str | Path, data_root: str | Path | None, download: bool, optional: bool
) -> tuple["Images | None", str]:
    """The pictures, or, where they are `optional`, why there are none; the first is tried on the model."""
    from convdbn.models.passes import visible

    try:
        images = pictures_for(model, data, data_root, download)
        visible(model, images[[0]][0][None], len(model.layers))
        return images, ""
    except DataError as error:
        if not optional:
            raise
        return None, str(error)
