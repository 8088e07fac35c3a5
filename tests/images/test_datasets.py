import struct
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import BatchSampler, DataLoader, SequentialSampler

from convdbn.errors import DataError
from convdbn.images import ArrayImages, Mirrored, check_images, open_images, random_crops


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def numbered(n=6, h=4, w=5):
    """Pictures of which the first byte is the index, and no pixel is like its neighbor."""
    pixels = torch.arange(h * w, dtype=torch.uint8).reshape(1, 1, h, w).repeat(n, 1, 1, 1)
    pixels[:, 0, 0, 0] = torch.arange(n, dtype=torch.uint8)
    return pixels


def test_bytes_stay_bytes_until_the_batch():
    pixels = numbered()
    images = ArrayImages(pixels, labels=torch.tensor([0, 1, 2, 0, 1, 2]), name="n")
    assert len(images) == 6
    assert images.pixels.data_ptr() == pixels.data_ptr()
    batch = images[[4, 0, 4]]
    assert batch.shape == (3, 1, 4, 5) and batch.dtype == torch.float32
    torch.testing.assert_close(batch, pixels[[4, 0, 4]].float() / 255, rtol=0, atol=0)
    assert images.labels.dtype == torch.int64
    assert images.classes == ["0", "1", "2"]
    assert images[[]].shape == (0, 1, 4, 5)


def test_floats_are_handed_out_as_they_are():
    pixels = torch.rand(3, 2, 4, 4, generator=seeded(), dtype=torch.float64)
    batch = ArrayImages(pixels.numpy())[torch.tensor([2, 1])]
    assert batch.dtype == torch.float32
    torch.testing.assert_close(batch, pixels[[2, 1]].float(), rtol=0, atol=0)


def test_a_batch_is_the_callers_to_change():
    for pixels in (numbered(), numbered() / 255):
        images = ArrayImages(pixels)
        before = images[[1]].clone()
        images[[1]].zero_()
        assert torch.equal(images[[1]], before)


def test_selection_keeps_order_labels_and_classes():
    images = ArrayImages(numbered(), labels=torch.tensor([0, 1, 2, 0, 1, 2]), classes=["a", "b", "c"])
    some = images.select([5, 3, 0])
    assert len(some) == 3
    assert torch.equal(some[[2, 0]], images[[0, 5]])
    assert some.labels.tolist() == [2, 0, 0]
    assert some.classes == ["a", "b", "c"]
    assert torch.equal(some.select([1])[[0]], images[[3]])


def test_torch_loader_takes_a_batch_sampler():
    images = ArrayImages(numbered())
    loader = DataLoader(images, sampler=BatchSampler(SequentialSampler(images), 4, False), batch_size=None)
    assert [len(batch) for batch in loader] == [4, 2]
    assert torch.equal(torch.cat(list(loader)), images[range(6)])


@pytest.mark.parametrize(
    ("indices", "error", "message"),
    [
        ([6], IndexError, "indices=6: n has pictures 0 to 5"),
        ([-1], IndexError, "indices=-1: n has pictures 0 to 5"),
        (3, TypeError, r"indices=3: is not a list of integers; write images\[\[3\]\]"),
        ([0.5], TypeError, r"indices=\[0.5\]: is not a list of integers"),
        (torch.ones(6, dtype=torch.bool), TypeError, r"mask.nonzero\(\).flatten\(\) for a mask"),
    ],
)
def test_wrong_indices(indices, error, message):
    with pytest.raises(error, match=message):
        ArrayImages(numbered(), name="n")[indices]
    with pytest.raises(error, match=message):
        ArrayImages(numbered(), name="n").select(indices)


@pytest.mark.parametrize(
    ("value", "shown"), [(float("nan"), "nan"), (float("inf"), "inf"), (-0.25, "-0.25"), (255.0, "255")]
)
def test_floats_outside_the_unit_interval(value, shown):
    pixels = torch.full((4, 1, 3, 3), 0.5)
    pixels[2, 0, 1, 1] = value
    with pytest.raises(DataError, match=rf"data=float32\(4, 1, 3, 3\): picture 2 holds {shown}, .*bytes as uint8"):
        ArrayImages(pixels)


