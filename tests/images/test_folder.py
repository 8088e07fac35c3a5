from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from convdbn.errors import DataError
from convdbn.images import ArrayImages, FolderImages, open_images

RAMP = np.arange(6 * 9, dtype=np.uint8).reshape(6, 9)
COLOR = np.stack([RAMP, RAMP[::-1], 2 * RAMP], axis=-1)


def save(path, array=RAMP, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path, **options)


def test_pictures_of_all_kinds_in_the_order_of_their_paths(tmp_path):
    names = ["a.png", "b.BMP", "c.Jpg", "d/e.jpeg", "d/f/g.gif", "h.tif", "i.tiff", "j.webp"]
    for name in names:
        save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / "folder.png").mkdir()
    images = FolderImages(tmp_path)
    assert images.paths == sorted(tmp_path / name for name in names)
    assert images.name == tmp_path.name
    assert images.labels is None and images.classes == []
    lossless = [i for i, path in enumerate(images.paths) if path.suffix in (".png", ".BMP", ".gif", ".tif", ".tiff")]
    assert len(lossless) == 5
    for picture in images[lossless]:
        assert torch.equal(picture, torch.from_numpy(RAMP)[None].float() / 255)
    for picture in images[range(8)]:
        assert (picture - torch.from_numpy(RAMP)[None] / 255).abs().max() < 0.05


def test_sizes_may_differ(tmp_path):
    save(tmp_path / "a.png")
    save(tmp_path / "b.png", RAMP.T.copy())
    batch = FolderImages(str(tmp_path))[[1, 0]]
    assert [tuple(picture.shape) for picture in batch] == [(1, 9, 6), (1, 6, 9)]


def test_gray_and_color(tmp_path):
    save(tmp_path / "a.png", COLOR)
    save(tmp_path / "b.png", RAMP)
    color, from_gray = FolderImages(tmp_path, gray=False)[[0, 1]]
    assert torch.equal(color, torch.from_numpy(COLOR).permute(2, 0, 1) / 255)
    assert color.is_contiguous()
    assert torch.equal(from_gray, torch.from_numpy(RAMP).expand(3, 6, 9) / 255)
    (gray,) = FolderImages(tmp_path)[[0]]
    luma = COLOR @ np.array([0.299, 0.587, 0.114])
    assert np.abs(gray[0].numpy() * 255 - luma).max() <= 1


def test_turned_pictures_are_set_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: rotate by 90 degrees clockwise to see it upright
    save(tmp_path / "a.png", exif=exif)
    (picture,) = FolderImages(tmp_path)[[0]]
    assert torch.equal(picture[0], torch.from_numpy(np.rot90(RAMP, -1).copy()) / 255)


def test_sixteen_bits_are_scaled_and_not_cut_off(tmp_path):
    save(tmp_path / "a.png", RAMP.astype(np.uint16) * 257)
    (picture,) = FolderImages(tmp_path)[[0]]
    assert torch.equal(picture[0], torch.from_numpy(RAMP) / 255)


def test_sub_folders_are_classes(tmp_path):
    for name in ("cat/1.png", "cat/deep/2.png", "ant/3.png", "dog/4.png"):
        save(tmp_path / name)
    images = FolderImages(tmp_path)
    assert images.classes == ["ant", "cat", "dog"]
    assert images.labels.tolist() == [0, 1, 1, 2] and images.labels.dtype == torch.int64
    without = FolderImages(tmp_path, skip=["cat"])
    assert without.classes == ["ant", "dog"] and without.labels.tolist() == [0, 1]
    assert [path.name for path in without.paths] == ["3.png", "4.png"]


@pytest.mark.parametrize("names", [["cat/1.png", "cat/2.png"], ["cat/1.png", "ant/2.png", "3.png"]])
def test_no_labels_with_one_sub_folder_or_pictures_beside_them(tmp_path, names):
    for name in names:
        save(tmp_path / name)
    images = FolderImages(tmp_path)
    assert images.labels is None and images.classes == []


@pytest.mark.parametrize(
    "name", ["broken.png", "broken.jpg", "broken.bmp", "broken.tif", "broken.webp", "broken.gif"]
)
@pytest.mark.parametrize("kept", [0.0, 0.1, 0.6])
def test_a_picture_that_is_cut_short_is_named_when_it_is_read(tmp_path, name, kept):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)
    save(tmp_path / "whole.png", noise)
    save(tmp_path / name, noise)
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(whole[: int(kept * len(whole))])
    images = FolderImages(tmp_path)
    assert images[[1]][0].shape == (1, 64, 64)
    with pytest.raises(DataError, match=rf"{name}': cannot be read as a picture .*repair or remove the file"):
        images[[0]]


def test_a_text_called_a_picture_and_a_picture_without_a_white(tmp_path):
    (tmp_path / "a.png").write_text("no picture")
    save(tmp_path / "b.tif", np.linspace(0, 1, 54, dtype=np.float32).reshape(6, 9))
    with pytest.raises(DataError, match=r"a\.png': cannot be read as a picture"):
        FolderImages(tmp_path)[[0]]
    with pytest.raises(DataError, match=r"b\.tif': cannot .*mode='F': has no fixed white; save the picture with 8"):
        FolderImages(tmp_path)[[1]]


def test_folders_without_pictures(tmp_path):
    (tmp_path / "notes.txt").write_text("no picture")
    with pytest.raises(DataError, match=rf"folder='{tmp_path}': has no pictures; give files that end in .jpg"):
        FolderImages(tmp_path)
    for missing in (tmp_path / "nowhere", tmp_path / "notes.txt"):
        with pytest.raises(DataError, match=f"folder='{missing}': does not exist or is not a folder; give a folder"):
            FolderImages(missing)


def test_open_images_takes_any_folder(tmp_path):
    save(tmp_path / "digits" / "a.png", COLOR)
    images = open_images(tmp_path / "digits", gray=False, split="test")
    assert isinstance(images, FolderImages)
    assert images[[0]][0].shape == (3, 6, 9)


def test_a_picture_is_called_by_its_file(tmp_path):
    for name in ("b/2.png", "a/1.png"):
        (tmp_path / name).parent.mkdir()
        Image.new("L", (2, 2)).save(tmp_path / name)
    images = FolderImages(tmp_path)
    assert images.title(1) == str(Path("b", "2.png"))
    assert images.select([1, 0]).select([1]).title(0) == str(Path("a", "1.png"))
    assert ArrayImages(torch.zeros(3, 1, 2, 2)).select([2]).title(0) == "picture 2"
