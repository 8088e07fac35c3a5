"""Optimizers, penalties, phases and callbacks of one's own, from the loop of a training down to its update."""

import functools

import pytest
import torch

from convdbn.errors import Interrupted, UsageError
from convdbn.images import ArrayImages
from convdbn.learning.greedy import train_greedily
from convdbn.learning.penalty import Penalty
from convdbn.learning.phases import NegativePhase, PersistentContrastiveDivergence, expect
from convdbn.learning.trainer import Trainer
from convdbn.models.files import open_model
from convdbn.models.machines import rbm
from convdbn.recipes import LayerSettings, Recipe
from convdbn.sampling.gibbs import mean, update

UPDATES = 12
ROWS = [1, 4, 7, 10, 12]


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def images():
    return ArrayImages(torch.rand(50, 1, 5, 5, generator=seeded()), name="noise")


def recipe(**fields):
    layers = tuple(
        LayerSettings(filters=n, updates=UPDATES, batch=6, rate=0.05, weight_std=0.1, **fields) for n in (8, 6)
    )
    return Recipe(layers=layers, held_out=0, log_every=3)


class L1(Penalty):
    """What a user would write first."""

    def __init__(self, strength):
        self.strength = strength

    def __call__(self, machine, positive):
        return self.strength * sum(link.weight.abs().sum() for link in machine.links)


class Drift(Penalty):
    """Remembers how often it was asked."""

    def __init__(self):
        self.count = torch.zeros(())

    def __call__(self, machine, positive):
        self.count += 1
        return 0.01 * self.count * machine.units[1].bias.sum()

    def state(self):
        return {"count": self.count}

    def load_state(self, tensors):
        self.count = tensors["count"]


class MeanField(NegativePhase):
    """The model's state is a reconstruction without noise."""

    def __call__(self, machine, samples, *, generator):
        return update(machine, update(machine, samples, 0, mean), 1, mean)


class Chains(PersistentContrastiveDivergence):
    """Chains of one's own, which go on from update to update."""

    def __call__(self, machine, samples, *, generator):
        if self.chains is None:
            self.chains = tuple(torch.zeros_like(x) for x in samples)
        means, self.chains = expect(machine, self.chains, generator=generator)
        return means


OWN = {
    "rmsprop": {"optimizer": torch.optim.RMSprop},
    "nadam": {"optimizer": functools.partial(torch.optim.NAdam, betas=(0.5, 0.9))},
    "sgd": {"optimizer": functools.partial(torch.optim.SGD, momentum=0.7, nesterov=True)},
    "l1": {"penalty": L1(0.01)},
    "drift": {"penalty": Drift()},
    "phase": {"phase": MeanField()},
    "chains": {"phase": Chains()},
    "all": {"optimizer": torch.optim.Adagrad, "penalty": Drift(), "phase": Chains()},
}


def assert_equal(one, other):
    a, b = one.state_dict(), other.state_dict()
    assert a.keys() == b.keys()
    assert all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("kind", OWN)
def test_a_run_that_is_stopped_and_resumed_ends_bit_for_bit_the_same(tmp_path, kind):
    whole = train_greedily(recipe(), images(), **OWN[kind])
    for updates in (5, UPDATES + 4):
        asked = iter(range(1, 100))
        folder = tmp_path / str(updates)
        with pytest.raises(Interrupted):
            train_greedily(
                recipe(), images(), folder=folder, stop=lambda asked=asked, n=updates: next(asked) == n, **OWN[kind]
            )
        assert_equal(whole, train_greedily(recipe(), images(), folder=folder, resume=True, **OWN[kind]))


@pytest.mark.parametrize("kind", OWN)
def test_they_change_what_is_learned_and_leave_the_model_clean(kind):
    plain, own = train_greedily(recipe(), images()), train_greedily(recipe(), images(), **OWN[kind])
    assert not torch.equal(plain.machines[0].links[0].weight, own.machines[0].links[0].weight)
    for stack in (plain, own):
        assert all(x.grad is None and x.requires_grad for x in stack.parameters())


