"""How one layer is built and trained: the columns of a recipe."""

from dataclasses import dataclass
from typing import Literal

from convdbn.recipes.fields import ON, Settings, setting
from convdbn.recipes.geometry import Geometry

SHAPE = frozenset({"filters", "kernel", "pool", "hidden", "labels"})
"""Settings that each layer has for itself in joint training, too."""
UNBOUNDED = frozenset({"gaussian", "noisy_relu"})
"""Hidden units whose values leave [0, 1]."""


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
        2,
        low=1,
        group="layer",
        needs={"kernel": ON},
        help="Side of the pooling blocks of a convolutional layer; 1 means no pooling.",
    )
    visible: Literal["bernoulli", "gaussian"] = setting("bernoulli", group="layer", help="Visible units.")
    variance: Literal["fixed", "scalar", "unit"] = setting(
        "fixed",
        group="layer",
        needs={"visible": "gaussian"},
        help="Variance of Gaussian visible units: sigma sets it (fixed), or it is learned and starts at sigma, one "
        "number for all units (scalar) or one for each pixel or map (unit).",
    )
    hidden: Literal["bernoulli", "gaussian", "noisy_relu"] = setting(
        "bernoulli",
        group="layer",
        needs={"kernel": 0},
        help="Hidden units of a fully connected layer. gaussian, with variance 1, makes a linear code; noisy_relu "
        "makes counts (Nair and Hinton 2010). A layer above either of them needs gaussian visible units.",
    )
    sigma: float = setting(
        1.0,
        low=1e-3,
        high=1e3,
        group="layer",
        needs={"visible": "gaussian"},
        help="Standard deviation of Gaussian visible units at the first update, in units of the transformed data.",
    )
    sigma_end: float = setting(
        1.0,
        low=1e-3,
        high=1e3,
        group="layer",
        needs={"visible": "gaussian", "variance": "fixed"},
        help="Standard deviation after 70 % of the updates; until then it moves there geometrically.",
    )
    crop: int = setting(
        0,
        low=0,
        group="input",
        help="Side of the random crops of its input that the layer learns from; 0 takes whole pictures.",
    )
    updates: int = setting(
        1000,
        low=1,
        group="input",
        needs={"epochs": 0},
        help="Number of parameter updates.",
    )
    epochs: float = setting(
        0.0,
        low=0,
        group="input",
        help="Passes over the pictures, in place of `updates`; 0 leaves `updates` in force.",
    )
    batch: int = setting(20, low=1, group="input", help="Pictures or crops in one update.")
    sample_input: bool = setting(
        False,
        group="input",
        help="Take an input in [0, 1] as probabilities and draw bits from it at every presentation. Above the first "
        "layer, draw the layers below too, from the pictures up.",
    )
    objective: Literal["likelihood", "denoising"] = setting(
        "likelihood",
        group="objective",
        help="likelihood contrasts the data with the model's own samples. denoising restores a damaged input, as an "
        "autoencoder with tied weights does (Vincent et al. 2008).",
    )
    corruption: float = setting(
        0.25,
        low=0,
        high=1,
        group="objective",
        needs={"objective": "denoising"},
        help="Share of the input that denoising sets to 0.",
    )
    generative: float = setting(
        1.0,
        low=0,
        group="objective",
        needs={"objective": "likelihood"},
        help="Weight of the likelihood in the objective.",
    )
    discriminative: float = setting(
        0.0,
        low=0,
        group="objective",
        needs={"objective": "likelihood", "labels": ON},
        help="Weight of log p(label | input) in the objective (Larochelle and Bengio 2008).",
    )
    phase: Literal["cd", "pcd", "fast-pcd", "tempering"] = setting(
        "cd",
        group="phases",
        needs={"objective": "likelihood", "generative": ON},
        help="Negative phase: contrastive divergence (cd), persistent chains (pcd), persistent chains with fast "
        "weights (fast-pcd), or parallel tempering.",
    )
    fast_rate: float = setting(
        0.01,
        above=0,
        group="phases",
        needs={"phase": "fast-pcd"},
        help="Learning rate of the fast weights of fast-pcd. Every update shrinks them by a twentieth.",
    )
    k: int = setting(
        1,
        low=1,
        group="phases",
        needs={"objective": "likelihood", "generative": ON},
        help="Gibbs sweeps of the negative phase in one update; tempering takes twice as many.",
    )
    k_end: int = setting(
        0,
        low=0,
        group="phases",
        needs={"objective": "likelihood", "generative": ON},
        help="Sweeps at the last update; the number moves there linearly. 0 keeps `k`.",
    )
    temperatures: int = setting(
        10,
        low=1,
        group="phases",
        needs={"phase": "tempering"},
        help="Replicas of each chain in parallel tempering, each at its own temperature.",
    )
    centering: Literal["none", "data", "model", "both"] = setting(
        "none",
        group="phases",
        needs={"objective": "likelihood"},
        help="Learn from each unit's difference from its mean: the mean in the data, in the model, or halfway "
        "between (both).",
    )
    noise_free: bool = setting(
        False,
        group="phases",
        needs={"phase": "cd"},
        help="cd reconstructs visible units as means, without noise, as Lee et al. do for natural images.",
    )
    border: int = setting(
        0,
        low=0,
        group="phases",
        needs={"phase": "cd", "kernel": ON},
        help="Width of the border of the input that cd leaves unchanged, because fewer hidden units see its pixels. "
        "All such pixels lie in a border of `kernel` - 1.",
    )
    mean_field: int = setting(
        10,
        low=1,
        group="phases",
        needs={"objective": "likelihood"},
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
        needs={"labels": ON},
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
        help="Pull the mean activation of each hidden unit toward the target: by its bias (Lee et al. 2009), or "
        "by a decayed average (Hinton 2010).",
    )
    target: float = setting(
        0.05,
        low=0,
        high=1,
        group="sparsity",
        needs={"sparsity": ON},
        help="Mean activation that sparsity aims at.",
    )
    strength: float = setting(
        1.0,
        low=0,
        group="sparsity",
        needs={"sparsity": ON},
        help="Strength of the pull toward the target.",
    )
    init: Literal["normal", "kmeans", "spherical", "transposed"] = setting(
        "normal",
        group="start",
        help="Initial weights. normal is noise. kmeans takes centroids of patches of the input (Sohn et al. 2011). "
        "spherical does the same with equally many patches from each picture, scaled to one length, for pictures "
        "of several kinds. transposed takes the weights of the fully connected layer below, and noise for other "
        "hidden units (Hinton et al. 2006).",
    )
    weight_std: float = setting(0.01, above=0, group="start", help="Standard deviation of the initial weights.")
    hidden_bias: float = setting(
        0.0, group="start", help="Initial hidden biases; initial visible biases come from the data."
    )

    @property
    def geometry(self) -> Geometry:
        """Filters and blocks of the layer."""
        return Geometry((self.kernel, self.kernel), self.pool if self.kernel else 1)
