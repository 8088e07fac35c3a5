"""Every unit type through the same laws."""

import math

import pytest
import torch
from small import FALSE_ALARM, codes, generator, p_value
from torch import Tensor

from convdbn.energy import Bernoulli, Binomial, BlockSoftmax, Categorical, Gaussian, LearnedGaussian, NoisyReLU, Unit
from convdbn.errors import DataError

UNITS: dict[str, tuple[Unit, tuple[int, ...]]] = {
    "bernoulli_dense": (Bernoulli(3), (3,)),
    "bernoulli_maps": (Bernoulli(2), (2, 1, 2)),
    "categorical_dense": (Categorical(4), (4,)),
    "categorical_maps": (Categorical(3), (3, 2, 1)),
    "block_1": (BlockSoftmax(2, 1), (2, 1, 2)),
    "block_2": (BlockSoftmax(2, 2), (2, 2, 4)),
    "block_3": (BlockSoftmax(1, 3), (1, 3, 6)),
    "binomial_dense": (Binomial(2, 3), (2,)),
    "binomial_maps": (Binomial(1, 2), (1, 2, 2)),
    "noisy_relu_dense": (NoisyReLU(3), (3,)),
    "learned_gaussian_dense": (LearnedGaussian(3, 0.6, shared=False), (3,)),
    "learned_gaussian_maps": (LearnedGaussian(2, 1.7), (2, 2, 3)),
    "gaussian_dense": (Gaussian(3, 0.6), (3,)),
    "gaussian_maps": (Gaussian(2, 1.7), (2, 2, 3)),
}
DISCRETE = [name for name in UNITS if "gaussian" not in name and "relu" not in name]


def unit_and_field(name: str, batch: int = 5, scale: float = 1.5) -> tuple[Unit, Tensor]:
    unit, shape = UNITS[name]
    unit = unit.double()
    unit.bias.data = torch.randn(unit.n, generator=generator(1), dtype=torch.float64)
    return unit, scale * torch.randn(batch, *shape, generator=generator(2), dtype=torch.float64)


def log_weights(unit: Unit, field: Tensor, states: Tensor) -> Tensor:
    """<f, x> - U(x) for every state, `(B, S)`."""
    return field.flatten(1) @ states.flatten(1).T - unit.energy(states)


@pytest.mark.parametrize("name", UNITS)
def test_mean_is_the_derivative_of_log_norm(name):
    unit, field = unit_and_field(name)
    field.requires_grad_()
    (gradient,) = torch.autograd.grad(unit.log_norm(field).sum(), field)
    torch.testing.assert_close(unit.mean(field), gradient)


@pytest.mark.parametrize("name", UNITS)
@torch.no_grad()
def test_field_for_is_the_inverse_of_the_mean(name):
    unit, field = unit_and_field(name)
    mean = unit.mean(field)
    torch.testing.assert_close(unit.mean(unit.field_for(mean)), mean)


@pytest.mark.parametrize("name", DISCRETE)
def test_log_norm_sums_over_all_states(name):
    unit, field = unit_and_field(name)
    states = unit.states(tuple(field.shape[1:]))
    assert len(states.flatten(1).unique(dim=0)) == len(states)
    torch.testing.assert_close(unit.log_norm(field), log_weights(unit, field, states).logsumexp(1))


def test_number_of_states():
    assert len(BlockSoftmax(2, 2).states((2, 2, 4))) == 5**4
    assert len(Categorical(3).states((3, 2, 1))) == 3**2
    assert len(Bernoulli(2).states((2, 1, 2))) == 2**4
    assert len(Binomial(2, 3).states((2, 1, 2))) == 4**4


