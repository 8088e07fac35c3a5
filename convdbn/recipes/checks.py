"""The rules of recipes that need no picture: which settings go together, and which have no effect."""

import dataclasses
import itertools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from convdbn.errors import UsageError
from convdbn.recipes.fields import describe
from convdbn.recipes.geometry import nearest_sizes, output_side
from convdbn.recipes.recipe import Recipe
from convdbn.recipes.settings import UNBOUNDED, LayerSettings

Problems = Iterator[str]


def check(recipe: Recipe) -> None:
    """UsageError, with a line for each broken rule and each setting without effect."""
    problems = [*broken(recipe), *(idle.message for idle in without_effect(recipe))]
    if problems:
        raise UsageError("\n".join(problems))


def broken(recipe: Recipe) -> list[str]:
    """A line for each rule that the recipe breaks. Rules read `machines`, so settings without effect break none."""
    return [problem for rule in RULES for problem in rule(recipe)]


class Idle(NamedTuple):
    """A setting, the layers (from 1) in which it has no effect, and a message that says so."""

    name: str
    layers: tuple[int, ...]
    message: str


def without_effect(recipe: Recipe) -> list[Idle]:
    """Settings that differ from their defaults and do nothing.

    One value for all layers must have an effect in at least one of them. In a list of values, each must have one.
    """
    idle = []
    for column in describe(LayerSettings):
        values = [getattr(layer, column.name) for layer in recipe.layers]
        causes = {
            number: cause
            for number, value in enumerate(values, start=1)
            if value != column.default and (cause := recipe.disabled_by(number, column.name)) is not None
        }
        if column.name == "pool":  # pool: 1 is right for a fully connected layer, which has no pooling
            causes = {number: cause for number, cause in causes.items() if values[number - 1] != 1}
        alike = all(value == values[0] for value in values)
        if causes and not (alike and len(causes) < len(values)):
            idle.append(Idle(column.name, tuple(causes), _idle_message(column.name, values, causes, alike)))
    return idle


def _idle_message(name: str, values: list[Any], causes: dict[int, tuple[str, Any]], alike: bool) -> str:
    number, (other, value) = next(iter(causes.items()))
    because = f"{other}={value!r}" + (", where all layers have the settings of the first" if other == "joint" else "")
    if alike:
        return f"{name}={values[0]!r}: has no effect with {because}; leave it out"
    which = f"{values[number - 1]!r} of layer {number}"
    return f"{name}={values!r}: {which} has no effect with {because}; write one value, or the default there"


def with_defaults(recipe: Recipe, idle: list[Idle]) -> Recipe:
    """The recipe with the default in place of each setting in the list."""
    layers = list(recipe.layers)
    for name, numbers, _ in idle:
        default = next(column.default for column in describe(LayerSettings) if column.name == name)
        for number in numbers:
            layers[number - 1] = dataclasses.replace(layers[number - 1], **{name: default})
    return dataclasses.replace(recipe, layers=tuple(layers))


def _shapes(recipe: Recipe) -> Problems:
    layers = recipe.layers
    dense = next((number for number, layer in enumerate(layers, start=1) if layer.kernel == 0), len(layers))
    if any(layer.kernel for layer in layers[dense:]):
        kernels = [layer.kernel for layer in layers]
        yield f"kernel={kernels}: layer {dense} is fully connected, so those above it must be too; write 0 for them"
    for number, (below, layer) in enumerate(itertools.pairwise(layers), start=2):
        if below.hidden in UNBOUNDED and not below.kernel and layer.visible == "bernoulli":
            yield (
                f"visible='bernoulli': layer {number} is above {below.hidden} units, whose values leave [0, 1]; "
                "take gaussian"
            )


def _crops(recipe: Recipe) -> Problems:
    for number, layer in enumerate(recipe.machines, start=1):
        if not layer.crop:
            continue
        if not layer.kernel:
            yield f"crop={layer.crop}: layer {number} is fully connected and takes whole inputs; write 0 for it"
        elif recipe.joint:
            yield f"crop={layer.crop}: joint training takes whole pictures; write 0"
        elif not output_side(layer.crop, [layer.geometry], axis=0):
            legal = nearest_sizes(layer.crop, [layer.geometry], axis=0)
            yield (
                f"crop={layer.crop}: does not fit kernel={layer.kernel} and pool={layer.pool} of layer {number}; "
                f"take {' or '.join(str(side) for side in legal if side)}"
            )
        if 2 * layer.border >= layer.crop:
            yield f"border={layer.border}: covers the crops of {layer.crop} of layer {number}; take less than half"


