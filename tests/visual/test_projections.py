"""Every projection finds what was planted in a unit, and a bug planted in the projection is noticed."""

import pytest
import torch
from torch.nn import functional as F

from convdbn.energy import Gaussian
from convdbn.images import ArrayImages, build_transform
from convdbn.models.machines import conv_dbm, conv_rbm, dbm, rbm
from convdbn.models.passes import downward, spread_over_blocks
from convdbn.models.stack import Stack
from convdbn.sampling import exact
from convdbn.visual import patches, projections

SIGNED = [{"kind": "raw"}]
"""The transform of models whose pictures have strokes below 0."""


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def dense():
    """Five unlike pictures of 6 x 6, each the weights of one unit."""
    templates = torch.randn(5, 1, 6, 6, generator=seeded(1)).sign()
    machine = rbm(36, 5)
    machine.links[0].weight.data = templates.flatten(1).clone()
    return Stack(build_transform([]), [machine], (1, 6, 6)), 1, templates


def filters():
    """Four filters that are not square, under pooling blocks; units are seldom on by themselves."""
    templates = torch.randn(4, 1, 5, 4, generator=seeded(1))
    templates *= 2 / templates.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
    machine = conv_rbm(Gaussian(1), 4, (5, 4), pool=2)
    machine.links[0].weight.data = templates.clone()
    machine.units[1].bias.data.fill_(-4)
    return Stack(build_transform(SIGNED), [machine], (1, 12, 11)), 1, templates


def strokes():
    """Four strokes of 3 x 3, each with its sides the other way round."""
    lines = [torch.zeros(3, 3) for _ in range(4)]
    lines[0][1, :], lines[1][:, 1] = 1, 1
    lines[2].fill_diagonal_(1)
    lines[3].copy_(lines[2].flip(1))
    return torch.stack([x - x.mean() for x in lines])[:, None]


def arrangements():
    """Weights of four units: at each of 3 x 2 places one stroke is wanted and the others are not."""
    wanted = torch.tensor([[0, 0, 1, 1, 2, 2], [1, 2, 1, 2, 3, 0], [3, 3, 0, 2, 2, 1], [2, 1, 3, 0, 0, 3]])
    return 7 * F.one_hot(wanted, 4).permute(0, 2, 1).unflatten(2, (3, 2)).float() - 1


def drawn(*positions):
    """The pictures that those units mean: at each place its stroke, at these positions of the pooling block."""
    pictures = torch.zeros(4, 1, 8, 6)
    for unit, weights in enumerate(arrangements()):
        for stroke, i, j in (weights > 0).nonzero().tolist():
            for down, right in positions:
                y, x = 2 * i + down, 2 * j + right
                pictures[unit, 0, y : y + 3, x : x + 3] += strokes()[stroke, 0]
    return pictures


BLOCK = [(0, 0), (0, 1), (1, 0), (1, 1)]


def conv_stack():
    """With so little bias that a unit is seldom on unless those above or below want it."""
    lower, upper = conv_rbm(Gaussian(1), 4, 3, pool=2), conv_rbm(4, 4, (3, 2), pool=1)
    lower.links[0].weight.data, upper.links[0].weight.data = strokes(), arrangements()
    lower.units[1].bias.data.fill_(-6)
    upper.units[0].bias.data.fill_(-4)
    upper.units[1].bias.data.fill_(-20)
    return Stack(build_transform(SIGNED), [lower, upper], (1, 16, 14)), 2, drawn(*BLOCK)


def deep_machine():
    machine = conv_dbm(Gaussian(1), [4, 4], [3, (3, 2)], [2, 1])
    machine.links[0].weight.data, machine.links[1].weight.data = strokes(), arrangements()
    machine.units[1].bias.data.fill_(-6)
    machine.units[2].bias.data.fill_(-20)
    return Stack(build_transform(SIGNED), [machine], (1, 16, 14)), 2, drawn(*BLOCK)


