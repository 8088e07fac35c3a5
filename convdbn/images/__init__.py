"""Input: sets of pictures from names, files and objects in memory, and the transforms that a checkpoint stores."""

from convdbn.images.arrays import ArrayImages
from convdbn.images.augment import Mirrored, random_crops
from convdbn.images.base import Batch, Images, Indices, Subset, TensorOrArray, check_images
from convdbn.images.channels import in_channels
from convdbn.images.datasets import DATA_SETS, open_images, register_dataset
from convdbn.images.folder import FolderImages
from convdbn.images.opening import as_images
from convdbn.images.splits import hold_out, labeled, stratified
from convdbn.images.torch_sets import TorchImages
from convdbn.images.transforms.base import Transform
from convdbn.images.transforms.pipeline import TRANSFORMS, Pipeline, build_transform
from convdbn.images.transforms.pixels import Binarize, Gray, Pad, Raw, Resize
from convdbn.images.transforms.whitening import ZCA, LocalContrast, PatchWhiten, Whiten

__all__ = [
    "DATA_SETS",
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
    "PatchWhiten",
    "Pipeline",
    "Raw",
    "Resize",
    "Subset",
    "TensorOrArray",
    "TorchImages",
    "Transform",
    "Whiten",
    "as_images",
    "build_transform",
    "check_images",
    "hold_out",
    "in_channels",
    "labeled",
    "open_images",
    "random_crops",
    "register_dataset",
    "stratified",
]
