"""Kinds of units and links of one's own, from their registration to a stack that is saved and loaded."""

import inspect
import math

import pytest
import torch
from torch.nn import functional as F
from torch.nn.grad import conv2d_weight

from convdbn.energy import (
    LINKS,
    UNITS,
    Bernoulli,
    BoltzmannMachine,
    Conv,
    Dense,
    Link,
    Unit,
    register_link,
    register_unit,
)
from convdbn.errors import UsageError
from convdbn.images import build_transform
from convdbn.learning.trainer import Trainer
from convdbn.models.files import open_model
from convdbn.models.stack import Stack
from convdbn.recipes import LayerSettings
from convdbn.sampling import exact


class Spin(Unit):
    """x in {-1, 1}: U(x) = -<b, x>."""

    kind = "spin"
    limits = (-1.0, 1.0)

    def log_norm(self, field):
        x = self.biased(field)
        return torch.logaddexp(x, -x).flatten(1).sum(1)

    def mean(self, field):
        return self.biased(field).tanh()

    def bias_for(self, mean):
        return mean.atanh()

    def mode(self, field):
        return self.biased(field).sign()

    @torch.no_grad()
    def mean_and_sample(self, field, *, generator):
        mean = self.mean(field)
        uniform = torch.rand(mean.shape, generator=generator, dtype=mean.dtype)
        return mean, (2 * uniform - 1 < mean).to(mean.dtype) * 2 - 1

    def states(self, shape):
        return 2 * Bernoulli(self.n).states(shape).to(self.bias) - 1


class Dilated(Link):
    """Filters of 2x2 whose weights lie two pixels apart."""

    kind = "dilated"
    kernel = (3, 3)

    def __init__(self, below, above):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(above, below, 2, 2))

    def spec(self):
        above, below = self.weight.shape[:2]
        return {"kind": self.kind, "below": below, "above": above}

    def up(self, x):
        return F.conv2d(x, self.weight, dilation=2)

    def down_to_blocks(self, y):
        return F.conv_transpose2d(y, self.weight, dilation=2)

    def correlate(self, x, y, *, out, alpha=1.0, beta=1.0):
        return out.mul_(beta).add_(conv2d_weight(x, self.weight.shape, y, dilation=2), alpha=alpha)

    def patches(self, x):
        return F.unfold(x, 2, dilation=2).transpose(1, 2)

    def up_shape(self, shape):
        return self.weight.shape[0], shape[1] - 2, shape[2] - 2

    def down_shape(self, shape):
        return self.weight.shape[1], shape[1] + 2, shape[2] + 2


@pytest.fixture(autouse=True)
def registered():
    """Both kinds are known during a test alone."""
    before = dict(UNITS), dict(LINKS)
    register_unit(Spin)
    register_link(Dilated)
    yield
    for kinds, old in zip((UNITS, LINKS), before, strict=True):
        kinds.clear()
        kinds.update(old)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def machine():
    return BoltzmannMachine([Bernoulli(1), Spin(3)], [(0, 1, Dilated(1, 3))])


