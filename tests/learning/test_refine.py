"""Stacks refined as a whole: up-down learning against the exact bound, autoencoders against principal components."""

import pytest
import torch
from sklearn.decomposition import PCA

import convdbn
from convdbn.energy import Gaussian
from convdbn.errors import UsageError
from convdbn.evaluation.reconstruction import squared_error
from convdbn.images import as_images, build_transform
from convdbn.learning.refine import Refinement, decoded, encoded, refine, refine_on
from convdbn.models.files import open_model, save
from convdbn.models.machines import conv_rbm, labeled_rbm, rbm
from convdbn.models.stack import Stack
from convdbn.sampling import exact
from convdbn.sampling.bound import log_density, unnormalized_stack
from convdbn.sampling.labels import label_logits


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def stack_of(*machines, scale=0.1):
    stack, generator = Stack(build_transform([]), machines, (1, 1, machines[0].units[0].n)), seeded(3)
    with torch.no_grad():
        for parameter in stack.parameters():
            parameter.normal_(0, scale, generator=generator)
    return stack


@torch.no_grad()
def exact_bound(stack, visible):
    """Bound of Hinton, Osindero and Teh (2006, equation 11), every state of the middle layer summed, `(B,)`."""
    (lower, top), generative = stack.machines, stack.downward(0)
    hidden = exact.states(top, top.shapes((top.units[0].n,)), [0])[0]
    count = len(hidden)
    log_top = -top.free_energy((hidden, None)) - exact.log_z(top, top.shapes(hidden.shape[1:]))
    bounds = []
    for v in visible:
        rows = v.expand(count, -1)
        log_q = log_density(lower.units[1], lower.field((rows, None), 1), hidden)
        log_p = log_density(generative.units[0], generative.field((None, hidden), 0), rows)
        bounds.append((log_q.exp() * (log_p - log_q + log_top)).sum())
    return torch.stack(bounds)


def patterns():
    """Three pictures of 6 pixels, in shares 2 : 1 : 1."""
    return torch.tensor([[1.0, 1, 1, 0, 0, 0], [0, 0, 0, 1, 1, 1], [1, 0, 1, 0, 1, 0]])[torch.arange(400) % 4 % 3]


def test_up_down_raises_the_exact_bound():
    stack, data = stack_of(rbm(6, 4), rbm(4, 3)), patterns()
    before = float(exact_bound(stack, data).mean())
    refine(stack, data, Refinement("up-down", epochs=150, batch=50, rate=0.1))
    after = float(exact_bound(stack, data).mean())
    # The entropy of the patterns is 1.04 nats, and no model can say more than -1.04 of them.
    assert before < -4 and -1.2 < after < -1.03
    # Single draws estimate it without bias, with a spread below .5: .05 is 9 standard errors.
    rows = data.repeat(20, 1)
    top = stack.machines[1]
    drawn = unnormalized_stack(list(stack.machines), rows, generator=seeded(), downward=stack.generative)
    estimate = drawn.mean() - exact.log_z(top, top.shapes((4,)))
    assert float(estimate.detach()) == pytest.approx(after, abs=0.05)


def test_up_down_with_labels_classifies():
    """The label that stands with each picture is the most probable one afterwards."""
    stack, data = stack_of(rbm(6, 5), labeled_rbm(5, 6, 3)), patterns()
    labels = torch.eye(3)[torch.arange(400) % 4 % 3]
    refine(stack, data, Refinement("up-down", epochs=150, batch=50, rate=0.1), labels=labels)
    lower, top = stack.machines
    with torch.no_grad():
        found = label_logits(top, lower.units[1].mean(lower.field((data, None), 1)))
    assert torch.equal(found.argmax(1), labels.argmax(1))


def test_a_linear_autoencoder_comes_to_the_principal_components():
    data = torch.randn(500, 2, generator=seeded()) @ torch.randn(2, 6, generator=seeded(1))
    data = data + 0.3 * torch.randn(500, 6, generator=seeded(2))
    data = data - data.mean(0)
    stack = stack_of(rbm(Gaussian(6), Gaussian(2)))
    assert squared_error(stack, data) > 2
    refine(stack, data, Refinement("autoencoder", epochs=150, batch=50, rate=0.03))
    pca = PCA(2).fit(data)
    best = float((pca.inverse_transform(pca.transform(data)) - data.numpy()).__pow__(2).sum(1).mean())
    assert best <= squared_error(stack, data) + 1e-6 < 1.01 * best