@torch.no_grad()
def test_gaussian_log_norm_integrates():
    unit = Gaussian(1, 0.6).double()
    unit.bias.data.fill_(0.4)
    x = torch.linspace(-12, 12, 200_001, dtype=torch.float64)[:, None]
    for value in (-2.0, 0.0, 1.3):
        field = torch.full((1, 1), value, dtype=torch.float64)
        weight = (value * x[:, 0] - unit.energy(x)).exp()
        integral = torch.trapezoid(weight, x[:, 0])
        assert float(unit.log_norm(field)) == pytest.approx(math.log(integral), abs=1e-9)
        mean = torch.trapezoid(weight * x[:, 0], x[:, 0]) / integral
        assert float(unit.mean(field)) == pytest.approx(float(mean), abs=1e-9)


@pytest.mark.parametrize("name", DISCRETE)
def test_mode_is_the_heaviest_state(name):
    unit, field = unit_and_field(name, batch=40)
    states = unit.states(tuple(field.shape[1:]))
    best = states[log_weights(unit, field, states).argmax(1)]
    assert torch.equal(unit.mode(field), best)


@pytest.mark.parametrize("name", DISCRETE)
def test_samples_follow_the_exact_distribution(name):
    unit, field = unit_and_field(name, batch=1)
    states = unit.states(tuple(field.shape[1:]))
    p = log_weights(unit, field, states).softmax(1)[0]
    many = field.expand(40_000, *field.shape[1:]).contiguous()
    drawn = unit.sample(many, generator=generator(3))
    assert p_value(codes((drawn,)), codes((states,)), p) > FALSE_ALARM
    mean, same = unit.mean_and_sample(many, generator=generator(3))
    assert torch.equal(drawn, same) and torch.equal(mean, unit.mean(many))


def test_gaussian_samples_have_mean_and_scale():
    unit, field = unit_and_field("gaussian_dense", batch=1)
    draws = unit.sample(field.expand(100_000, 3), generator=generator(3))
    z = (draws - unit.mean(field)) / unit.scale
    # Five standard errors: a false alarm about once in a million.
    assert z.mean(0).abs().max() < 5 / math.sqrt(len(draws))
    assert (z.var(0) - 1).abs().max() < 5 * math.sqrt(2 / len(draws))


FIELDS = torch.linspace(-12, 12, 481, dtype=torch.float64)[:, None]


def copies(field):
    """Probabilities of the copies of a noisy rectified unit, as far as they are not 0."""
    return (field - torch.arange(60, dtype=torch.float64) - 0.5).sigmoid()


@torch.no_grad()
def test_a_noisy_rectified_unit_stands_for_its_copies_as_nearly_as_it_says():
    unit = NoisyReLU(1).double()
    mean, log_norm = copies(FIELDS).sum(1), -(1 - copies(FIELDS)).log().sum(1)
    assert 0.005 < (unit.mean(FIELDS)[:, 0] - mean).abs().max() < 0.011
    assert 0.02 < (unit.log_norm(FIELDS) - log_norm).abs().max() < 0.042


@torch.no_grad()
def test_draws_of_a_noisy_rectified_unit_miss_its_mean_by_no_more_than_it_says():
    unit, count = NoisyReLU(1).double(), 20_000
    draws = unit.sample(FIELDS.repeat(1, count).view(-1, 1), generator=generator(3)).view(-1, count)
    missing = unit.mean(FIELDS)[:, 0] - draws.mean(1)
    error = 5 / math.sqrt(count)  # five standard errors of a variance of at most 1
    assert draws.min() == 0 and missing.max() < 0.42 + error and missing.min() > -error
    assert missing[FIELDS[:, 0] > 3].max() < 0.05 + error
    far = FIELDS[:, 0] > 8  # there they are Gaussian, with variance 1
    assert (draws[far].var(1) - 1).abs().max() < 5 * math.sqrt(2 / count)


@torch.no_grad()
def test_the_integral_of_softplus():
    """Against quadrature from far below."""
    unit = NoisyReLU(1).double()
    x = torch.linspace(-40, 6, 2_000_001, dtype=torch.float64)
    for top in (-3.0, 0.0, 0.5, 6.0):
        part = x[x <= top + 1e-9]
        wanted = float(torch.trapezoid(torch.nn.functional.softplus(part), part))
        assert float(unit.log_norm(torch.tensor([[top]], dtype=torch.float64))) == pytest.approx(wanted, abs=1e-4)


