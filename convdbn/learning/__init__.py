"""Learning: the training of a machine, of a stack, and of a network. Only this package changes parameters."""

from convdbn.learning.greedy import Callback, train_greedily
from convdbn.learning.penalty import Penalty
from convdbn.learning.phases import NegativePhase
from convdbn.learning.trainer import Trainer

__all__ = ["Callback", "NegativePhase", "Penalty", "Trainer", "train_greedily"]