def test_an_autoencoder_begins_with_its_layers_and_is_saved_with_its_decoder(tmp_path):
    stack, data = stack_of(rbm(6, 4), rbm(4, Gaussian(2)), scale=1.0), patterns()
    code = stack.features(data[:9].view(9, 1, 1, 6))[-1]
    torch.testing.assert_close(encoded(stack, data[:9]), code)
    tied = decoded(stack, code)
    refine(stack, data, Refinement("autoencoder", epochs=1, batch=400, rate=1e-9))
    torch.testing.assert_close(decoded(stack, code), tied)
    refine(stack, data, Refinement("autoencoder", epochs=100, batch=100, rate=0.03))
    assert squared_error(stack, data) < 0.1
    save(tmp_path / "model.safetensors", stack, {})
    again = open_model(tmp_path / "model.safetensors", "model").model
    assert torch.equal(decoded(again, encoded(again, data)), decoded(stack, encoded(stack, data)))
    assert not torch.equal(again.downward(0).links[0].weight, again.machines[0].links[0].weight)


def test_distortions_are_of_the_pictures_and_anew_at_every_presentation():
    """An autoencoder of shifted strokes gives back strokes that it never saw where they are."""
    picture = torch.zeros(1, 10, 10)
    picture[0, 2:8, 4] = 1
    stack = Stack(build_transform([]), [rbm(100, 30)], (1, 10, 10))
    moved = torch.cat([picture.roll((dy, dx), (1, 2)).view(1, 100) for dy in (-1, 0, 1) for dx in (-1, 0, 1)])
    errors = []
    for distort in (0.0, 2.0):
        fresh = stack_of(rbm(100, 30))
        fresh.picture = stack.picture
        refine(fresh, picture.view(1, 100).repeat(50, 1), Refinement("autoencoder", 100, 50, 0.02, distort=distort))
        errors.append(squared_error(fresh, moved))
    assert errors[1] < 0.6 * errors[0]


class Numbered(torch.utils.data.Dataset):
    """Flat pictures that get lighter with every reading, and a count of the readings."""

    def __init__(self):
        self.readings = [0] * 6

    def __len__(self):
        return 6

    def __getitem__(self, index):
        self.readings[index] += 1
        return torch.full((1, 5, 5), index / 10 + self.readings[index] / 100)


@pytest.mark.parametrize("changing", [True, False])
def test_a_dataset_is_read_anew_for_every_update(changing):
    """Three epochs of two updates read each of the six pictures three times more than a set that does not change."""
    data = Numbered()
    images = as_images(data, changing=changing)
    before = list(data.readings)
    stack = Stack(build_transform([]), [rbm(25, 3)], (1, 5, 5))
    refine_on(stack, images, Refinement("autoencoder", epochs=3, batch=3))
    assert [after - first for after, first in zip(data.readings, before, strict=True)] == [4 if changing else 1] * 6


def test_the_same_seed_gives_the_same_stack():
    def refined(seed):
        stack = stack_of(rbm(6, 4), rbm(4, 3))
        return refine(stack, patterns(), Refinement("up-down", epochs=2, batch=50, seed=seed)).state_dict()

    first, again, other = refined(0), refined(0), refined(1)
    assert all(torch.equal(x, again[name]) for name, x in first.items())
    assert any(not torch.equal(x, other[name]) for name, x in first.items())


def test_stacks_without_a_single_pass_are_refused():
    stack = Stack(build_transform([]), [conv_rbm(1, 2, 3)], (1, 6, 6))
    with pytest.raises(UsageError, match="fully connected"):
        refine(stack, torch.rand(4, 1, 6, 6), Refinement("autoencoder"))
    with pytest.raises(UsageError, match="has label units"):
        refine(stack_of(labeled_rbm(6, 4, 3)), patterns(), Refinement("autoencoder"))
    with pytest.raises(UsageError, match="method='sideways': choose from autoencoder, up-down"):
        Refinement("sideways")
    with pytest.raises(UsageError, match="epochs=0: must be at least 1"):
        Refinement("autoencoder", epochs=0)


def test_refined_from_the_verb_and_measured(tmp_path):
    convdbn.train(
        recipe="rbm", data="digits", output_dir=tmp_path / "run", filters=[30, 8], hidden=["bernoulli", "gaussian"],
        updates=60, rate=[0.1, 0.001], held_out=0, device="cpu",
    )  # fmt: skip
    where = {"data": "digits", "device": "cpu"}
    before = convdbn.reconstruction(tmp_path / "run", **where)
    stack = convdbn.refine(
        model=tmp_path / "run", method="autoencoder", epochs=60, rate=0.01, output_dir=tmp_path / "deep", **where
    )
    assert len(stack.generative) == 2
    after = convdbn.reconstruction(tmp_path / "deep", **where)
    assert after["squared_error"] < 0.7 * before["squared_error"]
    assert after["pca_squared_error"] == before["pca_squared_error"] > 0 and after["code"] == 8
    assert convdbn.inspect(tmp_path / "deep")["finished"]
    with pytest.raises(UsageError, match="holds a run already"):
        convdbn.refine(model=tmp_path / "run", method="up-down", output_dir=tmp_path / "deep", **where)
