"""The compiled kernels against the PyTorch code that they stand in for, and what happens where they are not built."""

import logging
from importlib.util import find_spec

import pytest
import torch
from scipy.stats import norm
from small import FALSE_ALARM, codes, generator, p_value
from torch.nn import functional as F

from convdbn import ops
from convdbn.energy import Bernoulli, BlockSoftmax, Conv
from convdbn.energy.links import _by_convolution
from convdbn.ops import build, gpu

needs_kernels = pytest.mark.skipif(build.library() is None, reason="no C compiler here: the kernels are not built")
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here: its kernels are not run")
needs_interpreter = pytest.mark.skipif(
    find_spec("triton") is None or torch.cuda.is_available(), reason="no Triton, or a GPU for it (conftest.py)"
)

LAYERS = {
    "dense": (lambda: Bernoulli(7), (5, 7)),
    "dense, whole vectors": (lambda: Bernoulli(48), (3, 48)),
    "dense, many groups": (lambda: Bernoulli(500), (100, 500)),
    "maps": (lambda: Bernoulli(3), (4, 3, 5, 9)),
    "block 1": (lambda: BlockSoftmax(3, 1), (2, 3, 4, 5)),
    "block 2": (lambda: BlockSoftmax(3, 2), (4, 3, 6, 10)),
    "block 2, one block": (lambda: BlockSoftmax(1, 2), (1, 1, 2, 2)),
    "block 2, wide": (lambda: BlockSoftmax(2, 2), (2, 2, 4, 2050)),
    "block 2, many strips": (lambda: BlockSoftmax(5, 2), (50, 5, 20, 20)),
    "block 3": (lambda: BlockSoftmax(2, 3), (3, 2, 9, 33)),
    "block 5": (lambda: BlockSoftmax(2, 5), (3, 2, 10, 5)),
}


@pytest.fixture(
    params=[
        pytest.param("C", marks=needs_kernels),
        pytest.param("Triton, interpreted", marks=needs_interpreter),
        pytest.param("Triton", marks=needs_cuda),
    ]
)
def device(request, monkeypatch):
    """Where the kernels of each kind run; without a GPU those for one run on the CPU, by Triton's interpreter."""
    if request.param == "Triton, interpreted":
        monkeypatch.setattr(ops, "cpu", gpu)
        monkeypatch.setattr(gpu, "TILE", 2**14)  # the interpreter takes the programs one after the other
    return "cuda" if request.param == "Triton" else "cpu"


def layer(name, device="cpu"):
    make, shape = LAYERS[name]
    unit = make()
    torch.nn.init.normal_(unit.bias, generator=generator(1))
    return unit.to(device), 3 * torch.randn(shape, generator=generator(2)).to(device)


@pytest.fixture
def without_kernels(monkeypatch):
    return lambda: monkeypatch.setattr(ops, "enabled", False)


@pytest.mark.parametrize("name", LAYERS)
@torch.no_grad()
def test_means_are_those_of_the_reference(name, device, without_kernels):
    unit, field = layer(name, device)
    assert ops.usable(field)
    means = unit.mean(field), unit.mean_and_sample(field, generator=generator(device=device))[0]
    pooled = unit.pooling_mean(field)
    without_kernels()
    for mean in means:
        torch.testing.assert_close(mean, unit.mean(field), rtol=2e-6, atol=1e-7)
    torch.testing.assert_close(pooled, unit.pooling_mean(field), rtol=2e-6, atol=1e-7)


@pytest.mark.parametrize("name", LAYERS)
def test_draws_are_states_and_average_to_the_mean(name, device):
    unit, field = layer(name, device)
    times = 200_000 // field.numel() + 1
    many = field.repeat(times, *[1] * (field.ndim - 1))
    mean, drawn = unit.mean_and_sample(many, generator=generator(3, device))
    assert set(drawn.unique().tolist()) <= {0.0, 1.0}
    if isinstance(unit, BlockSoftmax):
        assert F.avg_pool2d(drawn, unit.pool, divisor_override=1).max() <= 1
    z = float((drawn - mean).double().sum() / (mean * (1 - mean)).double().sum().sqrt())
    # Members of a block are negatively correlated, so the true spread is at most this one.
    assert 2 * norm.sf(abs(z)) > FALSE_ALARM


@pytest.mark.parametrize("shift", [0.0, 0.1], ids=["right", "planted bug"])
@pytest.mark.parametrize("name", ["bernoulli", "block 2", "block 3"])
@torch.no_grad()
def test_the_joint_of_a_layer_is_exact_and_a_shifted_bias_is_caught(name, shift, device):
    """Every state of 2 or 4 neighboring blocks, or 6 units: dependence between lanes of a vector would show."""
    unit, shape = {
        "bernoulli": (Bernoulli(2), (2, 1, 3)),
        "block 2": (BlockSoftmax(2, 2), (2, 2, 4)),
        "block 3": (BlockSoftmax(1, 3), (1, 3, 6)),
    }[name]
    torch.nn.init.normal_(unit.bias, generator=generator(4))
    field = torch.randn(1, *shape, generator=generator(5))
    states = unit.states(shape)
    p = ((field * states).flatten(1).sum(1) - unit.energy(states)).double().softmax(0)
    unit.bias += shift
    many = field.repeat(40_000, *[1] * len(shape)).to(device)
    drawn = unit.to(device).sample(many, generator=generator(6, device)).cpu()
    caught = p_value(codes((drawn,)), codes((states,)), p) < FALSE_ALARM
    assert caught == bool(shift)


