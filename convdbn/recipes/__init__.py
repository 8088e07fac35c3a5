"""Recipes: everything that decides what a training run does, as flat YAML that reads like a table of a paper.

A field of `Layer` holds one value for all layers, or a list with one value for each. This module needs neither torch
nor the rest of the package, so the command line can show every option without loading them.
"""

import ast
import dataclasses
import inspect
import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from convdbn.errors import UsageError


@dataclass(frozen=True)
class LayerSettings:
    """How one layer is built and trained. Defaults are those of Hinton's practical guide (2010) where it has one."""

    filters: int = 64
    """Hidden units, or maps of a convolutional layer."""
    kernel: int = 0
    """Side of the filters in pixels of the layer's input; 0 makes a fully connected layer."""
    pool: int = 2
    """Side C of the pooling blocks of a convolutional layer; 1 leaves it without pooling."""
    visible: Literal["bernoulli", "gaussian"] = "bernoulli"
    """Units of the layer's input."""
    variance: Literal["fixed", "scalar", "unit"] = "fixed"
    """Gaussian visibles keep the variance of sigma, or learn from there one for all, or one for each pixel or map."""
    hidden: Literal["bernoulli", "gaussian", "noisy_relu"] = "bernoulli"
    """Units of a fully connected layer; gaussian of variance 1 makes a linear code, noisy_relu counts (Nair and
    Hinton 2010), on which a layer with gaussian visibles can stand."""
    sigma: float = 1.0
    """Standard deviation of Gaussian visibles at the start, in the units of the transformed data."""
    sigma_end: float = 1.0
    """... and from 70 % of the updates on; in between it falls geometrically."""
    crop: int = 0
    """Side of the random crops of the layer's input that it is trained on; 0 takes whole pictures."""
    updates: int = 1000
    """Number of parameter updates."""
    batch: int = 20
    """Pictures or crops in an update."""
    sample_input: bool = False
    """Draw bits from an input in [0, 1], anew at every presentation, instead of taking it as it is; above the first
    layer the states of all layers below are drawn, from the pictures up."""
    objective: Literal["likelihood", "denoising"] = "likelihood"
    """What is learned: to be probable, by the contrast of two phases, or to undo damage as an autoencoder with tied
    weights (Vincent et al. 2008), for which phase, k and centering mean nothing."""
    corruption: float = 0.25
    """Share of the input that is set to 0 in what a denoising layer sees."""
    phase: Literal["cd", "pcd", "fast-pcd", "tempering"] = "cd"
    """Negative phase: contrastive divergence, persistent chains, these with fast weights, or parallel tempering."""
    fast_rate: float = 0.01
    """Learning rate of the fast weights (fast-pcd), of which a twentieth is forgotten at every update."""
    k: int = 1
    """Gibbs sweeps of the negative phase in each update (tempering: pairs of sweeps)."""
    k_end: int = 0
    """Sweeps at the last update; the number moves there linearly. 0 stays at k."""
    temperatures: int = 10
    """Replicas of each chain in parallel tempering, at as many temperatures."""
    centering: Literal["none", "data", "model", "both"] = "none"
    """Learn as if units were their differences from their means in the data, the model, or both (halfway)."""
    noise_free: bool = False
    """Reconstruct visibles as means (CD only), as Lee et al. do for natural images."""
    border: int = 0
    """Outermost pixels of the input that the negative phase keeps at the data (CD only), because fewer hidden units
    see them; the side of the filters less 1 keeps all of these."""
    mean_field: int = 10
    """Sweeps of mean field in the positive phase of layers that are trained together."""
    labels: bool = False
    """Join label units, one for each class of the data, to the hidden layer (the highest layer alone, and fully
    connected; of layers that are trained together too)."""
    labeled: int = 0
    """Pictures whose labels are known, as many of each class; the labels of the others are inferred. 0 knows all."""
    generative: float = 1.0
    """Weight of the likelihood in what is learned."""
    discriminative: float = 0.0
    """Weight of log p(label | input), with its exact gradient (Larochelle and Bengio 2008); needs labels."""
    optimizer: Literal["adam", "sgd"] = "sgd"
    """What takes the gradient: SGD with momentum, or Adam with second-moment decay .99."""
    rate: float = 0.01
    """Learning rate of the weights."""
    rate_end: float = 0.0
    """Learning rate at the last update; it falls linearly."""
    bias_rate: float = 1.0
    """Learning rate of the biases, as a multiple of the weights'."""
    momentum: float = 0.5
    """Momentum at the start (Adam: decay of the first moment)."""
    momentum_end: float = 0.9
    """Momentum from a tenth of the updates on."""
    l2: float = 0.0
    """Weight decay, on the weights alone."""
    sparsity: Literal["none", "bias", "decayed"] = "none"
    """Pull towards the target: on the bias (Lee et al.), or on a decayed average (practical guide)."""
    target: float = 0.05
    """Mean activation wanted of a hidden unit."""
    strength: float = 1.0
    """Strength of the pull."""
    init: Literal["normal", "kmeans", "spherical", "transposed"] = "normal"
    """Weights at the start: noise, centroids of the input's patches (Sohn et al. 2011), the same of patches from
    every picture alike that are brought to one length (spherical, for several kinds of pictures), or those of the
    fully connected layer below, turned round, and noise for hidden units in excess (Hinton et al. 2006)."""
    weight_std: float = 0.01
    """Standard deviation of the initial weights, of either kind."""
    hidden_bias: float = 0.0
    """Initial hidden biases; visible biases come from the data."""
    precision: Literal["float32", "tf32", "bfloat16"] = "float32"
    """Precision of the products while training; the states stay float32. tf32 is for NVIDIA GPUs, and bfloat16 pays
    on GPUs and on processors with matrix units for it."""


