import numpy as np
import pytest
import torch

from convdbn.errors import DataError, UsageError
from convdbn.images import as_images

PICTURES = np.zeros((4, 8, 8), np.uint8)


@pytest.mark.parametrize("labels", [[0, 2, 1, 0], np.array([0, 2, 1, 0], np.uint8), torch.tensor([0, 2, 1, 0])])
def test_integers_are_indices(labels):
    for images in (as_images(PICTURES, labels), as_images((PICTURES, labels))):
        assert images.labels.tolist() == [0, 2, 1, 0] and images.labels.dtype == torch.int64
        assert images.classes == ["0", "1", "2"]
    assert as_images(PICTURES, labels, classes=["a", "b", "c", "d"]).classes == ["a", "b", "c", "d"]


@pytest.mark.parametrize("labels", [["dog", "cat", "dog", "ant"], np.array(["dog", "cat", "dog", "ant"])])
def test_names_are_sorted_or_in_the_order_of_the_classes(labels):
    images = as_images(PICTURES, labels)
    assert images.classes == ["ant", "cat", "dog"] and images.labels.tolist() == [2, 1, 2, 0]
    images = as_images(PICTURES, labels, classes=["dog", "cow", "cat", "ant"])
    assert images.classes == ["dog", "cow", "cat", "ant"] and images.labels.tolist() == [0, 2, 0, 3]


def test_other_hashable_labels():
    images = as_images(PICTURES, [True, False, True, True])
    assert images.classes == ["False", "True"] and images.labels.tolist() == [1, 0, 1, 1]
    images = as_images(PICTURES, [("a", 1), ("b", 2), ("a", 1), ("a", 1)], classes=[("b", 2), ("a", 1)])
    assert images.classes == ["('b', 2)", "('a', 1)"] and images.labels.tolist() == [1, 0, 1, 1]


def test_a_set_takes_other_labels_and_names():
    images = as_images(PICTURES, [0, 1, 0, 1])
    named = as_images(images, classes=["a", "b"], name="letters")
    assert named.classes == ["a", "b"] and named.name == "letters" and named.labels.tolist() == [0, 1, 0, 1]
    assert images.classes == ["0", "1"] and images.name == "pictures"
    assert as_images(images.select([3, 0]), labels=["x", "y"]).classes == ["x", "y"]


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0, 1], r"labels=\[2 labels\]: is not one for each of 4 pictures"),
        (np.zeros((4, 1), int), r"labels=int64\(4, 1\): is not one for each of 4 pictures; give the shape \(4,\)"),
        ([0.5, 1, 2, 3], "labels=0.5: is not a class; give each picture an integer or a name"),
        (np.zeros(4), "labels=0.0: is not a class"),
        ([0, None, 1, 2], "labels=None: is not a class"),
        ([[0], [1], [2], [3]], r"labels=\[0\]: is not a class"),
        ([0, -1, 1, 2], "labels=-1: is not in 0 to"),
        ([0, 1, 2, 10**9], "labels=1000000000: is not in 0 to .*give the labels as strings"),
        ("abcd", "labels='abcd': is not one for each of 4 pictures; give a list or an array"),
        (3, "labels=3: is not one for each of 4 pictures"),
        ([{1}, {2}, {3}, {4}], "labels: .*unhashable.*; give each picture an integer or a name"),
    ],
)
def test_wrong_labels(labels, message):
    with pytest.raises(DataError, match=message):
        as_images(PICTURES, labels)


def test_wrong_classes():
    with pytest.raises(DataError, match=r"labels='cow': is not in classes=\['cat', 'dog'\]; add it"):
        as_images(PICTURES, ["cat", "cow", "dog", "dog"], classes=["cat", "dog"])
    with pytest.raises(UsageError, match=r"classes=\['a', 'a'\]: has the same name twice"):
        as_images(PICTURES, [0, 0, 1, 1], classes=["a", "a"])
    with pytest.raises(UsageError, match=r"classes='cat': is a single name; give a list"):
        as_images(PICTURES, [0, 0, 1, 1], classes="cat")
    with pytest.raises(UsageError, match=r"classes=\['a'\]: the pictures have no labels; give labels too"):
        as_images(PICTURES, classes=["a"])
    with pytest.raises(UsageError, match=r"labels: are in data=\(pictures, labels\) already"):
        as_images((PICTURES, [0, 0, 1, 1]), [0, 0, 1, 1])
    with pytest.raises(DataError, match=r"data=tuple of 3: is not \(pictures, labels\)"):
        as_images((PICTURES, PICTURES, PICTURES))