@pytest.mark.parametrize("lag", [1, 16, 500, 1024, 2048])
def test_draws_are_independent_across_lanes_rows_and_groups(lag, device):
    """Correlation of a long row of fair coins with itself, some places later: a z-score below 4.4 (1e-5)."""
    unit, field = Bernoulli(500).to(device), torch.zeros(4000, 500, device=device)
    coins = unit.sample(field, generator=generator(7, device)).flatten() - 0.5
    z = 4 * float(coins[:-lag] @ coins[lag:]) / (len(coins) - lag) ** 0.5
    assert abs(z) < 4.4


def test_draws_depend_on_the_seed_alone(device):
    unit, field = layer("block 2, many strips", device)
    source = generator(8, device)
    first, second = (unit.sample(field, generator=source) for _ in range(2))
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        assert torch.equal(first, unit.sample(field, generator=generator(8, device)))
    finally:
        torch.set_num_threads(threads)
    assert not torch.equal(first, second)


@pytest.mark.parametrize("name", ["dense", "block 2"])
@torch.no_grad()
def test_extreme_and_missing_values(name, device):
    unit, field = layer(name, device)
    for value, least, most in ((1e4, 0.2, 1.0), (-1e4, 0.0, 1e-30)):
        mean, pooled = unit.mean(torch.full_like(field, value)), unit.pooling_mean(torch.full_like(field, value))
        assert mean.min() >= least and mean.max() <= most
        assert pooled.min() >= least and pooled.max() <= max(most, 4 * 1e-30)
    field.view(-1)[0] = float("nan")
    assert unit.mean(field).isnan().any() and unit.pooling_mean(field).isnan().any()


@torch.no_grad()
def test_an_infinite_field_of_a_block_says_nothing_and_large_blocks_do_not_overflow(device):
    unit = BlockSoftmax(1, 2).to(device)
    assert unit.pooling_mean(torch.full((1, 1, 2, 2), float("inf"), device=device)).isnan().all()
    wide = BlockSoftmax(1, 96).to(device)
    assert (wide.pooling_mean(torch.full((1, 1, 96, 96), 100.0, device=device)) == 1).all()


@needs_kernels
@pytest.mark.parametrize(
    ("shape", "kernel"), [((2, 1, 28, 28), (9, 9)), ((3, 3, 7, 40), (3, 5)), ((1, 2, 4, 3), (4, 3))]
)
@torch.no_grad()
def test_down_pass_is_the_transposed_convolution(shape, kernel):
    link = Conv(shape[1], 4, kernel)
    torch.nn.init.normal_(link.weight, generator=generator(9))
    y = torch.randn(shape[0], *link.up_shape(shape[1:]), generator=generator(10))
    right = F.conv_transpose2d(y, link.weight)
    torch.testing.assert_close(link.down(y), right, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(_by_convolution(y, link.weight), right, rtol=1e-5, atol=1e-5)


def test_where_the_reference_runs(device):
    x = torch.zeros(2, 3, device=device)
    assert not ops.usable(x)  # gradients may be wanted
    with torch.no_grad():
        assert ops.usable(x)
        assert not ops.usable(x.double()) and not ops.usable(x[:0]) and not ops.usable(x.to("meta"))


@pytest.mark.parametrize("compiler", [None, "/bin/false", "/no/such/compiler"])
def test_without_a_compiler_one_line_says_so_and_the_reference_runs(compiler, monkeypatch, tmp_path, caplog):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CC", raising=False)
    if compiler is not None:
        monkeypatch.setenv("CC", compiler)
    unit, field = layer("block 2")
    build.library.cache_clear()
    try:
        with caplog.at_level(logging.WARNING):
            means = [unit.mean(field) for _ in range(2)] + [
                unit.sample(field, generator=generator()) for _ in range(2)
            ]
    finally:
        monkeypatch.undo()
        build.library.cache_clear()
    assert all(x.isfinite().all() for x in means)
    assert len([record for record in caplog.records if "kernels" in record.message]) == 1


@needs_kernels
def test_the_library_is_built_once_for_a_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    path = build._built()
    assert path.parent.parent == tmp_path
    assert build._built() == path  # taken from the cache
    build.library.cache_clear()
    try:
        assert build.library() is not None
    finally:
        build.library.cache_clear()