@pytest.mark.parametrize(
    ("pixels", "message"),
    [
        (torch.zeros(6, 28, 28), r"data=float32\(6, 28, 28\): is not \(N, c, h, w\).*data\[:, None\]"),
        (torch.zeros(0, 1, 8, 8), r"data=float32\(0, 1, 8, 8\): .* at least one picture"),
        (
            torch.zeros(2, 1, 8, 8, dtype=torch.int64),
            r"data=int64\(2, 1, 8, 8\): .*bytes .*value_range=\(0, 255\)",
        ),
    ],
)
def test_pixels_that_are_no_pictures(pixels, message):
    with pytest.raises(DataError, match=message):
        ArrayImages(pixels)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0, 1], r"labels=int64\(2,\): is not one for each of 3 pictures; give the shape \(3,\)"),
        ([0.0, 1.0, 2.0], "labels=0.0: is not a class; give each picture an integer or a name"),
        ([0, 1, 2], "labels=2: is not in 0 to 1; number the classes from 0"),
        ([0, -1, 1], "labels=-1: is not in 0 to 1"),
    ],
)
def test_wrong_labels(labels, message):
    with pytest.raises(DataError, match=message):
        ArrayImages(numbered(3), labels=torch.tensor(labels), classes=["a", "b"])


def test_mirrored_is_the_pictures_and_then_their_mirror_images():
    images = ArrayImages(numbered(), labels=torch.tensor([0, 1, 2, 0, 1, 2]))
    both = Mirrored(images)
    assert len(both) == 12
    assert torch.equal(
        both[[1, 7, 11]], torch.stack([images[[1]][0], images[[1]][0].flip(-1), images[[5]][0].flip(-1)])
    )
    assert both.labels.tolist() == [0, 1, 2, 0, 1, 2] * 2
    assert Mirrored(ArrayImages(numbered())).labels is None


def test_mirrored_folder(tmp_path):
    for i, width in enumerate((5, 7)):
        Image.fromarray(np.arange(4 * width, dtype=np.uint8).reshape(4, width)).save(tmp_path / f"{i}.png")
    images = open_images(tmp_path)
    wide, flipped = Mirrored(images)[[1, 3]]
    assert wide.shape == (1, 4, 7)
    assert torch.equal(flipped, wide.flip(-1)) and not torch.equal(flipped, wide)


def test_digits_are_split_once_and_for_all_in_every_class():
    train, test = open_images("digits"), open_images("digits", split="test")
    assert (len(train), len(test)) == (1437, 360)
    assert train.name == "digits" and train.classes == [str(i) for i in range(10)]
    pictures = torch.cat([train[range(1437)], test[range(360)]])
    assert pictures.shape == (1797, 1, 8, 8)
    assert (pictures.min(), pictures.max()) == (0, 1)
    assert set((pictures * 16).unique().tolist()) == set(range(17))
    in_both = (train[range(1437)].flatten(1)[:, None] == test[range(360)].flatten(1)[None]).all(-1).any(0)
    assert not in_both.any()  # the set holds no picture twice
    share = test.labels.bincount() / (test.labels.bincount() + train.labels.bincount())
    assert (share - 0.2).abs().max() < 0.005
    assert torch.equal(open_images("digits", split="test").labels, test.labels)


def test_photos_are_the_two_whole_pictures():
    photos = open_images("photos")
    assert len(photos) == 2 and photos.labels is None and photos.classes == []
    assert photos[[0, 1]].shape == (2, 1, 427, 640)
    assert open_images("photos", split="test", gray=False)[[0]].shape == (1, 3, 427, 640)
    colors = open_images("photos", gray=False)[[0, 1]]
    luma = (colors * torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)).sum(1, keepdim=True)
    assert (luma - photos[[0, 1]]).abs().max() < 1 / 255


def write_idx(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes())