@dataclass(frozen=True)
class Recipe:
    """A stack of layers, what its pictures go through first, and the seed of it all."""

    transform: tuple[Mapping[str, Any], ...] = ()
    """What pictures go through before layer 1: a list such as [{kind: pad, size: 2}]."""
    layers: tuple[LayerSettings, ...] = (LayerSettings(),)
    """The layers, from the lowest."""
    initial: str = ""
    """Trained model (run folder, file, or name of one of the package) with the lowest layers of this one: greedy
    training goes on above them, joint training begins with them."""
    doubled: bool = False
    """Train greedily for joint training to begin with: the lowest layer sees its input twice, the highest is there
    twice, those between count double, and they end as one deep Boltzmann machine (Salakhutdinov and Hinton 2009)."""
    joint: bool = False
    """Train all layers together as one deep Boltzmann machine, the first layer's settings serving for all."""
    color: bool = False
    """Take pictures in color, three channels; otherwise gray."""
    mirror: bool = False
    """Add the mirror image of every picture."""
    seed: int = 0
    """Seed of everything random in the run."""
    held_out: int = 200
    """Pictures that are only watched, for the free-energy gap; at most a tenth of a folder."""
    log_every: int = 20
    """Updates from one row of metrics to the next."""

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
        """The inverse of `as_dict`; fields that files of version 0.1.0 spell otherwise are known."""
        fields = with_new_names(fields)
        layers = tuple(LayerSettings(**with_new_names(layer)) for layer in fields["layers"])
        return Recipe(**{**fields, "layers": layers, "transform": tuple(fields["transform"])})


FORMER_NAMES = {"colour": "color", "centring": "centering", "labelled": "labeled"}
"""Fields that version 0.1.0 spelled otherwise."""


