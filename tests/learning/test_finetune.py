"""Fine-tuning: what judges the epochs, what a seed fixes, and that it learns."""

import pytest
import torch
from torch.nn import functional as F

from convdbn.energy import Gaussian
from convdbn.errors import DataError, UsageError
from convdbn.images import ArrayImages, build_transform, open_images
from convdbn.learning.backprop import shuffled
from convdbn.learning.finetune import FineTuning, _split, adversarial, confusion, error, finetune, logits, shaped
from convdbn.models.classifier import Classifier
from convdbn.models.machines import conv_rbm, dbm
from convdbn.models.pyramid import SpatialPyramid
from convdbn.models.stack import Stack
from convdbn.storage.resumable import Checkpointing


def network(classes, transform=()):
    machine = conv_rbm(Gaussian(1), 8, 3, pool=2)
    generator = torch.Generator().manual_seed(0)
    machine.links[0].weight.data.normal_(0, 0.3, generator=generator)
    return Classifier.from_stack(
        Stack(build_transform(transform), [machine], (1, 8, 8)), classes, SpatialPyramid((1,), (3,))
    )


@pytest.fixture(scope="module")
def digits():
    return open_images("digits").select(range(0, 1436, 4)), open_images("digits", split="test")


def test_learns_digits_and_repeats_itself(digits):
    train, test = digits
    settings = FineTuning(epochs=15, batch=20, rate=0.003, distort=0.3)
    trained, again = (finetune(network(train.classes), train, settings) for _ in range(2))
    assert not trained.training
    assert error(trained, test) < 25  # 90 at first
    for name, value in trained.state_dict().items():
        assert (value == again.state_dict()[name]).all(), name


def test_the_log_has_the_mean_loss_of_each_epoch(digits, caplog):
    """Before each update the loss of its batch is computed here too, by the network as it is then."""
    train = digits[0].select(range(40))
    settings = FineTuning(epochs=2, batch=10, rate=0.1, dropout=0.0, distort=0.0, held_out=0)
    tuned, order = network(train.classes), shuffled(40, 10, seed=settings.seed)
    pictures, losses = train[range(40)], []

    def compute(*_):
        index = next(order)
        losses.append(F.cross_entropy(tuned(pictures[index]), train.labels[index]).item())

    with caplog.at_level("INFO", "convdbn"):
        finetune(tuned, train, settings, Checkpointing(write=compute, stop=compute))
    expected = [sum(losses[:4]) / 4, sum(losses[4:8]) / 4]
    assert abs(expected[0] - losses[3]) > 0.01
    logged = [float(record.getMessage().split("mean loss ")[1]) for record in caplog.records]
    assert logged == pytest.approx(expected, abs=2e-4)


class Augmented(ArrayImages):
    """Pictures that a user's augmentation changes at every presentation."""

    changing = True
    reads = 0

    def __getitem__(self, indices):
        self.reads += len(indices)
        return super().__getitem__(indices)


@pytest.mark.parametrize("distort", [0.0, 0.5])
def test_pictures_that_change_are_read_at_every_presentation(digits, distort):
    train = digits[0].select(range(40))
    augmented = Augmented(train[range(40)], train.labels % 2)
    settings = FineTuning(epochs=3, batch=10, distort=distort, held_out=0)
    finetune(network(augmented.classes), augmented, settings)
    assert augmented.reads == 40 + 3 * 40  # once to look at them, then in each epoch
    still = finetune(network(augmented.classes), ArrayImages(train[range(40)], train.labels % 2), settings)
    again = finetune(network(augmented.classes), augmented, settings)
    for one, other in zip(still.parameters(), again.parameters(), strict=True):
        torch.testing.assert_close(one, other)


def test_the_global_generator_is_left_alone(digits):
    tuned = network(digits[0].classes)
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    finetune(tuned, digits[0], FineTuning(epochs=1))
    assert (torch.rand(3) == expected).all()


def test_the_epoch_that_the_held_out_share_likes_best_is_kept(digits, caplog):
    """Labels without meaning: the longer they are learned by heart, the worse for the rest."""
    caplog.set_level("INFO")
    random = torch.randint(10, (359,), generator=torch.Generator().manual_seed(0))
    train = ArrayImages(digits[0][range(359)], random)
    settings = FineTuning(epochs=8, batch=20, rate=0.003, distort=0, held_out=0.3)
    trained = finetune(network(train.classes), train, settings)
    messages = [record.message for record in caplog.records if "held-out" in record.message]
    judged = [float(message.split("held-out ")[1]) for message in messages]
    assert len(judged) == 8
    assert min(judged) < judged[-1] - 5e-3, "the run does not show what it is for"
    held = _split(random, settings)[1]
    kept = F.cross_entropy(logits(trained, shaped(trained, train, held)), random[held])
    assert float(kept) == pytest.approx(min(judged), abs=1e-3)


