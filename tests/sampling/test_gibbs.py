"""Samplers by no drift from an exact start, with planted bugs that the same test is shown to catch.

Chains begin at independent exact draws; a right sampler leaves their distribution alone, whatever the number of
sweeps. False-alarm rate `FALSE_ALARM` for each test, seeds fixed, nothing is retried.
"""

import itertools

import pytest
import torch
from small import DISCRETE, FALSE_ALARM, codes, generator, make, p_value, state_p_value
from torch.nn import functional as F

from convdbn.energy import Bernoulli, BlockSoftmax, Conv, Gaussian, State
from convdbn.errors import UsageError
from convdbn.ops import blocks
from convdbn.ops.build import library
from convdbn.sampling import exact
from convdbn.sampling.gibbs import draw, gibbs, mean, mean_field, mode, start, sweep, update

CHAINS = 40_000
SWEEPS = 3


def drift(machine, shapes, *, beta=1.0, seed=0, sweeper=None) -> float:
    """p-value of the joint distribution after sweeps from an exact start."""
    with torch.no_grad():
        joint, p = exact.probabilities(machine, shapes)
        chains = exact.sample(machine, shapes, CHAINS, generator=generator(seed))
    end = moved(machine, chains, beta=beta, seed=seed + 1, sweeper=sweeper)
    return state_p_value(machine, end, joint, p)


def moved(machine, chains: State, *, beta=1.0, seed=1, sweeper=None) -> State:
    if sweeper is None:
        return gibbs(machine, chains, SWEEPS, generator=generator(seed), beta=beta)
    source = generator(seed)
    for _ in range(SWEEPS):
        chains = sweeper(machine, chains, source)
    return chains


@pytest.fixture(params=["reference", "kernels"])
def built(request):
    """`make` in float64, which PyTorch samples, or in float32, which compiled kernels do where they can be had."""
    if request.param == "reference":
        return make
    if library() is None:
        pytest.skip("no C compiler here: the kernels are not built")
    return lambda name: (make(name)[0].float(), make(name)[1])


@pytest.mark.parametrize("name", DISCRETE)
def test_gibbs_does_not_drift_from_an_exact_start(built, name):
    machine, shapes = built(name)
    assert drift(machine, shapes) > FALSE_ALARM


@pytest.mark.parametrize("name", DISCRETE)
def test_five_percent_wrong_temperature_is_caught(built, name):
    machine, shapes = built(name)
    assert drift(machine, shapes, beta=1.05) < FALSE_ALARM


def test_one_temperature_for_each_chain():
    """Half the chains at beta 1, half at beta .5, in one batch: each half keeps its own exact distribution."""
    machine, shapes = make("labeled_pooled_rbm")
    with torch.no_grad():
        joint, _ = exact.probabilities(machine, shapes)
        laws = [exact.probabilities(machine, shapes, beta)[1] for beta in (1.0, 0.5)]
    index = torch.cat([torch.multinomial(p, CHAINS, replacement=True, generator=generator(2)) for p in laws])
    betas = torch.tensor([1.0, 0.5], dtype=torch.float64).repeat_interleave(CHAINS)
    state = gibbs(machine, tuple(x[index] for x in joint), SWEEPS, generator=generator(3), beta=betas)
    for half, p in zip(codes(state).split(CHAINS), laws, strict=True):
        assert p_value(half, codes(joint), p) > FALSE_ALARM


class Unflipped(Conv):
    """Planted: the way down uses the filter turned by 180 degrees, so it is no adjoint."""

    def down(self, y):
        return F.conv_transpose2d(y, self.weight.flip(2, 3))


class NoOff(BlockSoftmax):
    """Planted: softmax over the block without the "off" state."""

    @torch.no_grad()
    def mean_and_sample(self, field, *, generator):
        p = torch.stack(self._members(self.biased(field))).softmax(0)
        on = torch.multinomial(p.flatten(1).T, 1, generator=generator).view(p.shape[1:])
        mean = blocks.assembled(field, self.pool, torch.maximum, [(member, member) for member in p])
        pairs = [(on, on.new_tensor(number)) for number in range(len(p))]
        return mean, blocks.assembled(field, self.pool, torch.eq, pairs)


class IndependentSigmoids(BlockSoftmax):
    """Planted: each unit of a block on its own."""

    mean_and_sample = Bernoulli.mean_and_sample


class BiasTwice(Bernoulli):
    """Planted: the bias enters the conditional twice."""

    def mean_and_sample(self, field, *, generator):
        return super().mean_and_sample(self.biased(field), generator=generator)


def planted(machine, layer, kind):
    unit = machine.units[layer]
    wrong = kind(unit.n) if kind is BiasTwice else kind(unit.n, unit.pool)
    wrong.bias = unit.bias
    machine.units[layer] = wrong
    return machine


