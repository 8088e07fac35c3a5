"""The default recipe on sets of pictures that it was not tuned for, against cheaper features.

    python scripts/folders.py --data-root DIR [--sets NAME ...] [--quick]

`convdbn.train` trains on each set with no setting, and `convdbn.evaluate` compares layers 1 and 2 together, each of
them, random filters, k-means patches (as many as layer 1 has filters), principal components and pixels; test errors
are means over ten draws of labeled pictures. Sets in CHOICE may choose settings; those in JUDGMENT may not, and are
looked at rarely. --quick: one small set, one draw. Writes results/folders.json (--quick: folders_quick.json); a
second run continues an interrupted one.
"""

from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import torch
from reporting import Ledger, fingerprint, parser, write
from torch import Tensor
from torch.nn import functional as F

import convdbn
from convdbn import recipes
from convdbn.images import ArrayImages, FolderImages, Images, Resize, hold_out, open_images

SIDE = 64
"""Side of the pictures that are cut or changed here."""
EACH = 60
"""At most so many pictures of a class."""
TEXTURES = 30
"""Squares that are cut from one photograph."""
POOLING: dict[str, Any] = {"grid": [1, 2, 4], "window": 3, "classifier": "ridge"}


class Folder(NamedTuple):
    """What makes the pictures, from the folder of the data sets, and the number of labels for each class."""

    images: Callable[[Path], Images]
    labels: int


def few(images: Images, each: int) -> Images:
    """The first `each` pictures of every class."""
    assert images.labels is not None
    indices = [(images.labels == label).nonzero()[:each, 0] for label in range(len(images.classes))]
    return images.select(torch.cat(indices).sort().values)


def caltech(group: int) -> Callable[[Path], Images]:
    """Ten classes of Caltech-101, those of one group apart from those of the others."""

    def images(root: Path) -> Images:
        folder = root / "caltech101" / "101_ObjectCategories"
        classes = sorted(path.name for path in folder.iterdir() if path.is_dir() and path.name != "BACKGROUND_Google")
        others = [path.name for path in folder.iterdir() if path.name not in classes[group::10][:10]]
        return few(FolderImages(folder, gray=False, skip=others), EACH)

    return images


def squares(images: Images) -> Tensor:
    """All pictures, gray, as squares of one size."""
    resize = Resize(SIDE)
    gray = (images[[index]][0][None].mean(1, keepdim=True) for index in range(len(images)))
    return torch.cat([resize(picture) for picture in gray])


def changed(group: int, change: Callable[[Tensor], Tensor]) -> Callable[[Path], Images]:
    """A group of Caltech-101's classes, the pictures changed."""

    def images(root: Path) -> Images:
        whole = caltech(group)(root)
        return ArrayImages(change(squares(whole)), whole.labels, classes=whole.classes)

    return images


def drawn(pictures: Tensor) -> Tensor:
    """1-bit drawings: pixels that are darker than their neighborhood."""
    blurred = F.avg_pool2d(F.pad(pictures, [2] * 4, mode="replicate"), 5, 1)
    return (blurred - pictures > 0.04).float()


def noisy(pictures: Tensor) -> Tensor:
    """A third of the contrast, and noise of the same strength."""
    noise = torch.randn(pictures.shape, generator=torch.Generator().manual_seed(0))
    return (0.5 + (pictures - 0.5) / 3 + 0.08 * noise).clamp(0, 1)


def textures(first: int) -> Callable[[Path], Images]:
    """Squares of 50 photographs, every fourth of them from `first` on: which photograph is it from?"""

    def images(root: Path) -> Images:
        photographs = FolderImages(root / "bsds500" / "train")
        generator = torch.Generator().manual_seed(first)
        pictures = []
        for index in range(first, len(photographs), 4):
            (photograph,) = photographs[[index]]
            for _ in range(TEXTURES):
                top, left = (
                    int(torch.randint(side - SIDE + 1, (), generator=generator)) for side in photograph.shape[1:]
                )
                pictures.append(photograph[:, top : top + SIDE, left : left + SIDE])
        labels = torch.arange(len(pictures) // TEXTURES).repeat_interleave(TEXTURES)
        return ArrayImages(
            torch.stack(pictures), labels, classes=[str(label) for label in range(int(labels.max()) + 1)]
        )

    return images


def known(name: str, count: int) -> Callable[[Path], Images]:
    """Some pictures of a known data set."""
    return lambda root: (
        hold_out(open_images(name, data_root=root), count, seed=0)[1] or open_images(name, data_root=root)
    )


def cifar(root: Path) -> Images:
    """300 pictures of each class of CIFAR-10, in color."""
    return few(FolderImages(root / "cifar10" / "train", gray=False), 300)


CHOICE = {
    "objects a": Folder(caltech(0), 15),
    "textures a": Folder(textures(0), 10),
    "drawings a": Folder(changed(3, drawn), 15),
    "noisy a": Folder(changed(4, noisy), 15),
}
"""Sets that may choose settings."""
JUDGMENT = {
    "cifar10": Folder(cifar, 50),
    "mnist": Folder(lambda root: few(open_images("mnist", data_root=root), 200), 30),
    "digits": Folder(lambda root: open_images("digits"), 20),
    "objects b": Folder(caltech(1), 15),
    "objects c": Folder(caltech(2), 15),
    "objects d": Folder(caltech(5), 15),
    "textures b": Folder(textures(1), 10),
    "drawings b": Folder(changed(7, drawn), 15),
    "noisy b": Folder(changed(8, noisy), 15),
}
"""Sets that chose nothing."""


def figures(images: Images, labels: int, draws: int, **settings: Any) -> dict[str, Any]:
    """Errors of the default recipe and of the baselines, and how long it trained."""
    began = perf_counter()
    model = convdbn.train(images, verbose=False, **settings)
    seconds = round(perf_counter() - began, 1)
    count = labels * len(images.classes)

    def errors(layers: list[int], baselines: bool) -> dict[str, Any]:
        return convdbn.evaluate(
            model, images, labels=count, layers=layers, draws=draws, baselines=baselines, **POOLING
        )

    compared = errors([1, 2], True)
    compared["layers 1 and 2"] = compared.pop("features")
    compared |= {"layer 1": errors([1], False)["features"], "layer 2": errors([2], False)["features"]}
    return {
        "pictures": len(images),
        "classes": len(images.classes),
        "labels": count,
        "seconds": seconds,
        **{
            name: {part: by_count[str(count)][part] for part in ("error", "se")}
            for name, by_count in compared.items()
        },
    }


def main() -> None:
    command = parser(__doc__, "--data-root", "--quick")
    command.add_argument("--sets", nargs="+", choices=[*CHOICE, *JUDGMENT], default=[*CHOICE, *JUDGMENT])
    options = command.parse_args()
    root, draws, settings = Path(options.data_root), 10, {}
    name, sets = "folders", options.sets
    if options.quick:
        name, sets, draws, settings = "folders_quick", ["digits"], 1, {"updates": 20}
    ledger = Ledger(name, fingerprint(recipes.load("images"), POOLING, options.quick))
    result: dict[str, Any] = {"draws": draws}
    for chosen in sets:
        folder = {**CHOICE, **JUDGMENT}[chosen]
        compute = lambda folder=folder: figures(folder.images(root), folder.labels, draws, **settings)  # noqa: E731
        result[chosen] = {"may choose settings": chosen in CHOICE, **ledger.get(chosen, compute)}
    write(Path("results", f"{name}.json"), {**result, "seconds": ledger.close()})


if __name__ == "__main__":
    main()