def test_every_class_judges_and_no_judge_is_trained_on(digits):
    train, _ = digits
    kept, held = _split(train.labels, FineTuning(held_out=0.2))
    assert len(held) == 72 and set(kept.tolist()).isdisjoint(held.tolist())
    assert len(kept) + len(held) == len(train)
    assert len(train.labels[held].unique()) == 10


def test_pictures_of_several_sizes_are_brought_to_one():
    class Mixed(ArrayImages):
        def __getitem__(self, indices):
            return [
                picture[:, : 8 + int(i)] for i, picture in zip(indices, super().__getitem__(indices), strict=True)
            ]

    images = Mixed(torch.rand(4, 1, 16, 16), torch.tensor([0, 1, 0, 1]))
    resized = network(images.classes, [{"kind": "resize", "size": 8}])
    assert shaped(resized, images, torch.arange(4)).shape == (4, 1, 8, 8)
    with pytest.raises(DataError, match="several sizes"):
        shaped(network(images.classes), images, torch.arange(4))


def test_refusals(digits):
    with pytest.raises(DataError, match="no labels"):
        finetune(network(["a", "b"]), ArrayImages(torch.rand(4, 1, 8, 8)), FineTuning())
    with pytest.raises(UsageError, match="rate=0"):
        FineTuning(rate=0)
    for name in ("distort", "adversarial", "weight_decay"):
        with pytest.raises(UsageError, match=f"{name}=-1: must be at least 0"):
            FineTuning(**{name: -1})


def test_a_deep_machine_learns_from_labels_with_drawn_bits(digits):
    """Every weight of the unrolled network moves, the machine that infers does not."""
    train, test = digits
    machine = dbm(64, [30, 20])
    for seed, link in enumerate(machine.links):
        link.weight.data.normal_(0, 0.1, generator=torch.Generator().manual_seed(seed))
    stack = Stack(build_transform([]), [machine], (1, 8, 8))
    network = Classifier.from_stack(stack, train.classes, SpatialPyramid((2,)))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    settings = FineTuning(epochs=40, batch=20, rate=0.01, distort=0, dropout=0.1, sample_input=True)
    finetune(network, train, settings)
    assert error(network, test) < 25  # 90 at first
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name]) == name.startswith("machine."), name


def test_the_worst_neighbor_of_a_linear_loss():
    """It lies in the corner of the box that the weights point to, cut at the range of the batch."""
    weights = torch.tensor([2.0, -3.0, 0.5])
    x = torch.tensor([[0.5, 0.5, 0.5], [0.0, 1.0, 0.95]], requires_grad=True)
    moved = adversarial(x, (x @ weights).sum(), 0.1)
    torch.testing.assert_close(moved, torch.tensor([[0.6, 0.4, 0.6], [0.1, 0.9, 1.0]]))
    assert not moved.requires_grad


def test_a_network_that_saw_the_worst_neighbors_bears_them(digits):
    train, test = digits
    pictures, losses = test[range(len(test))], []
    for strength in (0.0, 0.1):
        tuned = network(train.classes)
        finetune(tuned, train, FineTuning(epochs=15, batch=20, rate=0.003, distort=0, adversarial=strength))
        x = pictures.clone().requires_grad_()
        moved = adversarial(x, F.cross_entropy(tuned(x), test.labels), 0.1)
        losses.append(float(F.cross_entropy(tuned(moved), test.labels).detach()))
    assert losses[1] < 0.8 * losses[0]


def test_confusion_counts_every_picture_once_in_the_row_of_its_class(digits):
    tuned, (_, test) = network(digits[0].classes), digits
    tuned.linear.weight.data.normal_(generator=torch.Generator().manual_seed(1))
    counts = confusion(tuned, test)
    predicted = logits(tuned, test[range(len(test))]).argmax(1)
    expected = torch.zeros(10, 10, dtype=torch.long)
    for label, guess in zip(test.labels.tolist(), predicted.tolist(), strict=True):
        expected[label, guess] += 1
    assert torch.equal(counts, expected)
    assert error(tuned, test) == pytest.approx(100 * float((predicted != test.labels).float().mean()))


def test_bits_of_real_values_are_refused(digits):
    tuned = network(digits[0].classes, [{"kind": "local_contrast", "size": 3, "epsilon": 0.1}])
    with pytest.raises(UsageError, match="sample_input=True"):
        finetune(tuned, digits[0], FineTuning(epochs=1, distort=0, sample_input=True))