PLANTED = {"dense": dense, "filters": filters, "conv_stack": conv_stack, "deep_machine": deep_machine}

METHODS = {
    "linear_combination": (projections.linear_combination, 0.999, 0.999),
    "top_down": (projections.top_down, 0.999, 0.95),
    "clamped_samples": (lambda *of: projections.clamped_samples(*of, generator=seeded()), 0.85, 0.85),
    "maximize": (lambda *of: projections.maximize(*of, generator=seeded(), jitter=0), 0.99, 0.3),
}
"""Name -> function of stack and layer, and the correlations with what was planted in layer 1, and in layer 2, that it
has to reach. Of each block the maximized picture has one position, the planted one the mean of all."""


def correlations(pictures, templates):
    a, b = (x.flatten(1) - x.flatten(1).mean(1, keepdim=True) for x in (pictures, templates))
    return F.normalize(a, dim=1) @ F.normalize(b, dim=1).T


def finds(method, planted):
    """Whether each unit's picture is its template, and no other unit's."""
    stack, layer, templates = PLANTED[planted]()
    function, *bounds = METHODS[method]
    pictures = function(stack, layer)
    assert pictures.shape == templates.shape
    found = correlations(pictures, templates)
    return bool((found.diagonal() > bounds[layer - 1]).all() and (found.argmax(1) == torch.arange(len(found))).all())


@pytest.mark.parametrize("planted", PLANTED)
@pytest.mark.parametrize("method", METHODS)
def test_what_was_planted_is_found(method, planted):
    assert finds(method, planted)


@pytest.mark.parametrize("planted", PLANTED)
@pytest.mark.parametrize("method", METHODS)
def test_some_units_are_those_of_all_in_their_order(method, planted):
    stack, layer, templates = PLANTED[planted]()
    some = METHODS[method][0](stack, layer, [3, 1])
    assert correlations(some, templates).argmax(1).tolist() == [3, 1]


def other(function, change):
    """The function with its result changed."""
    return lambda *arguments, **named: change(function(*arguments, **named))


BUGS = {
    "linear_combination": ("_paint", lambda x: x.flip(-1)),
    "top_down": ("downward", lambda x: x.roll(1, 0)),
    "clamped_samples": ("gibbs", lambda state: tuple(x.roll(1, 0) for x in state)),
    "maximize": ("upward", lambda fields: [-x for x in fields]),
}
"""What is wrong in the bug: pictures mirrored, units mixed up, chains mixed up, the valley climbed."""


@pytest.mark.parametrize("method", METHODS)
def test_a_planted_bug_is_noticed(method, monkeypatch):
    name, change = BUGS[method]
    assert finds(method, "conv_stack")
    monkeypatch.setattr(projections, name, other(getattr(projections, name), change))
    assert not finds(method, "conv_stack")


def test_chains_whose_unit_is_not_held_find_nothing(monkeypatch):
    gibbs = projections.gibbs
    monkeypatch.setattr(projections, "gibbs", lambda *of, clamp, **named: gibbs(*of, **named))
    assert not finds("clamped_samples", "filters")


class TestClampedSamples:
    def test_against_enumeration(self):
        """E[v | h_u = 1] - E[v | h_u = 0] of a small RBM; its error is that of 2 x 1000 chains."""
        stack = Stack(build_transform([]), [rbm(6, 3)], (1, 2, 3))
        machine = stack.machines[0]
        for parameter in machine.parameters():
            parameter.data = 0.8 * torch.randn(parameter.shape, generator=seeded(2))
        every = machine.units[1].states((3,))
        means = machine.units[0].mean(machine.links[0].down(every))
        p = (-machine.free_energy((None, every), 1)).softmax(0)
        found = projections.clamped_samples(stack, 1, generator=seeded(), chains=1000, sweeps=20).flatten(1)
        for unit in range(3):
            on = every[:, unit] == 1
            exact = (p[on] / p[on].sum()) @ means[on] - (p[~on] / p[~on].sum()) @ means[~on]
            torch.testing.assert_close(found[unit], exact, rtol=0, atol=0.02)

    def test_many_units_in_parts(self, monkeypatch):
        stack, layer, templates = dense()
        monkeypatch.setattr(projections, "CHUNK", 40)  # two units at once
        found = projections.clamped_samples(stack, layer, generator=seeded())
        assert correlations(found, templates).argmax(1).tolist() == [0, 1, 2, 3, 4]

    def test_a_seed_fixes_them(self):
        stack, layer, _ = filters()
        first, again, another = (
            projections.clamped_samples(stack, layer, [0], generator=seeded(s)) for s in (0, 0, 1)
        )
        assert torch.equal(first, again) and not torch.equal(first, another)


