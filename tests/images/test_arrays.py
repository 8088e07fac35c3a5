"""Arrays become pictures: layouts, kinds of numbers, ranges, memory."""

import subprocess
import sys
import warnings
from fractions import Fraction

import numpy as np
import pytest
import torch

from convdbn.errors import DataError, UsageError
from convdbn.images import ArrayImages, as_images

BYTES = np.random.default_rng(0).integers(0, 256, (5, 3, 8, 9), dtype=np.uint8)


def layouts(array=BYTES):
    """One set of color pictures in every shape that says where the channels are."""
    return {"channels first": array, "channels last": np.moveaxis(array, 1, -1), "tensor": torch.from_numpy(array)}


@pytest.mark.parametrize("layout", layouts())
def test_the_same_pixels_in_every_layout(layout):
    images = as_images(layouts()[layout])
    expected = torch.from_numpy(BYTES).float() / 255
    assert len(images) == 5 and images.channels == 3 and not images.changing
    batch = images[[4, 0]]
    assert torch.equal(batch, expected[[4, 0]]) and batch.is_contiguous()


def test_gray_pictures_need_no_channels():
    gray = BYTES[:, 0]
    expected = ArrayImages(gray[:, None])[range(5)]
    for array in (gray, gray[:, None], gray[..., None], torch.from_numpy(gray)):
        assert torch.equal(as_images(array)[range(5)], expected)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((28, 28), r"data=float64\(28, 28\): is one picture or rows of pixels; write data\[None\]"),
        ((28, 28, 3), r"data=float64\(28, 28, 3\): may be one color picture; write data\[None\]"),
        ((2, 3, 28, 3), r"the second axis and the last may both be an axis of 1 to 4 channels; give ArrayImages"),
        ((2, 16, 28, 28), r"neither the second axis nor the last is an axis of 1 to 4 channels; give ArrayImages"),
        ((2, 2, 3, 8, 8), r"data=float64\(2, 2, 3, 8, 8\): is not \(N, h, w\)"),
        ((), r"data=float64\(\): is not"),
        ((0, 28, 28), r"data=float64\(0, 28, 28\): holds no pictures"),
        ((2, 0, 28), r"data=float64\(2, 0, 28\): holds no pictures"),
    ],
)
def test_shapes_that_are_not_clear(shape, message):
    with pytest.raises(DataError, match=message):
        as_images(np.zeros(shape))


@pytest.mark.parametrize(("dtype", "white"), [(np.uint8, 255), (np.uint16, 65535), (np.bool_, 1)])
def test_kinds_of_numbers_that_have_a_white(dtype, white):
    values = np.arange(0, white + 1, max(1, white // 200)).astype(dtype)
    pixels = np.resize(values, (2, 10, 12))
    exact = [np.float32(float(Fraction(int(value), white))) for value in pixels.flatten()]
    assert as_images(pixels)[range(2)].flatten().tolist() == exact


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.longdouble, ">f4", ">f8"])
def test_floats_are_taken_as_they_are(dtype):
    pixels = np.random.default_rng(1).random((3, 7, 8)).astype(dtype)
    assert np.array_equal(as_images(pixels)[range(3)][:, 0].numpy(), pixels.astype(np.float32))


def test_arrays_that_torch_does_not_take():
    assert torch.equal(as_images(BYTES[:, :, ::-1])[range(5)], as_images(BYTES)[range(5)].flip(2))
    swapped = BYTES.astype(">u2")
    assert torch.equal(as_images(swapped)[range(5)], as_images(BYTES.astype(np.uint16))[range(5)])


def test_another_range():
    expected = as_images(BYTES)[range(5)]
    for array in (BYTES, BYTES.astype(np.int32), BYTES.astype(np.int64), BYTES.astype(np.float64)):
        assert torch.equal(as_images(array, value_range=(0, 255))[range(5)], expected)
    centered = as_images(BYTES.astype(np.float32) / 127.5 - 1, value_range=(-1, 1))[range(5)]
    torch.testing.assert_close(centered, expected, rtol=0, atol=1e-6)
    least = np.full((1, 6, 6), 0.1, np.float32)
    assert as_images(least, value_range=(-0.3, 0.1))[[0]].max() <= 1


