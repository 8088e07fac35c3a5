import pytest
import torch

from convdbn.errors import DataError
from convdbn.images import ArrayImages, hold_out, stratified
from convdbn.images.splits import labels_of


def images(count):
    return ArrayImages(torch.rand(count, 1, 12, 12, generator=torch.Generator().manual_seed(0)))


def test_hold_out():
    pictures = images(50)
    seen, unseen = hold_out(pictures, 5, seed=3)
    assert (len(seen), len(unseen)) == (45, 5)
    both = torch.cat([seen[range(45)], unseen[range(5)]]).flatten(1)
    assert torch.equal(both.sort(0).values, pictures[range(50)].flatten(1).sort(0).values)
    again = hold_out(pictures, 5, seed=3)[1]
    assert torch.equal(again[range(5)], unseen[range(5)])
    assert not torch.equal(hold_out(pictures, 5, seed=4)[1][range(5)], unseen[range(5)])


@pytest.mark.parametrize("count", [6, 50])
def test_at_most_a_tenth_is_held_out(count):
    seen, unseen = hold_out(images(50), count, seed=0)
    assert (len(seen), len(unseen)) == (45, 5)


@pytest.mark.parametrize(("pictures", "count"), [(50, 0), (9, 5)])
def test_too_few_pictures_to_hold_out_any(pictures, count):
    pictures = images(pictures)
    assert hold_out(pictures, count, seed=0) == (pictures, None)


def test_what_needs_labels_says_how_to_give_them():
    for function in (labels_of, lambda pictures: stratified(pictures, "test")):
        with pytest.raises(DataError, match=r"data='pictures': has no labels; pass \(pictures, labels\), or put"):
            function(images(10))
    assert labels_of(ArrayImages(torch.zeros(2, 1, 5, 5), [1, 0])).tolist() == [1, 0]
