"""Torch's data sets and loaders: items of every kind, labels, workers, and what stays random."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import (
    BatchSampler,
    ConcatDataset,
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    Subset,
    TensorDataset,
    WeightedRandomSampler,
)
from torchvision.datasets import FakeData, ImageFolder
from torchvision.transforms import ToTensor

from convdbn.errors import DataError, UsageError
from convdbn.images import Mirrored, as_images, in_channels

COLOR = np.random.default_rng(0).integers(0, 256, (6, 20, 22, 3), dtype=np.uint8)
LABELS = [2, 0, 1, 0, 2, 1]


TO_TENSOR = ToTensor()


class Items(Dataset):
    """Pictures made by `picture`, with a label or not; counts how often each is asked for."""

    def __init__(self, picture=TO_TENSOR, labels=LABELS, item=lambda picture, label: (picture, label)):
        self.picture, self.labels_, self.item, self.asked = picture, labels, item, [0] * len(COLOR)

    def __len__(self):
        return len(COLOR)

    def __getitem__(self, index):
        self.asked[index] += 1
        return self.item(self.picture(COLOR[index]), self.labels_[index])


class Noisy(Dataset):
    def __len__(self):
        return 6

    def __getitem__(self, index):
        return torch.rand(1, 8, 8)


class Numbered(Dataset):
    """Each picture says its index and the worker that read it."""

    def __init__(self, count=30):
        self.count, self.offset = count, 0

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        worker = torch.utils.data.get_worker_info()
        pixels = torch.zeros(1, 8, 8, dtype=torch.uint8)
        pixels[0, 0, :3] = torch.tensor([index, 0 if worker is None else worker.id + 1, self.offset])
        return pixels, index % 3


def begin(worker):
    torch.utils.data.get_worker_info().dataset.offset = 7


def doubled(items):
    return {"x": torch.stack([x for x, _ in items])}["x"].float() / 255, torch.tensor([y for _, y in items])


def doubled_wrong(items):
    return torch.stack([x for x, _ in items] * 2)


def decoded(images, indices=range(6)):
    batch = images[indices]
    return (batch * 255).round().to(torch.uint8)


@pytest.fixture
def folder(tmp_path):
    for i, (picture, label) in enumerate(zip(COLOR, LABELS, strict=True)):
        (tmp_path / f"class {label}").mkdir(exist_ok=True)
        Image.fromarray(picture).save(tmp_path / f"class {label}" / f"{i}.png")
    return tmp_path


def sources(folder):
    """The same pictures, in the order of the folder, from everything that gives pictures."""
    order = np.argsort(LABELS, kind="stable")
    pixels = COLOR[order]
    return {
        "path": folder,
        "channels last": pixels,
        "channels first": np.moveaxis(pixels, -1, 1),
        "tensor": torch.from_numpy(pixels),
        "floats": pixels.astype(np.float32) / 255,
        "list": list(pixels),
        "objects": np.array([*pixels, None], object)[:-1],
        "PIL": [Image.fromarray(picture) for picture in pixels],
        "Dataset": Subset(Items(), order),
        "TensorDataset": TensorDataset(torch.from_numpy(pixels)),
        "ImageFolder": ImageFolder(folder),
        "DataLoader": DataLoader(ImageFolder(folder, ToTensor()), batch_size=2, shuffle=True),
        "Images": as_images(pixels),
    }


@pytest.mark.parametrize("channels", [1, 3])
def test_the_same_pixels_from_every_source(folder, channels):
    """Bit for bit, in color and in gray."""
    expected = torch.stack(as_images(folder, color=channels == 3)[range(6)])
    for name, source in sources(folder).items():
        batch = in_channels(as_images(source, color=channels == 3), channels)[range(6)]
        batch = batch if isinstance(batch, torch.Tensor) else torch.stack(batch)
        assert batch.dtype == torch.float32 and torch.equal(batch, expected), name


@pytest.mark.parametrize("picture", [ToTensor(), Image.fromarray, np.asarray, torch.from_numpy])
@pytest.mark.parametrize(
    ("item", "labeled"),
    [
        (lambda picture, label: picture, False),
        (lambda picture, label: (picture,), False),
        (lambda picture, label: (picture, label), True),
        (lambda picture, label: [picture, torch.tensor(label), "more"], True),
        (lambda picture, label: {"image": picture, "label": label}, True),
        (lambda picture, label: {"image": picture}, False),
        (lambda picture, label: (picture, {"boxes": []}), False),
        (lambda picture, label: (picture, 0.5), False),
    ],
)
def test_items_of_every_kind(picture, item, labeled):
    images = as_images(Items(picture, item=item))
    assert images.changing and images.name == "Items"
    assert torch.equal(decoded(images), torch.from_numpy(COLOR).permute(0, 3, 1, 2))
    assert (images.labels.tolist() == LABELS) if labeled else (images.labels is None)
    assert images.classes == (["0", "1", "2"] if labeled else [])


def test_pictures_of_several_sizes():
    batch = as_images([COLOR[0], Image.fromarray(COLOR[1, :10]), torch.rand(1, 9, 9)])[[0, 1, 2]]
    assert [tuple(picture.shape) for picture in batch] == [(3, 20, 22), (3, 10, 22), (1, 9, 9)]
    gray = in_channels(as_images([COLOR[0], COLOR[1, :10]]), 1)[[1, 0]]
    assert [tuple(picture.shape) for picture in gray] == [(1, 10, 22), (1, 20, 22)]


def test_augmentations_stay_random():
    images = as_images(Noisy())
    assert images.changing and not torch.equal(images[[0]], images[[0]])
    assert images.select([1]).changing and Mirrored(images).changing and in_channels(images, 3).changing
    assert not as_images(Items(), changing=False).changing
    assert not as_images(list(COLOR)).changing


def test_labels_are_read_only_when_they_are_asked_for():
    dataset = Items()
    images = as_images(dataset)
    part = images.select([5, 0])
    assert sum(dataset.asked) == 1
    assert part.labels.tolist() == [1, 2]
    assert sum(dataset.asked) == 1 + 6


def test_stored_labels_are_taken_where_the_items_agree(caplog):
    dataset = Items()
    dataset.targets = torch.tensor(LABELS)
    dataset.classes = ["a", "b", "c"]
    images = as_images(ConcatDataset([Subset(dataset, [3, 1, 2]), dataset]))
    assert images.labels.tolist() == [0, 0, 1, *LABELS] and images.classes == ["a", "b", "c"]
    assert sum(dataset.asked) == 1 + 3
    dataset.targets = torch.tensor(LABELS) * 0
    with caplog.at_level("INFO"):
        assert as_images(dataset).labels.tolist() == LABELS
    assert "one pass reads its labels" in caplog.text


def test_names_as_labels():
    images = as_images(Items(labels=["b", "a", "c", "a", "b", "c"]))
    assert images.classes == ["a", "b", "c"] and images.labels.tolist() == [1, 0, 2, 0, 1, 2]
    assert as_images(Items(), LABELS[::-1], classes=["x", "y", "z"]).labels.tolist() == LABELS[::-1]


def test_torchvisions_sets():
    images = as_images(FakeData(5, (3, 16, 16), num_classes=4))
    assert images[[0, 4]].shape == (2, 3, 16, 16) and len(images.labels) == 5


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("collate", [None, doubled])
def test_a_loader_lends_its_workers(workers, collate):
    begun = begin if workers else None
    loader = DataLoader(Numbered(), batch_size=4, num_workers=workers, worker_init_fn=begun, collate_fn=collate)
    images = as_images(loader)
    asked = [[3, 1], [29], [0, 0, 5], torch.tensor([7, 2])]
    marks = [(batch[:, 0, 0, :3] * 255).round().int() for batch in images.batches(iter(asked))]
    assert [mark[:, 0].tolist() for mark in marks] == [list(map(int, each)) for each in asked]
    assert {worker for mark in marks for worker in mark[:, 1].tolist()} == ({1, 2} if workers else {0})
    assert {offset for mark in marks for offset in mark[:, 2].tolist()} == ({7} if workers else {0})
    assert images.labels.tolist() == [i % 3 for i in range(30)]


def test_views_of_a_loader_use_its_workers():
    images = Mirrored(as_images(DataLoader(Numbered(), num_workers=2)).select(range(10, 20)))
    batches = list(images.batches([[0, 10], [19], [3]]))
    assert [(batch * 255).round().int()[0, 0, 0, 0].item() for batch in batches] == [10, 0, 13]
    assert (batches[0][1] * 255).round()[0, 0, -1] == 10
    assert {int((batch * 255).round()[0, 0].max(0).values[[1, -2]].max()) for batch in batches} == {1, 2}


@pytest.mark.parametrize("shuffle", [False, True])
def test_the_order_of_a_plain_loader_is_replaced_and_said(shuffle, caplog):
    with caplog.at_level("INFO"):
        images = as_images(DataLoader(Items(), batch_size=5, shuffle=shuffle, drop_last=True))
    assert caplog.text.count("order and batch size come from the recipe") == 1
    assert len(images) == 6 and torch.equal(decoded(images, [5])[0], torch.from_numpy(COLOR[5]).movedim(-1, 0))


class Stream(IterableDataset):
    def __iter__(self):
        return iter([])


@pytest.mark.parametrize(
    ("loader", "kind"),
    [
        (lambda: DataLoader(Items(), sampler=WeightedRandomSampler([1] * 6, 6)), "WeightedRandomSampler"),
        (lambda: DataLoader(Items(), sampler=RandomSampler(Items(), replacement=True)), "RandomSampler"),
        (lambda: DataLoader(Items(), sampler=[0, 1]), "list"),
        (lambda: DataLoader(Items(), batch_sampler=[[0, 1]]), "list"),
        (
            lambda: DataLoader(Items(), sampler=BatchSampler(SequentialSampler(Items()), 2, False), batch_size=None),
            "BatchSampler",
        ),
    ],
)
def test_an_order_of_the_users_is_refused(loader, kind):
    with pytest.raises(UsageError, match=rf"data=DataLoader with {kind}: its order would be lost.*give the Dataset"):
        as_images(loader())


class Broken(Dataset):
    def __len__(self):
        return 3

    def __getitem__(self, index):
        raise TypeError("no such file")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (Stream(), "data=Stream: has no length and no order; give a map-style Dataset"),
        (DataLoader(Stream()), "data=Stream: has no length and no order"),
        ([], "data=list: holds no pictures"),
        (Broken(), r"data=Broken: item 0 cannot be read \(TypeError: no such file\); data\[0\] must give a picture"),
        (["a"], "data=str: is not a picture; give a tensor, a numpy array or a PIL image"),
        ([[1, 2], [3, 4]], "data=int: is not a picture"),
        ([np.zeros((3, 8, 3))], r"data=float64\(3, 8, 3\): the first axis and the last may both be an axis of"),
        ([np.zeros(8)], r"data=float64\(8,\): is not a picture; give \(height, width\)"),
        ([np.full((8, 8), 3.0)], r"data=float64\(1, 1, 8, 8\): picture 0 holds 3, but floats must be in \[0, 1\]"),
        ([{"pixels": COLOR[0]}], r"data=items with the keys \['pixels'\]: no key is 'image'"),
        (
            DataLoader(Numbered(), collate_fn=doubled_wrong),
            r"its collate_fn does not return one picture for each",
        ),
        ({"image": COLOR}, "data=dict: holds no pictures; give a known name"),
        (None, "data=NoneType: holds no pictures"),
        (3, "data=int: holds no pictures"),
        (Image.fromarray(COLOR[0]), "data=Image: holds no pictures; .* a list of pictures"),
    ],
)
def test_data_without_pictures(data, message):
    with pytest.raises(DataError, match=message):
        as_images(data)


def test_options_that_have_no_effect(folder):
    with pytest.raises(UsageError, match="changing=True: is for a torch Dataset or DataLoader; leave it out"):
        as_images(COLOR, changing=True)
    for data in (folder, as_images(COLOR)):
        with pytest.raises(UsageError, match=r"value_range='raw': pictures in files and sets have their own"):
            as_images(data, value_range="raw")


def test_ranges_of_items():
    normalized = Items(lambda picture: torch.from_numpy(picture).movedim(-1, 0) / 127.5 - 1)
    with pytest.raises(DataError, match="but floats must be in"):
        as_images(normalized)
    torch.testing.assert_close(as_images(normalized, value_range=(-1, 1))[range(6)], as_images(COLOR)[range(6)])
    assert as_images(normalized, value_range="raw")[range(6)].min() < -0.9
