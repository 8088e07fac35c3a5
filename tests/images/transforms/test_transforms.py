import json
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from convdbn.errors import DataError
from convdbn.images import (
    TRANSFORMS,
    ZCA,
    Binarize,
    Gray,
    LocalContrast,
    Pad,
    PatchWhiten,
    Pipeline,
    Resize,
    Whiten,
    build_transform,
    open_images,
)


def noise(*shape, seed=0, dtype=torch.float32):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def photos():
    return open_images("photos")[[0, 1]]


EVERY = [
    {"kind": "gray"},
    {"kind": "resize", "size": 5},
    {"kind": "resize", "size": [4, 9]},
    {"kind": "pad", "size": 2, "mode": "constant"},
    {"kind": "pad", "size": 3, "mode": "reflect"},
    {"kind": "whiten", "cutoff": 0.3, "order": 2},
    {"kind": "local_contrast", "size": 5, "epsilon": 0.2},
    {"kind": "patch_whiten", "size": 3, "epsilon": 0.2},
    {"kind": "zca", "epsilon": 0.05},
    {"kind": "binarize", "threshold": 0.3},
    {"kind": "invert"},
    {"kind": "raw"},
]


def test_every_transform_is_in_the_list_of_laws():
    assert {spec["kind"] for spec in EVERY} == set(TRANSFORMS)


@pytest.mark.parametrize("spec", EVERY, ids=lambda spec: spec["kind"])
class TestLaws:
    def test_spec_and_state_dict_make_the_same_transform_again(self, spec):
        x = noise(12, 3, 7, 8)
        pipeline = build_transform([spec])
        pipeline.fit([x[:5], x[5:]])
        again = build_transform(json.loads(json.dumps(pipeline.spec())))
        again.load_state_dict(pipeline.state_dict())
        assert type(again[0]) is TRANSFORMS[spec["kind"]]
        assert again.spec() == pipeline.spec() == [spec]
        assert torch.equal(again(x), pipeline(x))

    def test_a_picture_gives_the_same_in_any_batch(self, spec):
        x = noise(12, 3, 7, 8)
        x[4] *= 1e-3
        x[5] = 0.7
        pipeline = build_transform([spec])
        pipeline.fit([x])
        together = pipeline(x)
        for i in range(12):
            torch.testing.assert_close(pipeline(x[i : i + 1])[0], together[i], rtol=1e-5, atol=1e-5)

    def test_dtype_is_kept_and_input_left_alone(self, spec):
        for dtype in (torch.float32, torch.float64):
            x = noise(4, 3, 7, 8, dtype=dtype)
            before = x.clone()
            pipeline = build_transform([spec])
            pipeline.fit([x])
            out = pipeline(x)
            assert out.dtype == dtype and out.isfinite().all()
            assert torch.equal(x, before)


def test_gray_is_luma_and_leaves_gray_as_it_is():
    x = noise(3, 3, 4, 5)
    expected = 0.299 * x[:, 0] + 0.587 * x[:, 1] + 0.114 * x[:, 2]
    torch.testing.assert_close(Gray()(x)[:, 0], expected)
    single = x[:, :1]
    assert torch.equal(Gray()(single), single)
    assert torch.equal(Gray()(single.expand(3, 3, 4, 5)), single)
    with pytest.raises(DataError, match="channels=4: cannot become gray; give pictures of 1 or 3"):
        Gray()(noise(1, 4, 5, 5))


@pytest.mark.parametrize("shape", [(30, 47), (47, 30), (9, 9), (8, 31), (16, 16)])
def test_resize_to_a_central_square(shape):
    """On a ramp the middle of the square shows the middle of the picture, and a step is one scale long."""
    h, w = shape
    down, right = torch.meshgrid(torch.arange(h) / h, torch.arange(w) / w, indexing="ij")
    out = Resize(16)(torch.stack([down, right])[None])
    assert out.shape == (1, 2, 16, 16)
    middle = torch.tensor([(h - 1) / 2 / h, (w - 1) / 2 / w])
    assert (out[0, :, 7:9, 7:9].mean((1, 2)) - middle).abs().max() < 0.51 / min(round(h * 16 / min(h, w)), 16)
    step = torch.stack([out[0, 0, 8, 8] - out[0, 0, 7, 8], out[0, 1, 8, 8] - out[0, 1, 8, 7]])
    expected = torch.tensor([1 / round(side * 16 / min(h, w)) for side in (h, w)])
    torch.testing.assert_close(step, expected, rtol=0.05, atol=0)


