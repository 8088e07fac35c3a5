"""Settings for further training of a model: fine-tuning as a classifier, and refinement of all its layers."""

from dataclasses import dataclass
from typing import Literal

from convdbn.recipes.fields import Settings, setting

Method = Literal["autoencoder", "up-down"]


@dataclass(frozen=True)
class FineTuning(Settings):
    """How a classifier is trained."""

    epochs: int = setting(60, low=1, help="Passes over the labeled pictures.")
    batch: int = setting(50, low=1, help="Pictures in one update.")
    rate: float = setting(1e-3, above=0, help="Highest learning rate of the layers, with Adam.")
    dropout: float = setting(
        0.5,
        low=0,
        below=1,
        help="Share of inputs to leave out at random, for each picture anew, in the linear map and in fully "
        "connected layers above another layer.",
    )
    distort: float = setting(
        1.0,
        low=0,
        help="Strength of random shifts, rotations, stretches and smooth distortions; 0 leaves the pictures as they "
        "are.",
    )
    sample_input: bool = setting(
        False, help="Take the input of the lowest layer as probabilities and draw bits from it in every update."
    )
    mirror: bool = setting(False, help="Mirror pictures at random; not for letters and digits.")
    adversarial: float = setting(
        0.0,
        low=0,
        help="Present each batch twice, the second time with every input value moved this far in the direction that "
        "raises the loss (Goodfellow, Shlens and Szegedy 2015); 0 presents it once.",
    )
    weight_decay: float = setting(
        1e-4, low=0, help="Weight decay: every update subtracts this share of the weights, times the learning rate."
    )
    held_out: float = setting(
        0.1,
        low=0,
        high=0.5,
        help="Share of the labeled pictures that select the best epoch; 0 trains on all of them to the end.",
    )
    seed: int = setting(0, low=0, help="Seed of everything random in the training.")


@dataclass(frozen=True)
class Refinement(Settings):
    """How a trained stack is refined."""

    method: Method = setting(
        help="autoencoder learns to reconstruct the input from the highest layer (Hinton and Salakhutdinov 2006). "
        "up-down learns to generate the input and to recognize it (Hinton, Osindero and Teh 2006)."
    )
    epochs: int = setting(30, low=1, help="Passes over the pictures.")
    batch: int = setting(100, low=1, help="Pictures in one update.")
    rate: float = setting(
        1e-3,
        above=0,
        help="Highest learning rate, with Adam; it rises over the first tenth of the updates, then falls to 0.",
    )
    distort: float = setting(
        0.0,
        low=0,
        needs={"method": "autoencoder"},
        help="Strength of random shifts, rotations, stretches and smooth distortions of an autoencoder's pictures.",
    )
    k: int = setting(
        3,
        low=1,
        needs={"method": "up-down"},
        help="Gibbs sweeps of the top machine at the first update of up-down learning, which rise to `k_end`.",
    )
    k_end: int = setting(
        10, low=1, needs={"method": "up-down"}, help="Gibbs sweeps of the top machine at the last update."
    )
    seed: int = setting(0, low=0, help="Seed of everything random in the training.")
