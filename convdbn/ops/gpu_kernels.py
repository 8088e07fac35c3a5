"""The kernels for NVIDIA GPUs, one pass over memory each; tests run them on a CPU in Triton's interpreter."""

import triton
import triton.language as tl


@triton.jit
def bernoulli(field, bias, mean, sample, seed, count, units, positions, TILE: tl.constexpr):
    """p = sigmoid(field + bias) and, if `sample` is not None, a draw of it."""
    at = tl.program_id(0) * TILE + tl.arange(0, TILE)
    inside = at < count
    x = tl.load(field + at, mask=inside, other=0.0) + tl.load(bias + at // positions % units)
    p = tl.sigmoid(x)
    tl.store(mean + at, p, mask=inside)
    if sample is not None:
        tl.store(sample + at, (tl.rand(tl.load(seed), at) < p).to(tl.float32), mask=inside)


@triton.jit
def block_softmax(
    field, bias, mean, sample, pool, seed, count, units, height, width,
    C: tl.constexpr, MEMBERS: tl.constexpr, TILE: tl.constexpr,
):  # fmt: skip
    """Softmax of each C x C block over its members and "all off": means, a draw, and sums, unless these are None.

    `height` and `width` of a map count blocks, `count` is the number in all maps; MEMBERS is C * C rounded up to a
    power of two.
    """
    block = tl.program_id(0) * TILE + tl.arange(0, TILE)
    member = tl.arange(0, MEMBERS)[None, :]
    row = (block // width)[:, None] * C + member // C
    at = row * (width * C) + (block % width)[:, None] * C + member % C
    inside = (block < count)[:, None] & (member < C * C)
    own = tl.load(bias + block // (height * width) % units)
    x = tl.load(field + at, mask=inside, other=-float("inf")) + own[:, None]
    peak = tl.maximum(tl.max(x, 1), 0.0)
    e = tl.exp(x - peak[:, None])
    p = e / (tl.sum(e, 1) + tl.exp(-peak))[:, None]
    if mean is not None:
        tl.store(mean + at, p, mask=inside)
    if sample is not None:
        # On is the first member whose upper edge is above the uniform; a count, so that rounding never turns on two.
        passed = tl.rand(tl.load(seed), block)[:, None] >= tl.cumsum(p, 1)
        on = member == tl.sum(passed.to(tl.int32), 1)[:, None]
        tl.store(sample + at, on.to(tl.float32), mask=inside)
    if pool is not None:
        total = tl.sum(p, 1)
        # Rounding can make the sum larger than 1. A minimum would lose NaN.
        tl.store(pool + block, tl.where(total > 1.0, 1.0, total), mask=block < count)