def with_new_names(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The same fields, those of version 0.1.0 under their present names."""
    return {FORMER_NAMES.get(name, name): value for name, value in fields.items()}


GENERAL = tuple(field for field in dataclasses.fields(Recipe) if field.name != "layers")
COLUMNS = dataclasses.fields(LayerSettings)


def explanations() -> dict[str, str]:
    """What each field means: the text that stands under it in this file."""
    explained: dict[str, str] = {}
    for kind in (LayerSettings, Recipe):
        (definition,) = ast.parse(inspect.getsource(kind)).body
        assert isinstance(definition, ast.ClassDef)
        for field, text in itertools.pairwise(definition.body):
            if (
                isinstance(field, ast.AnnAssign)
                and isinstance(text, ast.Expr)
                and isinstance(text.value, ast.Constant)
            ):
                explained[ast.unparse(field.target)] = str(text.value.value)
    return explained


def names() -> list[str]:
    """The recipes that come with the package."""
    return sorted(path.stem for path in Path(__file__).parent.glob("*.yaml"))


def load(recipe: str | Path, **overrides: Any) -> Recipe:
    """The recipe of that name or in that YAML file, with `overrides` for any of its fields.

    Values for layers are one for all, or a list with one for each; the number of layers is that of `filters`.
    """
    path = Path(__file__).parent / f"{recipe}.yaml" if str(recipe) in names() else Path(recipe)
    if not path.is_file():
        raise UsageError(f"recipe={str(recipe)!r}: no such file, nor one of the recipes {', '.join(names())}")
    try:
        table = yaml.safe_load(path.read_text())
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UsageError(f"recipe={str(recipe)!r}: not YAML ({error})") from error
    if not isinstance(table, dict):
        raise UsageError(f"recipe={str(recipe)!r}: expected a table of fields, such as `filters: [40, 40]`")
    table |= {name: value for name, value in overrides.items() if value is not None}
    known = {field.name for field in (*GENERAL, *COLUMNS)}
    if unknown := sorted(map(str, set(table) - known)):
        raise UsageError(f"recipe={str(recipe)!r}: unknown field(s) {', '.join(unknown)}; known are {sorted(known)}")
    filters = table.get("filters", LayerSettings.filters)
    if filters == []:
        raise UsageError("filters=[]: name the number of filters of at least one layer")
    depth = len(filters) if isinstance(filters, list) else 1
    general = {field.name: _checked(field, table[field.name]) for field in GENERAL if field.name in table}
    return Recipe(layers=tuple(_layer(table, index, depth) for index in range(depth)), **general)


def _layer(table: Mapping[str, Any], index: int, depth: int) -> LayerSettings:
    """One row: the `index`-th value of every column that is a list."""
    row: dict[str, Any] = {}
    for column in COLUMNS:
        value = table.get(column.name, column.default)
        if isinstance(value, list) and len(value) != depth:
            raise UsageError(f"{column.name}={value}: needs one value, or {depth}, one for each entry of `filters`")
        row[column.name] = _checked(column, value[index] if isinstance(value, list) else value)
    return LayerSettings(**row)


# Smallest and largest value of each number.
TINY, LARGE, HUGE = 1e-12, 1e12, 1e36
RANGES: dict[str, tuple[float, float]] = {
    **dict.fromkeys(
        ("filters", "pool", "updates", "batch", "k", "temperatures", "mean_field", "log_every"), (1, LARGE)
    ),
    **dict.fromkeys(
        (
            "kernel",
            "crop",
            "border",
            "k_end",
            "labeled",
            "generative",
            "discriminative",
            "l2",
            "strength",
            "held_out",
            "seed",
        ),
        (0, LARGE),
    ),
    **dict.fromkeys(("rate", "bias_rate", "fast_rate", "weight_std"), (TINY, HUGE)),
    "rate_end": (0, HUGE),
    **dict.fromkeys(("sigma", "sigma_end"), (1e-3, 1e3)),
    **dict.fromkeys(("momentum", "momentum_end"), (0, 1 - TINY)),
    **dict.fromkeys(("target", "corruption"), (0, 1)),
    "hidden_bias": (-LARGE, LARGE),
}


def _checked(field: dataclasses.Field[Any], value: Any) -> Any:
    """The value in the type of its field; refuse a wrong type or range, naming it."""
    choices = getattr(field.type, "__args__", ())
    if field.name == "transform":
        if not isinstance(value, list | tuple) or not all(
            isinstance(step, dict) and "kind" in step for step in value
        ):
            raise UsageError(f"transform={value!r}: a list of steps is needed, such as [{{kind: pad, size: 2}}]")
        return tuple(value)
    if field.type is str:
        return str(value)
    if field.type is bool:
        if not isinstance(value, bool):
            raise UsageError(f"{field.name}={value!r}: true or false is needed")
        return value
    if field.type in (int, float):
        return _number(field, value)
    if value not in choices:
        raise UsageError(f"{field.name}={value!r}: choose from {', '.join(choices)}")
    return value


def _number(field: dataclasses.Field[Any], value: Any) -> Any:
    name = field.name
    try:
        if isinstance(value, bool):
            raise TypeError
        number = float(value)  # YAML 1.1 reads 1e-3 as text
    except (TypeError, ValueError):
        raise UsageError(f"{name}={value!r}: a number is needed") from None
    low, high = RANGES[name]
    if not low <= number <= high:
        bound = f"must be {'above' if low in (1, TINY) else 'at least'} {0 if low in (1, TINY) else low:g}"
        raise UsageError(f"{name}={value}: {bound}" + (f", and at most {high:g}" if high <= 1e3 else ""))
    if field.type is int and number != int(number):
        raise UsageError(f"{name}={value!r}: a whole number is needed")
    return field.type(number)  # type: ignore[operator]