@pytest.mark.parametrize("name", ["pooled_rbm", "labeled_pooled_rbm"])
def test_unflipped_kernel_is_caught(name):
    machine, shapes = make(name)
    wrong = Unflipped(*machine.links[0].weight.shape[1::-1], 2)
    wrong.weight = machine.links[0].weight
    machine.links[0] = wrong
    assert drift(machine, shapes) < FALSE_ALARM


@pytest.mark.parametrize("kind", [NoOff, IndependentSigmoids])
def test_wrong_block_units_are_caught(kind):
    for name in ("pooled_rbm", "wide_block_rbm", "conv_dbm"):
        machine, shapes = make(name)
        assert drift(planted(machine, 1, kind), shapes) < FALSE_ALARM


@pytest.mark.parametrize("name", ["rbm", "pooled_rbm", "dbm"])
def test_bias_counted_twice_is_caught(name):
    machine, shapes = make(name)
    assert drift(planted(machine, 0, BiasTwice), shapes) < FALSE_ALARM


@pytest.mark.parametrize("name", ["rbm", "pooled_rbm", "labeled_rbm", "conv_dbm"])
def test_means_passed_as_samples_are_caught(name):
    machine, shapes = make(name)

    def sweeper(machine, chains, source):
        soft = update(machine, chains, 1, mean)
        chains = update(machine, soft, 0, draw(source))
        return update(machine, chains, 1, draw(source))

    assert drift(machine, shapes, sweeper=sweeper) < FALSE_ALARM


@torch.no_grad()
def gaussian_start(machine, shapes, count, source):
    """Exact draws: hiddens by enumeration, visibles given them by the formula mean + s z."""
    hidden = exact.states(machine, shapes, [1])
    p = (-machine.free_energy(hidden, 1)).softmax(0)
    h = hidden[1][torch.multinomial(p, count, replacement=True, generator=source)]
    link, (b, s) = machine.links[0], (machine.units[0].bias, machine.units[0].scale)
    center = (h @ link.weight if h.ndim == 2 else F.conv_transpose2d(h, link.weight)) + b.view(
        -1, *[1] * (h.ndim - 2)
    )
    noise = torch.randn(center.shape, generator=source, dtype=center.dtype)
    return (center + s * noise, h), (hidden[1], p)


def gaussian_drift(machine, shapes, beta=1.0) -> tuple[float, float]:
    """p-value of the hidden states, and the largest z-score of first and second moments of the visibles."""
    source = generator(5)
    chains, (states, p) = gaussian_start(machine, shapes, CHAINS, source)
    before = chains[0].flatten(1)
    after, h = gibbs(machine, chains, SWEEPS, generator=source, beta=beta)
    after = after.flatten(1)
    moments = [torch.cat([x, x.square(), x * x.roll(1, 1)], 1) for x in (before, after)]
    # Both moments are estimates; sweeps leave them correlated, which only makes the z-scores smaller.
    error = ((moments[0].var(0) + moments[1].var(0)) / CHAINS).sqrt()
    z = float(((moments[0].mean(0) - moments[1].mean(0)) / error).abs().max())
    return p_value(codes((h,)), codes((states,)), p), z


@pytest.mark.parametrize("name", ["gaussian_rbm", "gaussian_pooled_rbm"])
def test_gaussian_visibles_do_not_drift_and_a_wrong_temperature_is_caught(name):
    machine, shapes = make(name)
    p, z = gaussian_drift(machine, shapes)
    assert p > FALSE_ALARM
    assert z < 5.5  # below 1e-6 for all moments together
    p, z = gaussian_drift(machine, shapes, beta=1.05)
    assert p < FALSE_ALARM or z > 5.5


def test_a_wrong_gaussian_scale_is_caught():
    machine, shapes = make("gaussian_pooled_rbm")

    class NoScale(Gaussian):
        def mean_and_sample(self, field, *, generator):
            noise = torch.randn(field.shape, generator=generator, dtype=field.dtype)
            return self.mean(field), self.mean(field) + self.scale**2 * noise

    wrong = NoScale(1, float(machine.units[0].scale)).double()
    wrong.bias = machine.units[0].bias
    machine.units[0] = wrong
    p, z = gaussian_drift(machine, shapes)
    assert p < FALSE_ALARM or z > 5.5


