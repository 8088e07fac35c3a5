"""A folder of pictures."""

from collections.abc import Collection
from pathlib import Path

import torch
from torch import Tensor

from convdbn.errors import DataError
from convdbn.images.base import Images, Indices
from convdbn.images.formats import read_picture

EXTENSIONS = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp")


class FolderImages(Images):
    """All pictures in `folder` and below, in the order of their paths, decoded when a batch is read.

    If all pictures lie in two or more sub-folders, the names of the first-level sub-folders are the classes; `skip`
    names sub-folders to leave out. `gray` gives every picture one channel, otherwise all have three. EXIF rotations
    are undone, and an animation gives its first frame. DataError for a folder that is missing or has no pictures,
    and, with its path, for a picture that cannot be read.
    """

    def __init__(self, folder: str | Path, *, gray: bool = True, skip: Collection[str] = ()) -> None:
        root = Path(folder).expanduser()
        if not root.is_dir():
            raise DataError(f"folder='{folder}': does not exist or is not a folder; give a folder of pictures")
        files = sorted(path for path in root.rglob("*") if path.suffix.lower() in EXTENSIONS and path.is_file())
        parts = [path.relative_to(root).parts for path in files]
        self.paths = [path for path, part in zip(files, parts, strict=True) if part[0] not in skip]
        if not self.paths:
            raise DataError(f"folder='{folder}': has no pictures; give files that end in {' '.join(EXTENSIONS)}")
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
        return [read_picture(self.paths[i], gray=self.gray) for i in self._index_tensor(indices).tolist()]

    def title(self, index: int) -> str:
        return str(self.paths[index].relative_to(self.root))
