"""The contrast's gradient against the exact log-likelihood, the phases against exact starts, and learning itself."""

import copy

import pytest
import torch
from small import DISCRETE, FALSE_ALARM, MACHINES, codes, generator, make, p_value

from convdbn.energy import Gaussian
from convdbn.errors import UsageError
from convdbn.learning.phases import (
    ContrastiveDivergence,
    FastPersistentContrastiveDivergence,
    ParallelTempering,
    PersistentContrastiveDivergence,
    expect,
    positive,
)
from convdbn.models.machines import conv_rbm
from convdbn.sampling import exact

RESTRICTED = ["rbm", "labeled_rbm", "conv_rbm", "pooled_rbm", "wide_block_rbm"]


def pictures(machine, shapes, count):
    with torch.no_grad():
        return exact.sample(machine, shapes, count, generator=generator(1))[0]


def gradients(machine, positive, negative, **options):
    contrast = machine.contrast(positive, negative, **options)
    return [contrast[parameter] for parameter in machine.parameters()]


@pytest.mark.parametrize("name", DISCRETE)
def test_contrast_has_the_gradient_of_the_exact_log_likelihood(name):
    """Exact posterior in one place, exact model in the other: minus the mean log-likelihood's gradient."""
    machine, shapes = make(name)
    v = pictures(machine, shapes, 3)
    parameters = list(machine.parameters())
    expected = torch.autograd.grad(-exact.log_likelihood(machine, v, shapes).mean(), parameters)
    with torch.no_grad():
        joint, p = exact.probabilities(machine, shapes)
        posterior = torch.zeros_like(p)
        for one in v:
            fits = (joint[0] == one).flatten(1).all(1)
            posterior[fits] += p[fits] / p[fits].sum() / len(v)
    # Statistics are means over a batch, so a law is a weighted sum of contrasts of single states; as those are linear
    # in (energy of data) - (energy of model), the joint may be split into any pairs of equal states.
    data_part = torch.autograd.grad(machine.energy(joint) @ posterior, parameters, retain_graph=True)
    model_part = torch.autograd.grad(machine.energy(joint) @ p, parameters)
    for e, d, m in zip(expected, data_part, model_part, strict=True):
        torch.testing.assert_close(d - m, e)
    one, other = (tuple(x[i : i + 1] for x in joint) for i in (len(p) // 3, len(p) // 2))
    contrast = gradients(machine, one, other)
    energies = torch.autograd.grad((machine.energy(one) - machine.energy(other)).sum(), parameters)
    for c, e in zip(contrast, energies, strict=True):
        torch.testing.assert_close(c, e)


@pytest.mark.parametrize("name", MACHINES)
def test_contrast_averages_batches_of_any_two_sizes(name):
    machine, shapes = make(name)
    source = generator(2)
    data, model = (
        tuple(torch.rand(n, *shape, generator=source, dtype=torch.float64) for shape in shapes) for n in (4, 7)
    )
    parameters = list(machine.parameters())
    contrast = gradients(machine, data, model, scale=0.5)
    energies = torch.autograd.grad((machine.energy(data).mean() - machine.energy(model).mean()) / 2, parameters)
    for c, e in zip(contrast, energies, strict=True):
        torch.testing.assert_close(c, e)


@pytest.mark.parametrize("name", ["gaussian_rbm", "gaussian_pooled_rbm"])
def test_gaussian_gradient_by_the_exact_likelihood(name):
    """E over the model by exact hidden enumeration: <v> given h is b + W'h, and <v h> follows."""
    machine, shapes = make(name)
    source = generator(3)
    v = torch.randn(4, *shapes[0], generator=source, dtype=torch.float64)
    parameters = list(machine.parameters())
    expected = torch.autograd.grad(-exact.log_likelihood(machine, v, shapes).mean(), parameters)
    with torch.no_grad():
        means, _ = positive(machine, (v, None), generator=source)
        hidden = exact.states(machine, shapes, [1])[1]
        p = (-machine.free_energy((None, hidden), 1)).softmax(0)
        center = machine.units[0].mean(machine.field((None, hidden), 0))
        # The contrast is linear in v given h, so the conditional mean stands for the whole Gaussian; and it weighs
        # the states of a batch alike, so each hidden state takes its probability as a factor of its own contrast.
    total = [torch.zeros_like(x) for x in parameters]
    for index, weight in enumerate(p.tolist()):
        one = (center[index : index + 1], hidden[index : index + 1])
        for t, g in zip(total, gradients(machine, means, one), strict=True):
            t += weight * g
    for t, e in zip(total, expected, strict=True):
        torch.testing.assert_close(t, e)


@pytest.mark.parametrize("name", ["learned_gaussian_rbm", "learned_gaussian_pooled_rbm"])
def test_gradient_of_a_learned_variance_by_the_exact_likelihood(name):
    """The squares of v given h are those of its mean, plus the variance: half a nat for each pixel."""
    machine, shapes = make(name)
    v = torch.randn(4, *shapes[0], generator=generator(3), dtype=torch.float64)
    learned = machine.units[0].log_variance
    (expected,) = torch.autograd.grad(-exact.log_likelihood(machine, v, shapes).mean(), [learned])
    with torch.no_grad():
        means, _ = positive(machine, (v, None), generator=generator(4))
        hidden = exact.states(machine, shapes, [1])[1]
        p = (-machine.free_energy((None, hidden), 1)).softmax(0)
        center = machine.units[0].mean(machine.field((None, hidden), 0))
    found = torch.full_like(expected, v[0].numel() / expected.numel() / 2)
    for index, weight in enumerate(p.tolist()):
        one = (center[index : index + 1], hidden[index : index + 1])
        found += weight * machine.contrast(means, one)[learned]
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("name", RESTRICTED)
def test_positive_phase_is_the_exact_posterior(name):
    machine, shapes = make(name)
    with torch.no_grad():
        joint, p = exact.probabilities(machine, shapes)
    row = len(p) // 2
    given = tuple(None if layer == 1 else x[row : row + 1] for layer, x in enumerate(joint))
    means, _ = positive(machine, given, generator=generator())
    fits = torch.stack([(joint[k] == x).flatten(1).all(1) for k, x in enumerate(given) if x is not None]).all(0)
    torch.testing.assert_close(means[1].flatten(), (p[fits] / p[fits].sum()) @ joint[1][fits].flatten(1))


PERSISTENT = {
    "pcd": PersistentContrastiveDivergence(k=2),
    "fast-pcd": FastPersistentContrastiveDivergence(k=2, rate=0.1),
}


@pytest.mark.parametrize("name", DISCRETE)
@pytest.mark.parametrize("phase", PERSISTENT)
@torch.no_grad()
def test_persistent_chains_leave_an_exact_start_alone(name, phase):
    """Fast weights too, before there is a gradient to learn from."""
    machine, shapes = make(name)
    joint, p = exact.probabilities(machine, shapes)
    negative = copy.deepcopy(PERSISTENT[phase])
    start = exact.sample(machine, shapes, 40_000, generator=generator(4))
    source = generator(5)
    for _ in range(2):
        means = negative(machine, start, generator=source)
    assert p_value(codes(negative.chains), codes(joint), p) > FALSE_ALARM
    # The statistics use the means given these chains' visibles, of which the chains hold samples.
    expected, _ = expect(machine, negative.chains, generator=generator(6))
    assert torch.equal(means[1], expected[1])


@pytest.mark.parametrize("name", ["rbm", "labeled_pooled_rbm", "conv_dbm"])
@torch.no_grad()
def test_tempering_leaves_an_exact_start_alone(name):
    """Every replica begins at the exact distribution of its own temperature."""
    machine, shapes = make(name)
    joint, _ = exact.probabilities(machine, shapes)
    negative = ParallelTempering(k=2, temperatures=3)
    laws = [exact.probabilities(machine, shapes, beta)[1] for beta in (1.0, 0.5, 0.0)]
    index = torch.cat([torch.multinomial(law, 20_000, replacement=True, generator=generator(4)) for law in laws])
    negative.chains = tuple(x[index] for x in joint)
    means = negative(machine, (), generator=generator(5))
    assert len(means[0]) == 20_000
    for drawn, law in zip(codes(negative.chains).split(20_000), laws, strict=True):
        assert p_value(drawn, codes(joint), law) > FALSE_ALARM


@torch.no_grad()
def test_fast_weights_learn_forget_and_drive_the_chains_alone():
    machine, shapes = make("rbm")
    negative = FastPersistentContrastiveDivergence(rate=0.5, decay=0.9)
    samples = exact.sample(machine, shapes, 10, generator=generator(1))
    before = [x.clone() for x in machine.parameters()]
    model = negative(machine, samples, generator=generator(2))
    negative.follow(machine, samples, model, scale=4.0)
    negative.follow(machine, samples, model, scale=4.0)
    for parameter, old, fast in zip(machine.parameters(), before, negative.fast, strict=True):
        assert torch.equal(parameter, old)
        once = -0.5 * machine.contrast(samples, model, scale=4.0)[parameter]
        torch.testing.assert_close(fast, 1.9 * once)  # then .9 of it and the same again
    for fast in negative.fast:
        fast.fill_(-50.0)
    assert not negative(machine, samples, generator=generator(3))[0].any()


@pytest.mark.parametrize("name", RESTRICTED)
@torch.no_grad()
def test_contrastive_divergence_leaves_an_exact_start_alone(name):
    """At the model's own distribution CD's chains stay there, so learning has a fixed point where it should."""
    machine, shapes = make(name)
    joint, p = exact.probabilities(machine, shapes)
    start = exact.sample(machine, shapes, 40_000, generator=generator(7))
    end = ContrastiveDivergence(k=1)(machine, start, generator=generator(8))
    assert p_value(codes(end[:1]), *marginal(joint, p)) > FALSE_ALARM


def marginal(joint, p):
    """Codes and probabilities of the visible layer."""
    all_codes, inverse = codes(joint[:1]).unique(return_inverse=True)
    return all_codes, torch.zeros(len(all_codes), dtype=p.dtype).index_add_(0, inverse, p)


@pytest.mark.parametrize("name", ["rbm", "pooled_rbm"])
@pytest.mark.parametrize("phase", ["cd", "pcd", "fast-pcd", "tempering"])
def test_a_student_learns_its_teacher(name, phase):
    """Learning from data drawn from a known machine lowers the exact KL divergence by 90 %."""
    teacher, shapes = make(name, seed=3, scale=1.5)
    student, _ = make(name, seed=4, scale=0.1)
    with torch.no_grad():
        joint, p = exact.probabilities(teacher, shapes)
        data = exact.sample(teacher, shapes, 20_000, generator=generator(9))[0]
    every, law = codes_and_pictures(joint, p)

    def divergence() -> float:
        with torch.no_grad():
            return float(law @ (law.log() - exact.log_likelihood(student, every, shapes)))

    before = divergence()
    negative = {
        "cd": ContrastiveDivergence(k=5),
        "pcd": PersistentContrastiveDivergence(k=5),
        "fast-pcd": FastPersistentContrastiveDivergence(k=1, rate=0.01),
        "tempering": ParallelTempering(k=1, temperatures=3),
    }[phase]
    optimizer = torch.optim.Adam(student.parameters(), lr=0.03)
    source = generator(10)
    steps = 600
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = 0.03 * (1 - step / steps)
        batch = data[torch.randint(len(data), (500,), generator=source)]
        means, samples = positive(student, (batch, None), generator=source)
        model = negative(student, samples, generator=source)
        for parameter, gradient in student.contrast(means, model).items():
            parameter.grad = gradient
        negative.follow(student, means, model, scale=1.0)
        optimizer.step()
    assert divergence() < 0.1 * before


def codes_and_pictures(joint, p):
    """Every visible state once, and its probability."""
    every, inverse = joint[0].unique(dim=0, return_inverse=True)
    return every, torch.zeros(len(every), dtype=p.dtype).index_add_(0, inverse, p)


@pytest.mark.parametrize("noise_free", [False, True])
def test_the_border_stays_at_the_data_and_the_rest_does_not(noise_free):
    machine = conv_rbm(Gaussian(1), 4, 3)
    machine.links[0].weight.data.normal_(generator=generator(1))
    data = torch.randn(5, 1, 10, 10, generator=generator(2))
    _, samples = positive(machine, (data, None), generator=generator(3))
    kept = ContrastiveDivergence(k=2, noise_free=noise_free, border=2)(machine, samples, generator=generator(4))[0]
    inside = torch.zeros(10, 10, dtype=torch.bool)
    inside[2:-2, 2:-2] = True
    assert (kept == data)[:, 0, ~inside].all()
    assert not (kept == data)[:, 0, inside].any()


def test_a_border_that_leaves_nothing_is_refused():
    machine = conv_rbm(Gaussian(1), 4, 3)
    _, samples = positive(machine, (torch.zeros(1, 1, 10, 10), None), generator=generator(3))
    with pytest.raises(UsageError, match="border=5: leaves nothing of 10x10 pixels"):
        ContrastiveDivergence(border=5)(machine, samples, generator=generator(4))