def test_resize_to_an_exact_size_smooths_and_stays_in_range():
    assert Resize([7, 12])(noise(2, 3, 30, 20)).shape == (2, 3, 7, 12)
    board = (torch.arange(40)[:, None] + torch.arange(40)) % 2
    assert (Resize([8, 8])(board[None, None].float()) - 0.5).abs().max() < 0.1
    ones = torch.ones(2, 1, 37, 53)
    assert torch.equal(Resize([20, 20])(ones), torch.ones(2, 1, 20, 20))
    x = noise(5, 1, 8, 8)
    assert torch.equal(Resize(8)(x), x)


def test_pad():
    x = noise(2, 1, 4, 5)
    out = Pad(2)(x)
    assert out.shape == (2, 1, 8, 9)
    assert torch.equal(out[..., 2:-2, 2:-2], x) and (out != 0).sum() == 40
    out = Pad(3, mode="reflect")(x)
    assert torch.equal(out[..., 3:-3, 3:-3], x)
    assert torch.equal(out[..., 3:-3, 0], x[..., 3])
    with pytest.raises(DataError, match="size=4: a 4x5 picture mirrors at most 3 pixels; pad less"):
        Pad(4, mode="reflect")(x)


def power(pictures, edges):
    """The mean power of the middle of each picture in rings of frequency, `(B, len(edges) - 1)`."""
    h, w = pictures.shape[-2:]
    window = torch.hann_window(h)[:, None] * torch.hann_window(w)
    spectrum = torch.fft.fft2((pictures[:, 0] - pictures.mean((1, 2, 3))[:, None, None]) * window).abs() ** 2
    f = torch.hypot(torch.fft.fftfreq(h)[:, None], torch.fft.fftfreq(w))
    rings = [(f >= low) & (f < high) for low, high in pairwise(edges)]
    return torch.stack([spectrum[:, ring].mean(1) for ring in rings], 1)


def test_whitening_flattens_the_spectrum_of_photographs():
    """From .02 to .2 cycles a pixel the photographs' power falls by 40 and more; whitened, by 2.5 at most."""
    edges = torch.linspace(0.02, 0.2, 10).tolist()
    x = photos()
    before, after = power(x, edges), power(Whiten()(x), edges)
    assert (before.amax(1) / before.amin(1) > 40).all()
    assert (after.amax(1) / after.amin(1) < 2.5).all()


