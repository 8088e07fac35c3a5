"""What goes in: sets of pictures, crops of them, and the transforms that travel in the checkpoint."""

from convdbn.images.base import Batch, Images, Indices, Subset, check_images
from convdbn.images.datasets import ArrayImages, Mirrored, open_images, random_crops, stratified
from convdbn.images.folder import FolderImages
from convdbn.images.transforms.pipeline import (
    TRANSFORMS,
    ZCA,
    Binarize,
    Gray,
    LocalContrast,
    Pad,
    Pipeline,
    Resize,
    Transform,
    Whiten,
    build_transform,
)

__all__ = [
    "TRANSFORMS",
    "ZCA",
    "ArrayImages",
    "Batch",
    "Binarize",
    "FolderImages",
    "Gray",
    "Images",
    "Indices",
    "LocalContrast",
    "Mirrored",
    "Pad",
    "Pipeline",
    "Resize",
    "Subset",
    "Transform",
    "Whiten",
    "build_transform",
    "check_images",
    "open_images",
    "random_crops",
    "stratified",
]