@pytest.fixture
def mnist_root(tmp_path):
    """Pictures of 28x28 in MNIST's format and place: ten to train on, four to test."""
    for folder in ("MNIST", "FashionMNIST"):
        for part, count in (("train", 10), ("t10k", 4)):
            pixels = np.random.default_rng(count).integers(0, 256, (count, 28, 28), dtype=np.uint8)
            write_idx(tmp_path / folder / "raw" / f"{part}-images-idx3-ubyte", pixels)
            write_idx(tmp_path / folder / "raw" / f"{part}-labels-idx1-ubyte", np.arange(count, dtype=np.uint8))
    return tmp_path


@pytest.mark.parametrize(("name", "third"), [("mnist", "2 - two"), ("fashion-mnist", "Pullover")])
def test_mnist_is_read_from_where_torchvision_keeps_it(mnist_root, name, third):
    train = open_images(name, data_root=mnist_root)
    test = open_images(name, data_root=str(mnist_root), split="test")
    assert (len(train), len(test)) == (10, 4)
    assert train.pixels.dtype == torch.uint8
    expected = np.random.default_rng(4).integers(0, 256, (4, 28, 28), dtype=np.uint8)
    assert torch.equal(test[[3, 1]], torch.from_numpy(expected)[[3, 1], None].float() / 255)
    assert train.labels.tolist() == list(range(10)) and train.classes[2] == third and train.name == name


def test_mnist_that_is_not_there(tmp_path):
    with pytest.raises(DataError, match="data_root=None: mnist needs the folder of its files; pass --data-root"):
        open_images("mnist")
    with pytest.raises(DataError) as caught:
        open_images("mnist", data_root=tmp_path)
    message = str(caught.value)
    assert str(tmp_path / "MNIST" / "raw") in message
    assert "--data-root" in message and "--download" in message
    assert list(tmp_path.iterdir()) == []


def test_mnist_cut_short(mnist_root):
    file = mnist_root / "MNIST" / "raw" / "train-images-idx3-ubyte"
    file.write_bytes(file.read_bytes()[:5000])
    with pytest.raises(DataError, match=r"cannot be read from '.*MNIST/raw'"):
        open_images("mnist", data_root=mnist_root)


def write_caltech101(root):
    """Three classes of ten pictures each and the background; the gray of a picture says which it is."""
    for c, name in enumerate(("BACKGROUND_Google", "Faces", "ant", "wrench")):
        folder = root / "caltech101" / "101_ObjectCategories" / name
        folder.mkdir(parents=True)
        for i in range(10):
            Image.new("RGB", (12 + i, 11), (60 * c + i,) * 3).save(folder / f"image_{i + 1:04d}.jpg", quality=100)


def test_caltech101_has_torchvisions_classes_and_a_fixed_split(tmp_path):
    from torchvision.datasets import Caltech101

    write_caltech101(tmp_path)
    train = open_images("caltech101", data_root=tmp_path)
    test = open_images("caltech101", data_root=tmp_path, split="test", gray=False)
    assert train.name == "caltech101"
    assert train.classes == test.classes == Caltech101(tmp_path).categories == ["Faces", "ant", "wrench"]
    assert train.labels.bincount().tolist() == [8, 8, 8] and test.labels.bincount().tolist() == [2, 2, 2]
    seen = sorted(train.indices.tolist() + test.indices.tolist())
    assert seen == list(range(30))
    assert train.images.labels.tolist() == Caltech101(tmp_path).y
    for picture, label in zip(test[range(6)], test.labels, strict=True):
        assert picture.shape[0] == 3
        assert round(picture.mean().item() * 255) // 60 == label + 1