def test_clamped_layers_and_pixels_stay_and_the_rest_follows_the_exact_conditional():
    machine, shapes = make("labeled_pooled_rbm")
    mask = torch.zeros(1, 3, 3, dtype=torch.bool)
    mask[0, :2] = True
    with torch.no_grad():
        joint, p = exact.probabilities(machine, shapes)
    v, y = torch.tensor([[1.0, 0, 1], [0, 1, 1], [0, 0, 0]]).double(), torch.tensor([0.0, 1.0, 0.0]).double()
    fits = (joint[0] == v).flatten(1)[:, mask.flatten()].all(1) & (joint[2].flatten(1) == y).all(1)
    states, law = tuple(x[fits] for x in joint), p[fits] / p[fits].sum()
    index = torch.multinomial(law, CHAINS, replacement=True, generator=generator(6))
    clamp = {0: mask, 2: True}
    chains = gibbs(machine, tuple(x[index] for x in states), SWEEPS, generator=generator(7), clamp=clamp)
    assert p_value(codes(chains), codes(states), law) > FALSE_ALARM
    assert torch.equal(chains[0][:, mask], v[None, mask[0]].expand(CHAINS, -1))
    free = gibbs(machine, tuple(x[index] for x in states), SWEEPS, generator=generator(7))
    assert p_value(codes(free), codes(states), law) < FALSE_ALARM


@pytest.mark.parametrize("name", ["rbm", "pooled_rbm", "labeled_rbm"])
def test_mean_field_is_exact_where_the_free_layers_are_of_one_color(name):
    machine, shapes = make(name)
    with torch.no_grad():
        joint, p = exact.probabilities(machine, shapes)
        given = {0: True, 2: True} if name == "labeled_rbm" else {0: True}
        index = 37 % len(p)
        fixed = tuple(x[index : index + 1] if layer in given else None for layer, x in enumerate(joint))
        means = mean_field(machine, start(machine, fixed), clamp=given)
        fits = torch.stack([(joint[k] == fixed[k]).flatten(1).all(1) for k in given]).all(0)
        expected = (p[fits] / p[fits].sum()) @ joint[1][fits].flatten(1)
    torch.testing.assert_close(means[1].flatten(), expected)


@torch.no_grad()
def test_mean_field_never_lowers_the_bound():
    """E_q[-E] + H(q) rises with each update and stays below log p*(v) (all layers binary here)."""
    machine, shapes = make("dbm", scale=2.0)
    v = torch.tensor([[1.0, 0.0, 1.0]]).double()
    joint, _ = exact.probabilities(machine, shapes)
    exact_value = (-machine.energy(tuple(x[(joint[0] == v).all(1)] for x in joint))).logsumexp(0)

    def bound(state):
        entropy = sum(-(torch.xlogy(q, q) + torch.xlogy(1 - q, 1 - q)).sum() for q in state[1:])
        return float(-machine.energy(state) + entropy)

    state = start(machine, (v, None, None))
    values = [bound(state)]
    for _ in range(10):
        for color in (1, 0):
            state = update(machine, state, color, mean, clamp={0: True})
            values.append(bound(state))
    assert all(later >= earlier - 1e-12 for earlier, later in itertools.pairwise(values))
    assert values[0] < values[-1] <= float(exact_value)
    settled = mean_field(machine, start(machine, (v, None, None)), sweeps=500, tolerance=1e-12, clamp={0: True})
    assert bound(settled) >= values[-1] - 1e-9


@pytest.mark.parametrize("name", DISCRETE)
@torch.no_grad()
def test_sweeps_of_modes_go_downhill_to_a_fixed_point(name):
    machine, shapes = make(name)
    state = exact.sample(machine, shapes, 50, generator=generator(8))
    energy = machine.energy(state)
    for _ in range(30):
        state = sweep(machine, state, mode)
        assert (machine.energy(state) <= energy + 1e-12).all()
        energy = machine.energy(state)
    assert all(torch.equal(x, y) for x, y in zip(sweep(machine, state, mode), state, strict=True))


@pytest.mark.parametrize("name", ["dbm", "conv_dbm", "labeled_rbm", "binomial_rbm", "doubled_rbm"])
def test_mean_field_has_the_gradient_of_finite_differences(name):
    """Of a fixed number of sweeps, with respect to the visible layer and to every parameter."""
    machine, shapes = make(name, scale=0.5)
    v = torch.rand(2, *shapes[0], generator=generator(1), dtype=torch.float64).requires_grad_()

    def inferred(v, *_):
        state = start(machine, machine.only(0, v))
        return mean_field(machine, state, sweeps=3, tolerance=0, clamp={0: True})

    assert torch.autograd.gradcheck(inferred, (v, *machine.parameters()))


def test_a_run_of_draws_records_no_gradients():
    machine, shapes = make("dbm")
    state = start(machine, machine.only(0, torch.zeros(2, *shapes[0]).double()))
    assert any(x.requires_grad for x in state)
    assert not any(x.requires_grad for x in gibbs(machine, state, 1, generator=generator()))