class TestMaximize:
    def test_moved_before_every_step_it_still_finds_its_own(self):
        stack, layer, templates = filters()
        found = correlations(projections.maximize(stack, layer, generator=seeded()), templates)
        assert found.argmax(1).tolist() == [0, 1, 2, 3]

    @pytest.mark.parametrize("planted", PLANTED)
    def test_pixels_stay_in_their_limits_and_the_norm_in_its_bound(self, planted):
        stack, layer, _ = PLANTED[planted]()
        pictures = projections.maximize(stack, layer, generator=seeded())
        low, high = stack.machines[0].units[0].limits
        assert float(pictures.min()) >= low and float(pictures.max()) <= high
        assert not pictures.requires_grad and all(p.grad is None for p in stack.parameters())

    def test_the_input_is_higher_than_that_of_the_template_itself(self):
        """At the same norm, in the layer that is maximized: of a filter there is nothing higher than the filter."""
        stack, layer, templates = filters()
        found = projections.maximize(stack, layer, generator=seeded(), jitter=0)
        norms = found.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
        best = templates * norms / templates.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
        reached, highest = ((x * templates).sum((1, 2, 3)) for x in (found, best))
        assert (reached > 0.98 * highest).all()


CORNERS = [(0, 0), (2, 4), (6, 2), (4, 6)]
"""Where the pictures of units of layer 2 stand, which move by two pixels."""


def examples(planted):
    """A picture for each unit, with its corner and size: what it means, strongly, of each block at one position."""
    stack, layer, templates = PLANTED[planted]()
    shown = 4 * drawn(BLOCK[0]) if layer == 2 else 2 * templates
    corners = CORNERS if layer == 2 else [(0, 0)] * len(templates)
    height, width = templates.shape[2:]
    images = torch.zeros(len(templates), *stack.picture)
    for picture, template, (top, left) in zip(images, shown, corners, strict=True):
        picture[:, top : top + height, left : left + width] = template
    return images, corners


def cut(pictures, corners, size):
    return torch.stack(
        [x[:, top : top + size[0], left : left + size[1]] for x, (top, left) in zip(pictures, corners, strict=True)]
    )


@pytest.mark.parametrize("planted", ["conv_stack", "deep_machine"])
class TestPath:
    def lit(self, planted):
        """Share of the light of each picture's path that is where its unit was planted, and the light there."""
        stack, layer, templates = PLANTED[planted]()
        images, corners = examples(planted)
        paths = projections.path(stack, layer, images=images)
        assert paths.shape == (4, 4, *stack.picture)
        own = paths[torch.arange(4), torch.arange(4)]
        inside = cut(own, corners, templates.shape[2:])
        return inside.abs().sum((1, 2, 3)) / own.abs().sum((1, 2, 3)), inside

    def test_it_lights_the_planted_pixels(self, planted):
        share, inside = self.lit(planted)
        assert (share > 0.999).all()
        found = correlations(inside, drawn(BLOCK[0]))
        assert (found.diagonal() > 0.8).all() and (found.argmax(1) == torch.arange(4)).all()

    def test_blocks_choose_one_of_their_units(self, planted):
        """The path is more like the picture than all that its blocks might have been."""
        _, inside = self.lit(planted)
        anything = correlations(drawn(*BLOCK), drawn(BLOCK[0])).diagonal()
        assert (correlations(inside, drawn(BLOCK[0])).diagonal() > anything + 0.2).all()

    def test_a_planted_bug_is_noticed(self, planted, monkeypatch):
        monkeypatch.setattr(projections, "_switches", lambda means, block: means.flip(-1))
        _, inside = self.lit(planted)
        assert not (correlations(inside, drawn(BLOCK[0])).diagonal() > 0.8).all()