def test_raw_values_are_kept():
    scores = np.random.default_rng(2).standard_normal((4, 6, 6)).astype(np.float32) * 3
    assert np.array_equal(as_images(scores, value_range="raw")[range(4)][:, 0].numpy(), scores)
    scores[2, 3, 1] = np.nan
    with pytest.raises(
        DataError, match=r"data=float32\(4, 1, 6, 6\): picture 2 holds nan, which is not a finite number"
    ):
        as_images(scores, value_range="raw")


def test_values_outside_their_range():
    with pytest.raises(
        DataError, match=r"picture 0 holds 255, but .* value_range=\(0, 255\), or value_range=\"raw\""
    ):
        as_images(np.full((2, 6, 6), 255.0))
    with pytest.raises(DataError, match=r"picture 1 holds -2, which is not in value_range=\(-1.0, 1.0\)"):
        as_images(np.stack([np.zeros((6, 6)), np.full((6, 6), -2.0)]), value_range=(-1, 1))
    with pytest.raises(
        DataError,
        match=r"data=int64\(2, 1, 6, 6\): integers of this type have no fixed white; .*value_range=\(0, 255\)",
    ):
        as_images(np.zeros((2, 6, 6), np.int64))


@pytest.mark.parametrize("value_range", [(1, 0), (0,), (0, float("nan")), "white", 255, ("a", "b")])
def test_wrong_ranges(value_range):
    with pytest.raises(UsageError, match=r"value_range=.*: is not \(low, high\), two numbers with low < high"):
        as_images(BYTES, value_range=value_range)


@pytest.mark.parametrize(
    "array",
    [np.zeros((2, 6, 6), complex), np.full((2, 6, 6), "a"), np.zeros((2, 6, 6), "M8[s]"), torch.zeros(2, 6, 6) + 1j],
)
def test_arrays_of_other_things(array):
    with pytest.raises(DataError, match=r"data=.*: (holds no real numbers|is not a dense tensor of real numbers)"):
        as_images(array)


def test_nothing_is_copied():
    for pixels in (BYTES, BYTES.astype(np.uint16), BYTES.astype(np.float64) / 255):
        assert as_images(pixels).pixels.data_ptr() == pixels.ctypes.data
        assert as_images(np.moveaxis(pixels, 1, -1)).pixels.data_ptr() == pixels.ctypes.data
    tensor = torch.rand(3, 1, 6, 6, requires_grad=True)
    images = as_images(tensor)
    assert images.pixels.data_ptr() == tensor.data_ptr() and not images[[0]].requires_grad


def test_a_file_is_read_where_it_lies(tmp_path):
    np.save(tmp_path / "pictures.npy", BYTES)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        images = as_images(tmp_path / "pictures.npy", labels=[0, 1, 0, 1, 2])
    assert images.name == "pictures" and images.classes == ["0", "1", "2"]
    assert torch.equal(images[[3]], as_images(BYTES)[[3]])
    (tmp_path / "broken.npy").write_bytes(b"no array")
    for name in ("broken.npy", "missing.npy"):
        with pytest.raises(DataError, match=rf"data='.*{name}': cannot be read as an array"):
            as_images(str(tmp_path / name))


MEASURED = """
import re, sys
import numpy as np
from convdbn.images import as_images

def memory():
    return int(re.search(r"RssAnon:\\s+(\\d+) kB", open("/proc/self/status").read())[1]) / 1024

dtype, rows, path = sys.argv[1], int(sys.argv[2]), sys.argv[3]
pixels = np.memmap(path, dtype, "w+", shape=(rows, 32, 32, 3))
as_images(pixels[:10])[[1]]
before = memory()
images = as_images(pixels)
for start in range(0, rows, max(1, rows // 20)):
    images[range(start, min(start + 100, rows))]
print(memory() - before)
"""


def memory_of_mapped(tmp_path, dtype, size):
    """Private memory, in MiB, that a sparse mapped file of so many MiB costs."""
    rows = size * 2**20 // (32 * 32 * 3 * np.dtype(dtype).itemsize)
    command = [sys.executable, "-c", MEASURED, dtype, str(rows), str(tmp_path / "sparse")]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_a_mapped_file_costs_little_memory(tmp_path, dtype):
    # Values are checked in parts of 16 MiB, of which the allocator may keep one for each thread.
    assert memory_of_mapped(tmp_path, dtype, 400) < 100


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_a_mapped_file_of_4_gigabytes(tmp_path, dtype):
    assert memory_of_mapped(tmp_path, dtype, 4096) < 300