def _sizes(recipe: Recipe) -> Problems:
    if recipe.sizes == "error":
        return
    if any(layer.crop for layer in recipe.layers):
        yield f"sizes={recipe.sizes!r}: has no effect with crop, which trims the pictures; leave it out"
    if not recipe.layers[0].kernel:
        yield f"sizes={recipe.sizes!r}: has no effect on fully connected layers, which take any size; leave it out"


def _objectives(recipe: Recipe) -> Problems:
    for number, layer in enumerate(recipe.machines, start=1):
        if layer.variance != "fixed" and layer.noise_free:
            yield (
                f"variance={layer.variance!r}: cannot be learned in layer {number} from the noise_free pictures of "
                "cd; write noise_free: false"
            )
        if layer.objective == "denoising":
            for other, on in (("joint", recipe.joint), ("doubled", recipe.doubled), ("labels", layer.labels)):
                if on:
                    yield f"objective='denoising': cannot be learned with {other}=True; take likelihood"
        elif not layer.generative and not (layer.labels and layer.discriminative):
            yield f"generative=0: leaves layer {number} nothing to learn; write labels: true and discriminative: 1"
        elif not layer.generative and layer.centering in ("model", "both"):
            yield (
                f"centering={layer.centering!r}: needs states of the model, which generative=0 does not draw; "
                "take data"
            )


def _labels(recipe: Recipe) -> Problems:
    layers, top = recipe.layers, recipe.machines[-1]
    if any(layer.labels for layer in layers[:-1]) or (layers[-1].labels and layers[-1].kernel):
        yield "labels=True: only for the highest layer, which must be fully connected; write kernel: 0 for it"
    if top.labels and top.init in ("kmeans", "spherical"):
        yield f"init={top.init!r}: cannot take patches of labels; take normal for the layer with labels"
    if recipe.joint and any(layer.discriminative or layer.labeled for layer in layers):
        yield "joint=True: learns all labels, and only by the likelihood; leave out labeled and discriminative"


def _starts(recipe: Recipe) -> Problems:
    for number, layer in enumerate(recipe.machines, start=1):
        if layer.init != "transposed":
            continue
        if number == 1:
            if recipe.joint or not recipe.initial:
                yield "init='transposed': needs a trained layer below; take normal for layer 1 and with joint"
            continue
        below = recipe.layers[number - 2]
        inputs = recipe.layers[number - 3].filters if number > 2 else 0  # a recipe has no number of pixels
        if layer.kernel or below.kernel:
            yield f"init='transposed': layer {number} and the one below must be fully connected; take normal"
        elif layer.filters < inputs:
            yield (
                f"init='transposed': layer {number} has {layer.filters} filters, the layer below {inputs} inputs; "
                f"take at least {inputs} filters"
            )
        elif layer.hidden != below.visible:
            yield (
                f"init='transposed': layer {number} has {layer.hidden} hidden units, the layer below {below.visible} "
                "inputs; make them the same kind"
            )


def _deep(recipe: Recipe) -> Problems:
    layers = recipe.layers
    mixed = len({layer.kernel == 0 for layer in layers}) > 1
    if recipe.joint and mixed:
        yield "joint=True: layers are convolutional and fully connected; write kernel: 0 for all or for none"
    if not recipe.doubled:
        return
    if len(layers) < 2 or recipe.joint or recipe.initial:
        yield "doubled=True: needs two layers or more, without joint and initial; leave these out"
    if mixed:
        yield "doubled=True: layers are convolutional and fully connected; write kernel: 0 for all or for none"
    if any(layer.labels for layer in layers):
        yield "doubled=True: learns no labels; add them in the joint training that follows"
    if any(layer.visible != "bernoulli" for layer in layers[1:]):
        yield "doubled=True: layers above the first must have Bernoulli inputs; write visible: bernoulli for them"


RULES: tuple[Callable[[Recipe], Problems], ...] = (_shapes, _crops, _sizes, _objectives, _labels, _starts, _deep)