def test_the_variance_of_learned_units_stays_within_bounds():
    unit = LearnedGaussian(2, 0.5, shared=False)
    torch.testing.assert_close(unit.scale, torch.full((2,), 0.5))
    unit.log_variance.data.copy_(torch.tensor([99.0, -99.0]))
    unit.confine()
    torch.testing.assert_close(unit.scale, torch.tensor([1e3, 1e-3]))


def test_same_seed_same_draw_and_successive_draws_differ():
    unit, field = unit_and_field("block_2", batch=50)
    source = generator(4)
    first, second = (unit.sample(field, generator=source) for _ in range(2))
    assert torch.equal(first, unit.sample(field, generator=generator(4)))
    assert not torch.equal(first, second)


def test_blocks_of_one_are_bernoulli():
    block, field = unit_and_field("block_1")
    bernoulli = Bernoulli(2).double()
    bernoulli.bias.data = block.bias.data
    torch.testing.assert_close(block.mean(field), bernoulli.mean(field))
    torch.testing.assert_close(block.log_norm(field), bernoulli.log_norm(field))


def test_field_from_above_enters_all_members_of_a_block_alike():
    """softmax([z_1 + t .. z_n + t, 0]) = softmax([z_1 .. z_n, -t])."""
    unit = BlockSoftmax(1, 2).double()
    z = torch.randn(1, 1, 2, 2, generator=generator(5), dtype=torch.float64)
    for t in (-3.0, 0.7):
        logits = torch.cat([z.flatten(), torch.tensor([-t], dtype=torch.float64)])
        torch.testing.assert_close(unit.mean(z + t).flatten(), logits.softmax(0)[:-1])


@pytest.mark.parametrize("value", [1e4, -1e4])
def test_extreme_fields_stay_finite(value):
    for name, (unit, shape) in UNITS.items():
        if "gaussian" in name:
            continue
        field = torch.full((2, *shape), value, dtype=unit.bias.dtype)
        assert unit.mean(field).isfinite().all()
        assert unit.log_norm(field).isfinite().all()


def test_no_unit_depends_on_memory_layout():
    unit, field = unit_and_field("block_2", batch=6)
    turned = field.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)
    assert torch.equal(unit.mean(field), unit.mean(turned))
    assert torch.equal(unit.sample(field, generator=generator(1)), unit.sample(turned, generator=generator(1)))


@pytest.mark.parametrize(
    ("unit", "x", "message"),
    [
        (Bernoulli(1), torch.full((2, 1, 3, 3), 1.5), r"values from 1\.5 to 1\.5.*Bernoulli.*\[0, 1\].*scale"),
        (Bernoulli(3), torch.zeros(2, 1, 3, 3), r"\(2, 1, 3, 3\).*3 channel"),
        (Gaussian(1), torch.tensor([[0.0], [math.nan]]), r"NaN or infinite pixel in picture 1"),
    ],
)
def test_states_that_a_unit_cannot_show(unit, x, message):
    with pytest.raises(DataError, match=message):
        unit.check(x, "images")


def test_bad_arguments_name_value_and_remedy():
    with pytest.raises(ValueError, match=r"scale=0\.0: must lie in .* rescale the data"):
        Gaussian(3, 0.0)
    with pytest.raises(ValueError, match="block=0"):
        BlockSoftmax(3, 0)
    with pytest.raises(ValueError, match="trials=0"):
        Binomial(3, 0)
    with pytest.raises(ValueError, match="n=0"):
        Bernoulli(0)
    with pytest.raises(ValueError, match=r"maps of 5x4 do not divide into 2x2 blocks"):
        BlockSoftmax(1, 2).mean(torch.zeros(1, 1, 5, 4))
    with pytest.raises(ValueError, match="cannot be enumerated"):
        Gaussian(2).states((2,))