def deep(*machines, picture):
    """Random weights in float64, so large that one pass down is far from what the machine expects."""
    stack, generator = Stack(build_transform([]), machines, picture).double(), seeded(4)
    for parameter in stack.parameters():
        parameter.data = 1.5 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
    return stack


DEEP = {
    "connected": (lambda: deep(dbm(6, [4, 3]), picture=(1, 2, 3)), (6,)),
    "convolutional": (lambda: deep(conv_dbm(1, [2, 2], [2, 1], [2, 1]), picture=(1, 3, 3)), (1, 3, 3)),
    "above another machine": (lambda: deep(rbm(6, 4), dbm(4, [3, 3]), picture=(1, 2, 3)), (4,)),
}
"""Name -> stack whose highest machine is deep, shape of what that one sees."""


class TestReconstruction:
    def errors(self, planted):
        """Squared distance of each picture (rows) to what comes back from the features of each (columns)."""
        stack, layer, _ = PLANTED[planted]()
        images, _ = examples(planted)
        images = images.clamp(0, 1) if planted == "dense" else images
        back = projections.reconstruction(stack, layer, images=images, generator=seeded())
        assert back.shape == images.shape
        return torch.cdist(images.flatten(1), back.flatten(1))

    @pytest.mark.parametrize("planted", PLANTED)
    def test_pictures_come_back_as_themselves(self, planted):
        errors = self.errors(planted)
        assert errors.argmin(1).tolist() == list(range(len(errors)))

    def test_a_planted_bug_is_noticed(self, monkeypatch):
        monkeypatch.setattr(projections, "downward", other(projections.downward, lambda x: x.flip(-1)))
        errors = self.errors("conv_stack")
        assert errors.argmin(1).tolist() != list(range(len(errors)))

    def test_layer_1_connected_is_one_pass_down(self):
        stack, _, _ = dense()
        images = torch.rand(3, 1, 6, 6, generator=seeded())
        machine = stack.machines[0]
        hidden = stack.features(images)[0]
        expected = machine.units[0].mean(machine.links[0].down(hidden)).view(3, 1, 6, 6)
        torch.testing.assert_close(projections.reconstruction(stack, 1, images=images, generator=seeded()), expected)

    @pytest.mark.parametrize("name", DEEP)
    @torch.no_grad()
    def test_higher_layers_of_deep_machines_against_enumeration(self, name):
        """E[picture | features] over all states of what is below the layer in its machine, where one pass down errs
        by more than .1; the average of 3,000 chains by .003."""
        stack, seen = DEEP[name][0](), DEEP[name][1]
        layer, machine = len(stack.layers), stack.machines[-1]
        images = torch.rand(2, *stack.picture, generator=seeded(3), dtype=torch.float64).round()
        found = projections.reconstruction(stack, layer, images=images, generator=seeded(), chains=3000, sweeps=30)
        held, expected = spread_over_blocks(stack, layer, stack.features(images)[-1]), []
        *below, _ = exact.states(machine, machine.shapes(seen), range(len(machine.units) - 1))
        for top in held:
            state = (*below, top.expand(len(below[0]), *top.shape))
            means = machine.units[0].mean(machine.field(state, 0))
            if len(stack.machines) > 1:
                means = downward(stack, 1, state[0])
            p = (-machine.energy(state)).softmax(0)
            expected.append((p @ means.flatten(1)).view(stack.picture))
        torch.testing.assert_close(found, torch.stack(expected), rtol=0, atol=0.01)
        assert float((downward(stack, layer, held) - torch.stack(expected)).abs().max()) > 0.1