def test_gaussian_visibles_learn_again_after_the_training():
    """Their biases stay in the training alone."""
    settings = LayerSettings(filters=8, visible="gaussian", updates=3, batch=6)
    stack = train_greedily(Recipe(layers=(settings,), held_out=0), images())
    assert all(x.grad is None and x.requires_grad for x in stack.parameters())


def test_what_was_frozen_stays_frozen():
    machine = rbm(6, 4)
    machine.units[1].bias.requires_grad_(False)
    trainer = Trainer(machine, LayerSettings(updates=3, rate=0.5), generator=seeded())
    before = machine.units[1].bias.clone()
    assert len(list(trainer.steps([torch.rand(5, 6, generator=seeded())] * 3))) == 3
    assert torch.equal(machine.units[1].bias, before) and not machine.units[1].bias.requires_grad
    assert machine.links[0].weight.any()


def test_an_optimizer_of_torch_takes_the_steps_that_it_takes_by_hand():
    """RMSprop on the same gradients, with the rates of the recipe's schedule."""
    settings = LayerSettings(updates=8, rate=0.1, rate_end=0.02, bias_rate=3.0)
    run = Trainer(rbm(6, 4), settings, generator=seeded(), optimizer=torch.optim.RMSprop)
    weight, *biases = run.machine.links[0].weight, *(unit.bias for unit in run.machine.units)
    twins = [x.detach().clone() for x in (weight, *biases)]
    by_hand = torch.optim.RMSprop([{"params": twins[:1]}, {"params": twins[1:]}])
    data = torch.rand(5, 6, generator=seeded(1))
    for step, _ in enumerate(run.steps([data] * 8)):
        rate = 0.1 + (0.02 - 0.1) * step / 8
        for group, factor in zip(by_hand.param_groups, (1.0, 3.0), strict=True):
            group["lr"] = factor * rate
        for x, twin in zip((weight, *biases), twins, strict=True):
            twin.grad = run.gradients[x].clone()
        by_hand.step()
        for x, twin in zip((weight, *biases), twins, strict=True):
            torch.testing.assert_close(x.detach(), twin)


def test_a_penalty_adds_its_gradient():
    """That of L1 is the sign of each weight, on top of what the data say."""
    gradients = []
    for penalty in (None, L1(0.25)):
        run = Trainer(rbm(6, 4), LayerSettings(rate=1e-9), generator=seeded(), penalty=penalty)
        torch.nn.init.normal_(run.machine.links[0].weight, generator=seeded(1))
        signs = run.machine.links[0].weight.detach().sign()
        run.update((torch.rand(5, 6, generator=seeded(2)), None))
        gradients.append(run.gradients[run.machine.links[0].weight])
    torch.testing.assert_close(gradients[1] - gradients[0], 0.25 * signs)


def test_a_strong_penalty_makes_weights_small():
    sizes = [
        float(train_greedily(recipe(), images(), penalty=penalty).machines[0].links[0].weight.detach().abs().mean())
        for penalty in (None, L1(0.1))
    ]
    assert sizes[1] < 0.8 * sizes[0]


def test_each_layer_has_a_penalty_and_a_phase_of_its_own():
    """The objects that were handed in are as they were."""
    penalty, phase = Drift(), Chains()
    train_greedily(recipe(), images(), penalty=penalty, phase=phase)
    assert penalty.count == 0 and phase.chains is None


@pytest.mark.parametrize(
    "own", [{}, {"penalty": L1(0.1)}, {"optimizer": torch.optim.Adam, "phase": MeanField()}], ids=str
)
def test_a_run_is_resumed_with_the_parts_that_it_was_begun_with(tmp_path, own):
    begun = {"optimizer": torch.optim.RMSprop, "penalty": Drift()}
    train_greedily(recipe(), images(), folder=tmp_path, **begun)
    assert open_model(tmp_path, "model").metadata["own"] == {
        "optimizer": "torch.optim.rmsprop.RMSprop", "penalty": f"{__name__}.Drift"
    }  # fmt: skip
    with pytest.raises(UsageError, match=r"resume=True: .*RMSprop.*pass the same"):
        train_greedily(recipe(), images(), folder=tmp_path, resume=True, **own)


