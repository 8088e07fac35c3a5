"""What a training run does: the settings of each layer, and what holds for all of them."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from convdbn.errors import UsageError
from convdbn.recipes.fields import Settings, setting


@dataclass(frozen=True)
class LayerSettings(Settings):
    """How one layer is built and trained. Defaults are those of Hinton's practical guide (2010) where it has one."""

    filters: int = setting(64, low=1, group="layer", help="Hidden units, or maps of a convolutional layer.")
    kernel: int = setting(
        0,
        low=0,
        group="layer",
        help="Side of the filters, in pixels of the layer's input; 0 makes a fully connected layer.",
    )
    pool: int = setting(
        2, low=1, group="layer", help="Side of the pooling blocks of a convolutional layer; 1 means no pooling."
    )
    visible: Literal["bernoulli", "gaussian"] = setting("bernoulli", group="layer", help="Visible units.")
    variance: Literal["fixed", "scalar", "unit"] = setting(
        "fixed",
        group="layer",
        help="Variance of Gaussian visible units: fixed by sigma, or learned from there: one number for all units "
        "(scalar), or one for each pixel or map (unit).",
    )
    hidden: Literal["bernoulli", "gaussian", "noisy_relu"] = setting(
        "bernoulli",
        group="layer",
        help="Hidden units of a fully connected layer. gaussian, with variance 1, makes a linear code; noisy_relu "
        "makes counts (Nair and Hinton 2010). A layer above either of them needs gaussian visible units.",
    )
    sigma: float = setting(
        1.0,
        low=1e-3,
        high=1e3,
        group="layer",
        help="Standard deviation of Gaussian visible units at the first update, in units of the transformed data.",
    )
    sigma_end: float = setting(
        1.0,
        low=1e-3,
        high=1e3,
        group="layer",
        help="Standard deviation after 70 % of the updates; until then it moves there geometrically.",
    )
    crop: int = setting(
        0,
        low=0,
        group="input",
        help="Side of the random crops of its input that the layer is trained on; 0 takes whole pictures.",
    )
    updates: int = setting(1000, low=1, group="input", help="Number of parameter updates.")
    batch: int = setting(20, low=1, group="input", help="Pictures or crops in one update.")
    sample_input: bool = setting(
        False,
        group="input",
        help="Take an input in [0, 1] as probabilities and draw bits from it at every presentation. Above the first "
        "layer, all layers below are drawn too, from the pictures up.",
    )
    objective: Literal["likelihood", "denoising"] = setting(
        "likelihood",
        group="objective",
        help="likelihood contrasts the data with the model's own samples. denoising restores a damaged input, as an "
        "autoencoder with tied weights does (Vincent et al. 2008).",
    )
    corruption: float = setting(
        0.25, low=0, high=1, group="objective", help="Share of the input that denoising sets to 0."
    )
    generative: float = setting(1.0, low=0, group="objective", help="Weight of the likelihood in the objective.")
    discriminative: float = setting(
        0.0,
        low=0,
        group="objective",
        help="Weight of log p(label | input) in the objective (Larochelle and Bengio 2008); needs labels.",
    )
    phase: Literal["cd", "pcd", "fast-pcd", "tempering"] = setting(
        "cd",
        group="phases",
        help="Negative phase: contrastive divergence (cd), persistent chains (pcd), persistent chains with fast "
        "weights (fast-pcd), or parallel tempering.",
    )
    fast_rate: float = setting(
        0.01,
        above=0,
        group="phases",
        help="Learning rate of the fast weights of fast-pcd. Every update forgets a twentieth of them.",
    )
    k: int = setting(
        1,
        low=1,
        group="phases",
        help="Gibbs sweeps of the negative phase in one update; tempering takes twice as many.",
    )
    k_end: int = setting(
        0, low=0, group="phases", help="Sweeps at the last update; the number moves there linearly. 0 stays at k."
    )
    temperatures: int = setting(
        10, low=1, group="phases", help="Replicas of each chain in parallel tempering, each at its own temperature."
    )
    centering: Literal["none", "data", "model", "both"] = setting(
        "none",
        group="phases",
        help="Learn as if each unit were its difference from its mean: in the data, in the model, or halfway between "
        "(both).",
    )
    noise_free: bool = setting(
        False,
        group="phases",
        help="cd reconstructs visible units as means, without noise, as Lee et al. do for natural images.",
    )
    border: int = setting(
        0,
        low=0,
        group="phases",
        help="cd leaves so many outermost pixels of the input as they are, because fewer hidden units see them. The "
        "side of the filters less 1 covers all such pixels.",
    )
    mean_field: int = setting(
        10,
        low=1,
        group="phases",
        help="Sweeps of mean field in the positive phase of joint training.",
    )
    labels: bool = setting(
        False,
        group="labels",
        help="Join label units, one for each class of the data, to the hidden layer. The layer must be the highest "
        "and fully connected.",
    )
    labeled: int = setting(
        0,
        low=0,
        group="labels",
        help="Number of pictures whose labels are used, equally many of each class; labels of the others are "
        "inferred. 0 uses all labels.",
    )
    optimizer: Literal["adam", "sgd"] = setting(
        "sgd", group="optimizer", help="SGD with momentum, or Adam with a second-moment decay of .99."
    )
    rate: float = setting(0.01, above=0, group="optimizer", help="Learning rate of the weights at the first update.")
    rate_end: float = setting(
        0.0, low=0, group="optimizer", help="Learning rate at the last update; it moves there linearly."
    )
    bias_rate: float = setting(
        1.0, above=0, group="optimizer", help="Learning rate of the biases, as a multiple of the weights'."
    )
    momentum: float = setting(
        0.5, low=0, below=1, group="optimizer", help="Momentum at the start (Adam: decay of the first moment)."
    )
    momentum_end: float = setting(
        0.9, low=0, below=1, group="optimizer", help="Momentum after a tenth of the updates."
    )
    l2: float = setting(0.0, low=0, group="optimizer", help="Weight decay; biases do not decay.")
    precision: Literal["float32", "tf32", "bfloat16"] = setting(
        "float32",
        group="optimizer",
        help="Precision of the products during training; states stay float32. tf32 is for NVIDIA GPUs. bfloat16 is "
        "faster on GPUs and on processors with matrix units for it.",
    )
    sparsity: Literal["none", "bias", "decayed"] = setting(
        "none",
        group="sparsity",
        help="Pull the mean activation of each hidden unit towards the target: by its bias (Lee et al. 2009), or "
        "by a decayed average (Hinton 2010).",
    )
    target: float = setting(0.05, low=0, high=1, group="sparsity", help="Mean activation that sparsity aims at.")
    strength: float = setting(1.0, low=0, group="sparsity", help="Strength of the pull.")
    init: Literal["normal", "kmeans", "spherical", "transposed"] = setting(
        "normal",
        group="start",
        help="Initial weights. normal is noise. kmeans takes centroids of patches of the input (Sohn et al. 2011). "
        "spherical does so too, with equally many patches from each picture, all of one length, for pictures of "
        "several kinds. transposed takes the weights of the fully connected layer below, and noise for hidden units "
        "beyond those (Hinton et al. 2006).",
    )
    weight_std: float = setting(0.01, above=0, group="start", help="Standard deviation of the initial weights.")
    hidden_bias: float = setting(
        0.0, group="start", help="Initial hidden biases; initial visible biases come from the data."
    )


