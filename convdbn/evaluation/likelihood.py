"""The log-likelihood of pictures in nats: exact for small models, otherwise by AIS in both directions."""

from typing import Any

import torch
from torch import Tensor

from convdbn.energy import BoltzmannMachine, State
from convdbn.errors import UsageError
from convdbn.images import Images
from convdbn.learning.layer_inputs import prepared
from convdbn.models.stack import Stack
from convdbn.sampling import ais, exact, tempering
from convdbn.sampling.bits import draw_bits
from convdbn.sampling.bound import pseudo_log_likelihood, unnormalized_stack
from convdbn.sampling.gibbs import draw, start, update

ENUMERABLE = 16
"""Largest number of hidden units of a restricted machine for which log Z is summed exactly."""
FITTED = 10_000
"""Training pictures whose means determine the base distribution of AIS."""
TEMPERATURES = 20
MIXING = 1000
"""Sweeps of parallel tempering, from the data, before a state counts as a sample of the machine."""
CHUNK = 500
PSEUDO_PIXELS = 10
"""Pixels of each picture whose conditionals estimate the pseudo-likelihood."""


@torch.no_grad()
def likelihood(
    stack: Stack, train: Images, test: Images, *, runs: int = ais.RUNS, betas: Tensor | None = None, seed: int = 0
) -> dict[str, Any]:
    """Mean log-likelihood of the test pictures, or its lower bound if the model has several hidden layers.

    `test_ll` takes log Z from forward AIS, which is too optimistic if runs miss modes; `test_ll_reverse` takes it
    from reverse AIS, which is not. `se` is the standard error of log Z, `ess` the effective number of `runs`, and
    `trusted` says whether the two directions agree within a nat. For restricted machines with few hidden units log Z
    is exact. For Bernoulli units, pixels other than 0 and 1 are drawn once as bits; `pixels` says so.
    """
    machines = list(stack.machines)
    generator = torch.Generator(machines[0].units[0].bias.device).manual_seed(seed)
    if len(machines) > 1 and not all(layer.dense for layer in stack.geometry):
        raise UsageError(
            "model: its convolutional layers share pooling units, so it has no likelihood; give a model of the first "
            "layer alone"
        )
    data, _ = _visible(stack, train.select(range(min(len(train), FITTED))), generator)
    x, pixels = _visible(stack, test, generator)
    chunks = x.split(CHUNK)
    numerators = [unnormalized_stack(machines, y, generator=generator, downward=stack.generative) for y in chunks]
    for machine in machines[:-1]:
        data = machine.units[1].sample(machine.field((data, None), 1), generator=generator)
    bound = len(machines) > 1 or len(machines[-1].units) > 2
    result = {"pictures": len(x), "pixels": pixels, "bound": bound}
    if machines[0].units[0].binary and len(machines) == 1 and len(machines[0].units) == 2:
        estimates = [pseudo_log_likelihood(machines[0], y, generator=generator, pixels=PSEUDO_PIXELS) for y in chunks]
        result["pseudo_log_likelihood"] = float(torch.cat(estimates).double().mean())
    return result | _log_z(machines[-1], data, float(torch.cat(numerators).double().mean()), runs, betas, generator)


def _log_z(
    machine: BoltzmannMachine,
    data: Tensor,
    numerator: float,
    runs: int,
    betas: Tensor | None,
    generator: torch.Generator,
) -> dict[str, Any]:
    shapes = machine.shapes(data.shape[1:])
    if len(shapes) == 2 and machine.units[1].binary and shapes[1][0] <= ENUMERABLE:
        log_z = float(exact.log_z(machine, shapes))
        return {"test_ll": numerator - log_z, "log_z": log_z, "exact": True}
    samples = model_samples(machine, data, runs, generator=generator)
    estimate = ais.log_z(machine, ais.base_means(machine, data), samples, generator=generator, betas=betas)
    return {
        "test_ll": numerator - estimate.forward.log_z,
        "test_ll_reverse": numerator - estimate.reverse.log_z,
        "log_z": estimate.forward.log_z,
        "log_z_bounds": [estimate.forward.low, estimate.forward.high],
        "log_z_reverse": estimate.reverse.log_z,
        "log_z_reverse_bounds": [estimate.reverse.low, estimate.reverse.high],
        "se": (estimate.forward.high - estimate.forward.low) / 6,
        "ess": estimate.forward.ess,
        "ess_reverse": estimate.reverse.ess,
        "runs": runs,
        "trusted": estimate.trusted,
        "exact": False,
    }


@torch.no_grad()
def model_samples(machine: BoltzmannMachine, data: Tensor, count: int, *, generator: torch.Generator) -> State:
    """`count` samples of the machine, by `MIXING` sweeps of parallel tempering from rows of `data`."""
    index = torch.randint(len(data), (count,), generator=generator, device=data.device)
    state = start(machine, (data[index], *[None] * (len(machine.units) - 1)))
    state = update(machine, state, 1, draw(generator))
    betas = tempering.ladder(TEMPERATURES, like=data)
    replicas = tempering.replicas(state, TEMPERATURES)
    state = tempering.tempered(machine, replicas, betas, MIXING, generator=generator)
    return tuple(x[:count] for x in state)


def _visible(stack: Stack, images: Images, generator: torch.Generator) -> tuple[Tensor, str]:
    """Visible states of all pictures, and a description of the pixels."""
    x = prepared(stack, images)
    if not stack.machines[0].units[0].binary:
        return x, "real values: a density, whose nats depend on the scale"
    if bool(((x == 0) | (x == 1)).all()):
        return x, "bits, as the transform gives them"
    return draw_bits(x, generator=generator), "bits, drawn once with the pixels as probabilities"