def test_options_of_an_optimizer_are_recorded_with_its_name(tmp_path):
    train_greedily(recipe(), images(), folder=tmp_path, **OWN["nadam"])
    assert open_model(tmp_path, "model").metadata["own"] == {"optimizer": "torch.optim.nadam.NAdam(betas=(0.5, 0.9))"}


@pytest.mark.parametrize("make", [lambda groups: None, torch.optim.LBFGS, lambda groups: torch.nn.Linear(1, 1)])
def test_what_makes_no_optimizer_is_refused(make):
    with pytest.raises(UsageError, match=r"optimizer=.*torch\.optim\.RMSprop"):
        Trainer(rbm(6, 4), LayerSettings(), generator=seeded(), optimizer=make)


@pytest.mark.parametrize("options", [{"objective": "denoising"}, {"generative": 0.0}])
def test_a_phase_where_no_chain_is_drawn_is_refused(options):
    with pytest.raises(UsageError, match=r"phase=MeanField: needs the likelihood.*leave it out"):
        Trainer(rbm(6, 4), LayerSettings(**options), generator=seeded(), phase=MeanField())


class Broken(NegativePhase):
    """Forgets the hidden layer."""

    def __call__(self, machine, samples, *, generator):
        return samples[:1]


def constant(value):
    """A penalty that returns this whatever the parameters are."""

    class Constant(Penalty):
        def __call__(self, machine, positive):
            return value

    return Constant()


@pytest.mark.parametrize(
    ("own", "message"),
    [
        ({"penalty": L1}, "penalty=.*L1.*: give an object of a class that derives from Penalty"),
        ({"penalty": lambda machine, positive: 0}, "penalty=.*lambda.*derives from Penalty"),
        ({"penalty": constant(0.5)}, r"penalty=Constant: returned 0\.5; return a scalar tensor"),
        ({"penalty": constant(torch.zeros(3))}, "penalty=Constant: returned tensor.*; return a scalar tensor"),
        ({"phase": MeanField}, "phase=.*MeanField.*: give an object of a class that derives from NegativePhase"),
        ({"phase": "cd"}, "phase='cd': give an object"),
        ({"phase": Broken()}, r"phase=Broken: returned a state of shapes \[\(6, 25\)\].*one tensor for each layer"),
        ({"optimizer": "adam"}, "optimizer='adam': .*give a callable"),
    ],
)
def test_parts_that_cannot_work_are_refused_with_a_remedy(own, message):
    with pytest.raises(UsageError, match=message):
        train_greedily(recipe(), images(), **own)


class TestCallbacks:
    def test_every_row_of_every_layer_reaches_every_callback_in_turn(self):
        seen = []
        callbacks = [lambda *seen_now, name=name: seen.append((name, *seen_now)) for name in "ab"]
        stack = train_greedily(recipe(), images(), callbacks=callbacks)
        wanted = [(name, layer, step) for layer in (1, 2) for step in ROWS for name in "ab"]
        assert [(name, layer, row["step"]) for name, _, layer, row in seen] == wanted
        assert all(model is stack for _, model, _, _ in seen)

    @pytest.mark.parametrize(("layer", "step"), [(1, 1), (1, 12), (2, 7)])
    def test_true_stops_the_run_which_can_be_resumed(self, tmp_path, layer, step, caplog):
        def enough(model, number, row):
            return (number, row["step"]) == (layer, step)

        caplog.set_level("INFO")
        whole = train_greedily(recipe(), images())
        stack = train_greedily(recipe(), images(), folder=tmp_path, callbacks=[lambda *seen: None, enough])
        assert len(stack.machines) == layer and not stack.training
        assert f"layer {layer}, step {step}: stopped by a callback" in caplog.text
        assert_equal(stack, open_model(tmp_path, "model").model)
        assert_equal(whole, train_greedily(recipe(), images(), folder=tmp_path, resume=True))

    def test_gradients_can_be_taken_in_a_callback(self):
        def probe(model, layer, row):
            model.machines[0].links[0].weight.square().sum().backward()
            model.zero_grad()

        assert_equal(train_greedily(recipe(), images()), train_greedily(recipe(), images(), callbacks=[probe]))