def _steps(name: str, value: Any) -> tuple[Mapping[str, Any], ...]:
    if not isinstance(value, list | tuple) or not all(isinstance(step, Mapping) and "kind" in step for step in value):
        raise UsageError(f"{name}={value!r}: is no list of steps; write one such as [{{kind: pad, size: 2}}]")
    return tuple(value)


def _layers(name: str, value: Any) -> tuple[LayerSettings, ...]:
    if not isinstance(value, list | tuple) or not value or not all(isinstance(x, LayerSettings) for x in value):
        raise UsageError(f"{name}={value!r}: is no list of layers; write one such as [LayerSettings(filters=40)]")
    return tuple(value)


@dataclass(frozen=True)
class Recipe(Settings):
    """A stack of layers, the transform of its pictures, and the seed of everything random."""

    transform: tuple[Mapping[str, Any], ...] = setting(
        (), convert=_steps, help="Transform of the pictures, a list of steps such as [{kind: pad, size: 2}]."
    )
    layers: tuple[LayerSettings, ...] = setting(
        (LayerSettings(),), convert=_layers, help="Settings of each layer, from the lowest."
    )
    initial: str = setting(
        "",
        help="Trained model (run folder, file, or name of a packaged model) that has the lowest layers of this one. "
        "Greedy training goes on above them; joint training begins with them.",
    )
    doubled: bool = setting(
        False,
        help="Pretrain a deep Boltzmann machine (Salakhutdinov and Hinton 2009): train layers one after the other, "
        "the lowest with two copies of its input, the highest with two copies of itself, then join them into one "
        "machine.",
    )
    joint: bool = setting(
        False,
        help="Train all layers together as one deep Boltzmann machine, with the first layer's settings for all.",
    )
    color: bool = setting(False, help="Take pictures in color, with three channels; otherwise they become gray.")
    mirror: bool = setting(False, help="Add the mirror image of every picture.")
    seed: int = setting(0, low=0, help="Seed of everything random in the run.")
    held_out: int = setting(
        200,
        low=0,
        help="Pictures that are not trained on and whose free energy is compared with that of the others; at most a "
        "tenth of a folder.",
    )
    log_every: int = setting(20, low=1, help="Updates from one row of metrics to the next.")

    @property
    def machines(self) -> tuple[LayerSettings, ...]:
        """Settings of each machine that is trained: those of every layer, or, where all are trained together, of the
        first, with the labels of the highest."""
        if not self.joint:
            return self.layers
        return (dataclasses.replace(self.layers[0], labels=self.layers[-1].labels),)

    def as_dict(self) -> dict[str, Any]:
        """The recipe as JSON: `layers` is a list with the fields of each."""
        return dataclasses.asdict(self)

    @staticmethod
    def from_dict(fields: Mapping[str, Any]) -> "Recipe":
        """The inverse of `as_dict`; it also reads what earlier versions wrote."""
        fields = with_new_names(fields)
        layers = tuple(LayerSettings(**with_new_names(layer)) for layer in fields["layers"])
        return Recipe(**{**fields, "layers": layers})


FORMER_NAMES = {"colour": "color", "centring": "centering", "labelled": "labeled"}
"""Fields that version 0.1.0 spelled otherwise."""


def with_new_names(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The same fields, those of version 0.1.0 under their present names."""
    return {FORMER_NAMES.get(name, name): value for name, value in fields.items()}