def test_whitening_multiplies_by_the_papers_filter():
    """A mirrored picture is made of cosines with a whole number of half periods from edge to edge."""
    h, w, cutoff, order = 33, 47, 0.3, 3
    down, right = torch.arange(h, dtype=torch.float64), torch.arange(w, dtype=torch.float64)
    waves, gains = [], []
    for m, n in ((0, 3), (5, 0), (9, 14), (20, 2)):
        waves.append((torch.pi * m * down / (h - 1)).cos()[:, None] * (torch.pi * n * right / (w - 1)).cos())
        f = ((m / (2 * (h - 1))) ** 2 + (n / (2 * (w - 1))) ** 2) ** 0.5
        gains.append(f * 2.718281828459045 ** (-((f / cutoff) ** order)))
    x = 0.4 + sum(waves)
    expected = sum(gain * wave for gain, wave in zip(gains, waves, strict=True))
    out = Whiten(cutoff, order)(x[None, None])[0, 0]
    # The mean is that over pixels; a constant makes no difference to what is whitened.
    torch.testing.assert_close(out, expected / expected.std(correction=0), rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("shape", [(1, 40, 40), (3, 41, 64), (2, 7, 30), (1, 2, 9), (1, 1, 6)])
def test_whitened_pictures_have_variance_one_at_any_size(shape):
    out = Whiten()(noise(4, *shape) * torch.tensor([1, 0.1, 1e-3, 7]).view(4, 1, 1, 1))
    assert out.shape == (4, *shape)
    torch.testing.assert_close(out.var((1, 2, 3), correction=0), torch.ones(4), rtol=1e-4, atol=0)


@pytest.mark.parametrize("value", [0.0, 0.1, 0.3, 1.0])
def test_constant_pictures_become_zero(value):
    x = torch.full((2, 1, 61, 43), value)
    x[1] = noise(1, 61, 43)
    out = Whiten()(x)
    assert (out[0] == 0).all()
    assert out[1].std() > 0.9
    rounded = Resize([50, 50])(Gray()(torch.tensor([0.1, 0.5, 0.3]).view(1, 3, 1, 1).expand(1, 3, 99, 99)))
    assert (Whiten()(rounded) == 0).all()
    torch.testing.assert_close(LocalContrast()(x)[0], torch.zeros(1, 61, 43), rtol=0, atol=1e-5)


def test_whitening_makes_no_edges():
    """Around the photographs the outermost pixels have at most twice the power of those ten further in.

    Without mirroring they have twelve times that (measured).
    """

    def frame(values, i):
        return torch.stack([values[i].mean(), values[-1 - i].mean(), values[:, i].mean(), values[:, -1 - i].mean()])

    x = photos()
    power = Whiten()(x).square().mean((0, 1))
    assert frame(power, 0).mean() < 2 * frame(power, 10).mean()
    torch.testing.assert_close(Whiten()(x.flip(-1)).flip(-1), Whiten()(x), rtol=0, atol=1e-3)


def test_local_contrast_takes_away_local_mean_and_contrast():
    """Over the windows that show more than noise, contrast spans a factor of 2.5 at most, where it was 6."""
    x = photos()
    out = LocalContrast(9, 0.01)(x)

    def local(values):
        return torch.nn.functional.avg_pool2d(values, 9, stride=1)

    def contrast(values):
        return (local(values.square()) - local(values).square()).clamp(min=0).sqrt()

    assert (local(x).square().mean((1, 2, 3)).sqrt() > x.std((1, 2, 3))).all()
    assert (local(out).square().mean((1, 2, 3)).sqrt() < 0.35 * out.std((1, 2, 3))).all()
    shown = contrast(x) > 0.03
    low, _, high = contrast(x)[shown].quantile(torch.tensor([0.05, 0.5, 0.95]))
    assert high > 6 * low
    low, middle, high = contrast(out)[shown].quantile(torch.tensor([0.05, 0.5, 0.95]))
    assert high < 2.5 * low and 0.8 < middle < 1


def test_local_contrast_by_hand_at_corner_and_center():
    x = noise(1, 2, 6, 7, dtype=torch.float64)
    out = LocalContrast(3, 0.2)(x)

    def mean(values, i, j):
        return values[:, :, max(i - 1, 0) : i + 2, max(j - 1, 0) : j + 2].mean()

    centered = torch.empty_like(x)
    for i in range(6):
        for j in range(7):
            centered[:, :, i, j] = x[:, :, i, j] - mean(x, i, j)
    for i, j in ((0, 0), (5, 6), (0, 3), (2, 3)):
        expected = centered[:, :, i, j] / (mean(centered**2, i, j).sqrt() + 0.2)
        torch.testing.assert_close(out[:, :, i, j], expected)


def test_local_contrast_of_pictures_smaller_than_the_window():
    out = LocalContrast(9)(noise(2, 1, 3, 4))
    assert out.shape == (2, 1, 3, 4) and out.isfinite().all()


def test_zca_makes_the_covariance_the_identity():
    mixing = noise(12, 12, seed=1, dtype=torch.float64)
    x = (noise(4000, 12, dtype=torch.float64) @ mixing + 3).reshape(4000, 3, 2, 2)
    zca = ZCA(1e-9)
    zca.fit(x.split(300))
    y = zca(x)
    assert y.shape == x.shape
    flat = y.flatten(1)
    torch.testing.assert_close(flat.mean(0), torch.zeros(12).double(), rtol=0, atol=1e-9)
    torch.testing.assert_close(flat.T @ flat / 4000, torch.eye(12).double(), rtol=0, atol=1e-4)
    assert torch.equal(zca.matrix, zca.matrix.T) or (zca.matrix - zca.matrix.T).abs().max() < 1e-9
    assert (torch.linalg.eigvalsh(zca.matrix) > 0).all()


def test_zca_shrinks_by_epsilon_and_stands_values_that_never_change():
    x = open_images("digits")[range(1437)]
    variances, axes = torch.linalg.eigh(x.flatten(1).double().T.cov(correction=0))
    zca = ZCA(0.01)
    zca.fit(x.split(100))
    y = zca(x).flatten(1).double() @ axes
    torch.testing.assert_close(y.var(0, correction=0), variances / (variances + 0.01), rtol=1e-3, atol=1e-6)


def test_zca_needs_fitting_and_the_same_size():
    with pytest.raises(RuntimeError, match=r"zca: is not fitted; call fit\(batches\) .* or load a state dict"):
        ZCA()(noise(2, 1, 4, 4))
    zca = ZCA()
    zca.fit([noise(9, 1, 4, 4)])
    with pytest.raises(DataError, match=r"images=float32\(2, 1, 5, 4\): have 20 values each, but ZCA .* 16; resize"):
        zca(noise(2, 1, 5, 4))
    with pytest.raises(DataError, match="batches: hold no pictures; pass a list"):
        ZCA().fit([])
    broken = noise(3, 1, 4, 4)
    broken[1, 0, 2, 2] = float("nan")
    with pytest.raises(DataError, match="batches: picture 1 of the batch holds nan"):
        ZCA().fit([broken])


def test_zca_stays_on_its_device():
    zca = ZCA().to("meta")
    zca.fit([noise(9, 1, 4, 4, dtype=torch.float64)])
    assert zca.mean.device.type == zca.matrix.device.type == "meta"
    assert zca.mean.dtype == zca.matrix.dtype == torch.float64


def test_zca_takes_the_size_of_what_it_loads():
    zca = ZCA()
    zca.fit([noise(9, 1, 4, 4)])
    other = ZCA()
    other.fit([noise(9, 2, 3, 3)])
    other.load_state_dict(zca.state_dict())
    x = noise(2, 1, 4, 4, seed=5)
    assert torch.equal(other(x), zca(x))
    with pytest.raises(RuntimeError, match="Missing key"):
        ZCA().load_state_dict({})


def test_binarize():
    out = Binarize()(torch.tensor([[0.0, 0.5, 0.500001, 1.0]]))
    assert out.tolist() == [[0, 0, 1, 1]]


def test_a_pipeline_of_nothing_is_the_identity():
    pipeline = build_transform([])
    x = noise(2, 1, 3, 3)
    pipeline.fit([x])
    assert isinstance(pipeline, Pipeline) and pipeline.spec() == []
    assert pipeline(x) is x


def test_a_pipeline_fits_each_on_what_comes_out_before_it():
    x = noise(50, 3, 9, 8)
    pipeline = build_transform([{"kind": "gray"}, {"kind": "zca"}, {"kind": "resize", "size": 4}, {"kind": "zca"}])
    pipeline.fit(x.split(20))
    gray, first, resize, second = pipeline
    alone = ZCA()
    alone.fit([gray(x)])
    torch.testing.assert_close(first.matrix, alone.matrix)
    alone.fit([resize(first(gray(x)))])
    torch.testing.assert_close(second.matrix, alone.matrix)
    torch.testing.assert_close(pipeline(x), second(resize(first(gray(x)))))
    with pytest.raises(DataError, match="an iterator is empty after one pass"):
        pipeline.fit(iter(x.split(20)))


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"kind": "blur"}, "kind='blur': is not a transform; choose from gray, resize, pad, whiten"),
        ({"size": 3}, "kind=None: is not a transform"),
        ({"kind": "pad", "sise": 3}, "pad={'sise': 3}: .*unexpected keyword argument 'sise'; .*size: int, mode: str"),
        ({"kind": "gray", "size": 3}, r"gray={'size': 3}: .*'size'; the arguments are \(\)"),
        ({"kind": "resize"}, "resize={}: .*missing .* 'size'; the arguments are"),
        ({"kind": "whiten", "cutoff": "high"}, "whiten={'cutoff': 'high'}"),
        ({"kind": "whiten", "cutoff": 0}, "cutoff=0: must be positive, in cycles per pixel"),
        ({"kind": "whiten", "order": -1}, "order=-1: must be positive"),
        ({"kind": "local_contrast", "size": 4}, "size=4: must be odd, so that"),
        ({"kind": "local_contrast", "epsilon": 0}, "epsilon=0: must be positive"),
        ({"kind": "zca", "epsilon": -1}, "epsilon=-1: must be positive, in units of variance"),
        ({"kind": "pad", "size": -1}, "size=-1: must be a number of pixels, at least 0"),
        ({"kind": "pad", "size": 1, "mode": "wrap"}, "mode='wrap': must be 'constant' or 'reflect'"),
        ({"kind": "resize", "size": 0}, r"size=0: must be a side or \[height, width\]"),
        ({"kind": "resize", "size": [3]}, r"size=\[3\]: must be a side or \[height, width\]"),
    ],
)
def test_what_cannot_be_built_is_named(spec, message):
    with pytest.raises(ValueError, match=message):
        build_transform([{"kind": "binarize"}, spec])