def test_caltech101_that_is_not_there(tmp_path):
    with pytest.raises(DataError, match=r"caltech101.*101_ObjectCategories.*--data-root .*--download"):
        open_images("caltech101", data_root=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_caltech101_is_downloaded_by_torchvision_when_asked(tmp_path, monkeypatch):
    import torchvision

    asked = []

    def fetch(root, download):
        asked.append((root, download))
        write_caltech101(root)

    monkeypatch.setattr(torchvision.datasets, "Caltech101", fetch)
    assert len(open_images("caltech101", data_root=tmp_path, download=True)) == 24
    assert asked == [(tmp_path, True)]


def test_a_failed_download_is_a_data_error(tmp_path, monkeypatch):
    import torchvision

    def fail(*args, **kwargs):
        raise OSError("no route to host")

    monkeypatch.setattr(torchvision.datasets, "Caltech101", fail)
    monkeypatch.setattr(torchvision.datasets, "MNIST", type("MNIST", (), {"__init__": fail}))
    for name in ("caltech101", "mnist"):
        with pytest.raises(DataError, match=r"cannot be read from .*no route to host"):
            open_images(name, data_root=tmp_path, download=True)


def test_unknown_names_and_splits():
    with pytest.raises(
        DataError,
        match=r"data='imagenet': is neither a folder nor a known name; .*digits, photos, mnist, fashion-mnist, cal",
    ):
        open_images("imagenet")
    with pytest.raises(ValueError, match="split='valid': is not a part of a data set; choose train or test"):
        open_images("digits", split="valid")


def test_every_crop_is_a_piece_of_its_own_picture():
    batch = torch.arange(3 * 2 * 9 * 11.0).reshape(3, 2, 9, 11)
    crops = random_crops(batch, (4, 6), generator=seeded())
    assert crops.shape == (3, 2, 4, 6)
    for picture, crop in zip(batch, crops, strict=True):
        top, left = divmod(int((picture[0] == crop[0, 0, 0]).flatten().nonzero()), 11)
        assert torch.equal(crop, picture[:, top : top + 4, left : left + 6])


def test_crops_fall_everywhere_equally_often():
    """12,000 crops at 3 x 4 positions: chi-squared with 11 degrees of freedom, beyond 37.4 once in 10,000."""
    batch = torch.arange(5 * 7.0).reshape(1, 1, 5, 7).expand(12000, 1, 5, 7)
    corners = random_crops(batch, (3, 4), generator=seeded(1))[:, 0, 0, 0].long()
    counts = corners.bincount(minlength=35).reshape(5, 7)
    assert counts[:3, :4].sum() == 12000
    assert ((counts[:3, :4] - 1000) ** 2 / 1000).sum() < 37.4


def test_crops_of_pictures_of_several_sizes():
    sizes = [(8, 8), (9, 30), (40, 8)]
    crops = random_crops([torch.rand(3, *size, generator=seeded()) for size in sizes], 8, generator=seeded())
    assert crops.shape == (3, 3, 8, 8)


def test_crops_come_from_the_generator_alone():
    batch = torch.rand(20, 1, 30, 30, generator=seeded())
    first, same = (random_crops(batch, 5, generator=seeded(3)) for _ in range(2))
    generator = seeded(3)
    random_crops(batch, 5, generator=generator)
    assert torch.equal(first, same)
    assert not torch.equal(first, random_crops(batch, 5, generator=generator))


def test_crops_that_do_not_fit():
    batch = [torch.zeros(1, 20, 20), torch.zeros(1, 20, 8)]
    with pytest.raises(
        DataError, match=r"size=10x10: the crop does not fit picture 1 of the batch, which is 20x8; .*Resize"
    ):
        random_crops(batch, 10, generator=seeded())
    assert random_crops(batch, (20, 8), generator=seeded()).shape == (2, 1, 20, 8)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_check_images_names_the_picture(value):
    batch = torch.rand(5, 2, 3, 3, generator=seeded())
    assert check_images(batch, "images") is batch
    batch[3, 1, 2, 0] = value
    with pytest.raises(DataError, match=rf"images: picture 3 of the batch holds {value}, .*repair it or leave"):
        check_images(batch, "images")


def test_importing_needs_torch_and_numpy_only():
    banned = "{'sklearn', 'torchvision', 'PIL', 'scipy', 'matplotlib'}"
    code = f"import sys, convdbn.images; print(sorted({banned} & set(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