def stripes(count):
    """Pictures 6x6 whose columns come in pairs, one of which is on."""
    on = torch.rand(count, 1, 1, 1, generator=seeded(1)) < 0.5
    columns = (torch.arange(6) // 2 % 2 == 0).expand(count, 1, 6, 6)
    return torch.where(on, columns, ~columns).float()


def trained(updates=150):
    model, data = machine(), stripes(20)
    settings = LayerSettings(kernel=3, filters=3, updates=updates, rate=0.02, weight_std=0.1)
    trainer = Trainer(model, settings, generator=seeded())
    trainer.initialize(data)
    rows = [row for row in trainer.steps([data] * updates) if row]
    return model, rows


@torch.no_grad()
def test_the_laws_hold_for_them():
    """The derivative of the free energy's log Z is the model's mean, so units and link agree with enumeration."""
    model = BoltzmannMachine([Bernoulli(1), Spin(1)], [(0, 1, Dilated(1, 1))]).double()
    for parameter in model.parameters():
        parameter.normal_(generator=seeded())
    shapes = model.shapes((1, 3, 4))
    assert shapes == [(1, 3, 4), (1, 1, 2)]
    by_visible, by_hidden = (exact.log_z(model, shapes, color) for color in (0, 1))
    torch.testing.assert_close(by_visible, by_hidden)


def test_a_machine_of_them_learns():
    _, rows = trained()
    errors = [row["reconstruction_error"] for row in rows]
    assert errors[-1] < 0.25 * errors[0]


def test_a_stack_of_them_is_saved_and_loaded(tmp_path):
    model, _ = trained(20)
    top = BoltzmannMachine([Spin(48), Spin(5)], [(0, 1, Dense(48, 5))])
    torch.nn.init.normal_(top.links[0].weight, std=0.1, generator=seeded())
    stack = Stack(build_transform([]), [model, top], (1, 6, 6))
    loaded = open_model(stack.save(tmp_path / "own.safetensors"), "model").model
    pictures = stripes(4)
    for before, after in zip(stack.features(pictures), loaded.features(pictures), strict=True):
        assert torch.equal(before, after)
    assert [type(layer.unit) for layer in loaded.layers] == [Spin, Spin]
    assert isinstance(loaded.layers[0].link, Dilated)
    assert loaded.features(pictures)[0].min() < 0


def test_a_file_that_names_a_kind_nobody_registered(tmp_path):
    path = Stack(build_transform([]), [machine()], (1, 6, 6)).save(tmp_path / "own.safetensors")
    del LINKS["dilated"]
    with pytest.raises(
        ValueError, match=r"kind='dilated': is not registered; choose from dense, conv, or import its module"
    ):
        open_model(path, "model")


@pytest.mark.parametrize(("base", "register"), [(Unit, register_unit), (Link, register_link)])
def test_every_method_that_is_missing_is_named(base, register):
    class Half(base):
        kind = "half"

    with pytest.raises(UsageError) as error:
        register(Half)
    missing = {name for name, method in vars(base).items() if getattr(method, "__isabstractmethod__", False)}
    assert inspect.isabstract(Half) and all(name in str(error.value) for name in missing)
    assert "define them before you register the class" in str(error.value)


@pytest.mark.parametrize(
    ("part", "message"),
    [
        (type("Nameless", (Spin,), {"kind": None}), r"Nameless\.kind=None: files know a class by its kind"),
        (type("Other", (Spin,), {"kind": "bernoulli"}), r"Other\.kind='bernoulli': is the kind of Bernoulli"),
        (Spin(2), r"unit=Spin\(.*\): is no class of units; derive a class from convdbn.energy.Unit"),
        (Dilated, r"unit=.*Dilated.*: is no class of units; derive a class from convdbn.energy.Unit"),
        (math.tanh, r"unit=.*tanh.*: is no class of units"),
        ("spin", r"unit='spin': is no class of units"),
    ],
)
def test_what_cannot_be_registered(part, message):
    with pytest.raises(UsageError, match=message):
        register_unit(part)


def test_a_unit_is_no_link():
    with pytest.raises(UsageError, match=r"link=.*Spin.*: is no class of links; derive a class from convdbn"):
        register_link(Spin)


def test_a_spec_that_forgets_an_argument_of_the_constructor():
    @register_unit
    class Warm(Spin):
        kind = "warm"

        def __init__(self, n, heat):
            super().__init__(n)

    spec = BoltzmannMachine([Bernoulli(2), Warm(3, 0.5)], [(0, 1, Dense(2, 3))]).spec()
    with pytest.raises(UsageError, match=r"kind='warm': Warm takes other arguments \(missing.*heat.*let its spec"):
        BoltzmannMachine.build(spec)


def test_a_class_that_is_defined_again_takes_the_place_of_the_last():
    again = type("Spin", (Spin,), {"__module__": Spin.__module__, "__qualname__": "Spin"})
    assert register_unit(again) is UNITS["spin"] is again
    assert register_link(Conv) is LINKS["conv"]