class TestPatchWhiten:
    def test_each_pixel_is_the_middle_of_its_whitened_patch(self):
        """Against numpy: the covariance of patches at every second place, and the patch of one pixel through it."""
        x = noise(40, 2, 9, 9, dtype=torch.float64)
        x = x + x.roll(1, 3)
        whiten = PatchWhiten(size=3, epsilon=0.05).double()
        whiten.fit([x[:25], x[25:]])
        places = [(top, left) for top in range(0, 7, 1) for left in range(0, 7, 1)]
        patches = np.stack([x[:, :, t : t + 3, r : r + 3].flatten(1).numpy() for t, r in places], 1).reshape(-1, 18)
        values, vectors = np.linalg.eigh(np.cov(patches.T, bias=True))
        whitened = patches @ (vectors / np.sqrt(values + 0.05) @ vectors.T)
        out = whiten(x)[:, :, 1:-1, 1:-1]
        for channel in (0, 1):
            expected = whitened[:, 9 * channel + 4].reshape(40, 7, 7)
            torch.testing.assert_close(out[:, channel], torch.from_numpy(expected))

    def test_neighbors_in_photographs_become_uncorrelated(self):
        def correlation(x):
            left, right = x[..., 8:-9, 8:-9].flatten(), x[..., 8:-9, 9:-8].flatten()
            return float(torch.corrcoef(torch.stack([left, right]))[0, 1])

        x = LocalContrast()(photos())
        whiten = PatchWhiten(epsilon=0.001)
        whiten.fit([x])
        assert correlation(x) > 0.4
        assert abs(correlation(whiten(x))) < 0.1

    def test_it_is_a_convolution_and_keeps_the_size(self):
        whiten = PatchWhiten(size=5)
        whiten.fit([noise(10, 3, 8, 8)])
        for x in (noise(2, 3, 7, 11), noise(1, 3, 1, 1)):
            expected = F.conv2d(F.pad(x, [2] * 4, mode="replicate"), whiten.kernel)
            assert torch.equal(whiten(x), expected) and expected.shape == x.shape

    def test_what_is_refused(self):
        whiten = PatchWhiten(size=5)
        with pytest.raises(RuntimeError, match=r"not fitted: call fit"):
            whiten(noise(1, 1, 8, 8))
        with pytest.raises(DataError, match=r"size=5: pictures of 4x8 hold no such patch; take a smaller size"):
            whiten.fit([noise(2, 1, 4, 8)])
        with pytest.raises(DataError, match="no pictures to fit on"):
            whiten.fit([])
        whiten.fit([noise(2, 1, 8, 8)])
        with pytest.raises(DataError, match=r"3 channel\(s\), but PatchWhiten was fitted on 1"):
            whiten(noise(1, 3, 8, 8))
        for arguments, message in (({"size": 4}, "odd"), ({"epsilon": 0}, "positive")):
            with pytest.raises(ValueError, match=message):
                PatchWhiten(**arguments)