V, H = torch.zeros(2, 4).double(), torch.zeros(2, 3).double()
NO_STATES = [
    ((V,), r"=1 layers: needs one tensor for each of 2 layers; give a tuple"),
    (V, r"=Tensor: needs one tensor for each of 2 layers"),
    ((V.numpy(), H), r"\[0\]=ndarray: is no tensor; write torch.as_tensor"),
    ((V, H.tolist()), r"\[1\]=list: is no tensor; write torch.as_tensor"),
    ((V[0], H[0]), r"\[0\]=\(4,\): is not \(batch, 4\).*add the batch dimension"),
    ((V, H[:, :2]), r"\[1\]=\(2, 2\): is not \(batch, 3\)"),
    ((V.long(), H), r"\[0\]=torch.int64 on cpu: the machine is torch.float64 on cpu; write x.to"),
    ((V, H[:1]), r"\[1\]=\(1, 3\): has a batch of 1, a layer before 2; give one batch"),
]


@pytest.mark.parametrize(("state", "message"), NO_STATES)
def test_what_is_no_state(state, message):
    machine, _ = make("rbm")
    with pytest.raises(UsageError, match=f"state{message}"):
        gibbs(machine, state, 1, generator=generator())
    with pytest.raises(UsageError, match=f"state{message}"):
        mean_field(machine, state)
    with pytest.raises(UsageError, match=f"given{message}"):
        start(machine, state)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"generator": None}, r"generator=None: the draws need one on cpu; give torch.Generator\('cpu'\)"),
        ({"generator": 0}, r"generator=0: the draws need one on cpu"),
        ({"sweeps": -1}, r"sweeps=-1: is no such number; take a whole number from 0 up"),
        ({"sweeps": 1.5}, r"sweeps=1.5: is no such number"),
        ({"beta": "1"}, r"beta='1': does not fit the state; give a number"),
        ({"beta": torch.ones(3)}, r"beta=torch.float32 \(3,\) on cpu: does not fit the state"),
        ({"clamp": [0]}, r"clamp=list: is no mapping; write \{0: True\}"),
        ({"clamp": {2: True}}, r"clamp=2: is no layer; take numbers from 0 to 1"),
        ({"clamp": {0: 1}}, r"clamp\[0\]=int: is no mask; give True, or a tensor of torch.bool"),
        ({"clamp": {0: V}}, r"clamp\[0\]=torch.float64: is no mask"),
        ({"clamp": {0: H.bool()}}, r"clamp\[0\]=\(2, 3\) on cpu: the layer is \(2, 4\).*give a mask in its shape"),
        ({"clamp": {0: V[None].bool()}}, r"clamp\[0\]=\(1, 2, 4\) on cpu: the layer is \(2, 4\)"),
    ],
)
def test_what_a_run_of_draws_does_not_take(options, message):
    machine, _ = make("rbm")
    with pytest.raises(UsageError, match=message):
        gibbs(machine, (V, H), **{"sweeps": 1, "generator": generator(), **options})


def test_a_generator_that_is_left_out():
    with pytest.raises(UsageError, match=r"generator=None.*give torch.Generator"):
        gibbs(make("rbm")[0], (V, H), 1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sweeps": -1}, r"sweeps=-1: is no such number; take a whole number from 1 up"),
        ({"sweeps": 0}, r"sweeps=0: is no such number"),
        ({"clamp": {-1: True}}, r"clamp=-1: is no layer; take numbers from 0 to 1"),
    ],
)
def test_what_mean_field_does_not_take(options, message):
    with pytest.raises(UsageError, match=message):
        mean_field(make("rbm")[0], (V, H), **options)


def test_a_layer_that_is_needed():
    machine, _ = make("rbm")
    with pytest.raises(UsageError, match=r"given=None: no layer has a state; give at least one"):
        start(machine, (None, None))
    for door in (mean_field, lambda *both: gibbs(*both, 1, generator=generator())):
        with pytest.raises(UsageError, match=r"state\[1\]=None: every layer is needed; fill the others with .*start"):
            door(machine, (V, None))


def test_calls_that_fit_come_through():
    """No sweep, a mask that is spread over the batch, and an inverse temperature for each chain."""
    machine, _ = make("rbm")
    assert gibbs(machine, (V, H), 0, generator=generator()) == (V, H)
    clamp = {0: torch.tensor([True, False, False, True]), 1: False}
    betas = torch.tensor([0.5, 1.0]).double()
    v, h = gibbs(machine, [V, H], 20, generator=generator(), beta=betas, clamp=clamp)
    assert not v[:, [0, 3]].any() and v.shape == V.shape and h.shape == H.shape