class TestBestPatches:
    def found(self, planted):
        """For each unit, whether its best patch is where its template was planted."""
        stack, layer, templates = PLANTED[planted]()
        images, corners = examples(planted)
        best = patches.best_patches(stack, layer, images=ArrayImages(images.clamp(0, 1)), count=1)
        right = (best.pictures[:, 0] == torch.arange(len(templates))) & (
            best.corners[:, 0] == torch.tensor(corners)
        ).all(1)
        assert best.patches.shape == (len(templates), 1, *templates.shape[1:])
        return right

    @pytest.mark.parametrize("planted", PLANTED)
    def test_they_are_where_it_was_planted(self, planted):
        assert self.found(planted).all()

    def test_a_planted_bug_is_noticed(self, monkeypatch):
        monkeypatch.setattr(patches, "receptive_field", other(patches.receptive_field, lambda x: (x[0], 1)))
        assert not self.found("conv_stack").all()


CALLS = {
    **{name: METHODS[name][0] for name in METHODS},
    "path": lambda *of: projections.path(*of, images=torch.zeros(1, 1, 16, 14)),
    "best_patches": lambda *of: patches.best_patches(*of, images=ArrayImages(torch.zeros(1, 1, 16, 14))),
}


@pytest.mark.parametrize("method", CALLS)
@pytest.mark.parametrize(
    ("layer", "units", "message"),
    [
        (0, None, "layer=0: the model has layers 1 to 2"),
        (3, [0], "layer=3: the model has layers 1 to 2"),
        (2, [4], r"units=\[4\]: layer 2 has units 0 to 3"),
        (1, [-1], r"units=\[-1\]: layer 1 has units 0 to 3"),
        (1, [], r"units=\[\]: layer 1 has units 0 to 3"),
        ("all", None, "layer='all': the model has layers 1 to 2; choose one of them"),
        (1, "first", "units='first': layer 1 has units 0 to 3; choose from them"),
        (1, [0.5], r"units=\[0.5\]: layer 1 has units 0 to 3"),
        (1, [True], r"units=\[True\]: layer 1 has units 0 to 3"),
        (1, 4, "units=4: layer 1 has units 0 to 3"),
    ],
)
def test_what_is_not_there_is_refused(method, layer, units, message):
    stack, _, _ = conv_stack()
    with pytest.raises(ValueError, match=message):
        CALLS[method](stack, layer, units)


@pytest.mark.parametrize("layer", [0, 3])
def test_reconstruction_from_a_layer_that_is_not_there(layer):
    stack, _, _ = conv_stack()
    with pytest.raises(ValueError, match="the model has layers 1 to 2"):
        projections.reconstruction(stack, layer, images=torch.zeros(1, 1, 16, 14), generator=seeded())


@pytest.mark.parametrize("method", METHODS)
def test_connected_layers_of_a_deep_machine_fill_the_picture(method):
    """Layer 2 of a fully connected deep Boltzmann machine: each unit stands for one of layer 1."""
    templates = torch.randn(5, 1, 6, 6, generator=seeded(1)).sign()
    machine = dbm(36, [5, 4])
    machine.links[0].weight.data = templates.flatten(1).clone()
    machine.links[1].weight.data = 6 * torch.eye(5)[[2, 0, 4, 1]] - 1
    machine.units[1].bias.data.fill_(-1)
    stack = Stack(build_transform([]), [machine], (1, 6, 6))
    pictures = METHODS[method][0](stack, 2)
    assert pictures.shape == (4, 1, 6, 6)
    assert correlations(pictures, templates).argmax(1).tolist() == [2, 0, 4, 1]
