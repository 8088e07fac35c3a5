"""What a report shows of every unit, against the plain definitions, picture by picture."""

import pytest
import torch

from convdbn.energy import Gaussian
from convdbn.evaluation.selectivity import lifetime_sparseness, mutual_information
from convdbn.images import ArrayImages, build_transform
from convdbn.models.fitting import trimmed
from convdbn.models.machines import conv_rbm, dbm, rbm
from convdbn.models.passes import upward
from convdbn.models.stack import Stack
from convdbn.recipes.geometry import receptive_field
from convdbn.visual import projections, report_data
from convdbn.visual.patches import best_patches


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def randomized(stack):
    generator = seeded()
    with torch.no_grad():
        for parameter in stack.parameters():
            parameter.normal_(0, 0.5, generator=generator)
    return stack.eval()


def conv_stack():
    """Layer 1: 4 filters 3x3, blocks of 2; layer 2: 5 filters 2x2, blocks of 3; 1 pixel is padded at each edge."""
    machines = [conv_rbm(1, 4, 3, pool=2), conv_rbm(4, 5, 2, pool=3)]
    return randomized(Stack(build_transform([{"kind": "pad", "size": 1}]), machines, (1, 16, 16)))


def dense_stack():
    return randomized(Stack(build_transform([]), [rbm(36, 7), rbm(7, 3)], (1, 6, 6)))


def deep_machine():
    return randomized(Stack(build_transform([]), [dbm(36, [7, 4])], (1, 6, 6)))


def pictures(side, count=23):
    pixels = torch.rand(count, 1, side, side, generator=seeded(1))
    return ArrayImages(pixels, torch.arange(count) % 3, "noise", ["a", "b", "c", "none of these"])


CASES = [
    pytest.param(conv_stack(), pictures(15), id="convolutional, 1 pixel too many"),
    pytest.param(conv_stack(), pictures(14), id="convolutional"),
    pytest.param(dense_stack(), pictures(6), id="fully connected"),
    pytest.param(deep_machine(), pictures(6), id="deep machine"),
]


@pytest.mark.parametrize(("stack", "images"), CASES)
class TestResponses:
    def test_activity_is_the_highest_feature_of_a_picture(self, stack, images):
        found = report_data.responses(stack, images)
        assert len(found) == len(stack.layers)
        for response, maps in zip(found, stack.features(images.pixels, sizes="trim"), strict=True):
            activity = maps.flatten(2).amax(2) if maps.ndim == 4 else maps
            torch.testing.assert_close(response.mean, activity.mean(0))
            torch.testing.assert_close(response.sparseness, lifetime_sparseness(activity))
            bits = mutual_information(activity.numpy(), images.labels.numpy())
            torch.testing.assert_close(response.information, torch.from_numpy(bits))
            for number in range(3):
                mean = activity[images.labels == number].mean(0)
                torch.testing.assert_close(response.class_means[:, number], mean)
            assert response.class_means[:, 3].isnan().all()
            assert response.edges[[0, -1]].tolist() == [0, 1]
            for unit, column in enumerate(activity.T):
                counts = torch.histogram(column, response.edges)[0]
                assert response.histogram[unit].tolist() == counts.tolist()

    def test_best_patches_lie_where_the_input_is_largest(self, stack, images):
        """Every place of every picture is looked at, and the patch is cut out of the padded picture again."""
        shaped = stack.transform.shaping(images.pixels)
        fields = upward(stack, trimmed(stack.prepare(images.pixels), stack.geometry), len(stack.layers))
        for layer, (response, field) in enumerate(zip(report_data.responses(stack, images), fields, strict=True), 1):
            inputs = stack.layers[layer - 1].unit.biased(field)
            highest = inputs.flatten(2).amax(2) if inputs.ndim == 4 else inputs
            best = response.best
            torch.testing.assert_close(best.inputs, highest.topk(report_data.PATCHES, dim=0).values.T)
            for unit, rank in [(0, 0), (1, 3), (2, report_data.PATCHES - 1)]:
                number, (top, left) = int(best.pictures[unit, rank]), best.corners[unit, rank].tolist()
                torch.testing.assert_close(highest[number, unit], best.inputs[unit, rank])
                height, width = best.patches.shape[-2:]
                seen = shaped[number, :, top : top + height, left : left + width]
                assert torch.equal(best.patches[unit, rank], seen)
                if inputs.ndim == 4:
                    assert (height, width) == tuple(receptive_field(stack.geometry[:layer], a)[0] for a in (0, 1))
                    # The layers below, over that patch alone, give that input.
                    alone = upward(stack, seen[None], layer)[-1][0, unit, 0, 0]
                    torch.testing.assert_close(
                        alone + stack.layers[layer - 1].unit.bias[unit], best.inputs[unit, rank]
                    )


def test_of_one_layer_they_are_the_best_patches_of_that_layer():
    stack, images = conv_stack(), pictures(14)  # 16 with its padding: nothing to trim for either layer
    for layer, response in enumerate(report_data.responses(stack, images), start=1):
        for one, other in zip(response.best, best_patches(stack, layer, images=images), strict=True):
            assert torch.equal(one, other)


def test_without_labels_nothing_about_classes():
    images = ArrayImages(torch.rand(4, 1, 6, 6, generator=seeded()))
    response = report_data.responses(dense_stack(), images)[0]
    assert response.information is None and response.class_means is None
    assert response.best.patches.shape[:2] == (7, 4)  # there are no nine pictures


def test_signed_activities_have_a_range_of_their_own():
    stack = randomized(Stack(build_transform([]), [rbm(36, Gaussian(5))], (1, 6, 6)))
    images = pictures(6)
    response, activity = report_data.responses(stack, images)[0], stack.features(images.pixels)[0]
    assert response.edges[0] == activity.min() < 0 and response.edges[-1] == activity.max()
    assert response.histogram.sum(1).tolist() == [len(images)] * 5


@pytest.mark.parametrize("stack", [conv_stack(), dense_stack(), deep_machine()])
def test_projections_are_those_of_every_unit(stack, monkeypatch):
    monkeypatch.setattr(report_data, "CHUNK", 2)
    found = report_data.projections(stack, generator=seeded(3))
    again = report_data.projections(stack, generator=seeded(3))
    for layer, (pictures_, same) in enumerate(zip(found, again, strict=True), start=1):
        linear = projections.linear_combination(stack, layer)
        torch.testing.assert_close(pictures_["linear combination"], linear)
        torch.testing.assert_close(pictures_["top-down"], projections.top_down(stack, layer))
        assert pictures_["maximized input"].shape == linear.shape
        assert torch.equal(pictures_["maximized input"], same["maximized input"])
