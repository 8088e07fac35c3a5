"""Any folder of pictures."""

from collections.abc import Collection
from pathlib import Path

import torch
from torch import Tensor

from convdbn.errors import DataError
from convdbn.images.base import Images, Indices
from convdbn.images.formats import read_picture

EXTENSIONS = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp")


class FolderImages(Images):
    """All pictures in `folder` and below, in the order of their paths, decoded when they are asked for.

    With all pictures in two or more sub-folders, the names of the first-level ones are the classes; those
    named in `skip` are left out. `gray` makes every picture one channel, otherwise all have three; turned
    pictures (EXIF) are set upright, and of animations the first frame is taken. DataError for a folder that
    is missing or without pictures, and, with its path, for a picture that cannot be read.
    """

    def __init__(self, folder: str | Path, *, gray: bool = True, skip: Collection[str] = ()) -> None:
        root = Path(folder).expanduser()
        if not root.is_dir():
            raise DataError(f"folder: '{folder}' does not exist or is no folder; give one that holds pictures")
        found = sorted(path for path in root.rglob("*") if path.suffix.lower() in EXTENSIONS and path.is_file())
        parts = [path.relative_to(root).parts for path in found]
        self.paths = [path for path, part in zip(found, parts, strict=True) if part[0] not in skip]
        if not self.paths:
            raise DataError(f"folder: no pictures in '{folder}'; expected files ending in {' '.join(EXTENSIONS)}")
        self.root, self.name = root, root.resolve().name
        self.gray, self.channels = gray, 1 if gray else 3
        tops = [part[0] for part in parts if part[0] not in skip]
        classes = sorted(set(tops))
        labeled = len(classes) > 1 and all(len(part) > 1 for part in parts)
        self.classes = classes if labeled else []
        self.labels = torch.tensor([classes.index(top) for top in tops]) if labeled else None

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, indices: Indices) -> list[Tensor]:
        return [read_picture(self.paths[i], gray=self.gray) for i in self._chosen(indices).tolist()]

    def title(self, index: int) -> str:
        return str(self.paths[index].relative_to(self.root))
