"""Metrics of a machine in training (Hinton 2010, sections 5, 6, 15), and the detection of divergence."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from convdbn.energy import BoltzmannMachine, Given, State, mean_per_unit, pooled
from convdbn.errors import Diverged
from convdbn.ops.grad import without_gradients
from convdbn.sampling.bound import unnormalized
from convdbn.sampling.gibbs import mean, start, update
from convdbn.storage.metrics import Metrics

__all__ = ["Diagnostics", "idle_units"]

EXPLODED = 1e3
"""A reconstruction error this many times the spread of the data is an explosion."""
DEAD, ALWAYS_ON = 0.05, 0.95
"""A unit is dead if it stays below the first for all inputs of a batch, and always on if its mean is above the
second."""
MANY = 0.5
"""A warning is due if more than this share of a layer's units is dead, or always on."""
REMEDY = "Training diverged: lower `rate`, raise `sigma`, or check the scale of the pictures"


class Diagnostics:
    """Measures a machine, and raises `Diverged` with step and statistic as soon as a row of metrics shows it."""

    def __init__(self, machine: BoltzmannMachine) -> None:
        self.machine = machine
        self.data_spread = math.inf

    def weights(self) -> list[Tensor]:
        """Copies of the weights, to compare with later ones."""
        return [link.weight.detach().clone() for link in self.machine.links]

    @without_gradients
    def row(
        self, states: State, before: list[Tensor], watched: tuple[Given, Given] | None, *, step: int, rate: float
    ) -> Metrics:
        """The metrics after an update; costs two passes on the pictures of its batch.

        `states` is the positive state of the update, `before` the weights before it. `watched` are equally many
        training and held-out inputs; a metric compares their free energies.
        """
        values = self._of_units(states) | self._of_weights(before)
        if self.machine.units[0].real:
            values["sigma"] = self.machine.units[0].scale.mean()
        if watched is not None:
            training, held_out = (-unnormalized(self.machine, x).mean() for x in watched)
            values["free_energy_gap"] = held_out - training
        numbers = torch.stack([*values.values()]).tolist()  # a single copy from the device
        row = {"step": step, "rate": rate, **dict(zip(values, numbers, strict=True))}
        self._refuse_divergence(row)
        return row

    def _of_units(self, states: State) -> dict[str, Tensor]:
        data, hidden = states[0], states[1]
        reconstruction = update(self.machine, start(self.machine, self.machine.clamped_visible(data)), 0, mean)[0]
        on = pooled(hidden, self.machine.units[1].pool)
        typical, highest = mean_per_unit(on), on.amax([0, *range(2, on.ndim)])
        return {
            "reconstruction_error": (data - reconstruction).square().mean(),
            "activation": hidden.mean(),
            "dead": (highest < DEAD).float().mean(),
            "always_on": (typical > ALWAYS_ON).float().mean(),
        }

    def _of_weights(self, before: list[Tensor]) -> dict[str, Tensor]:
        weight = torch.cat([link.weight.flatten() for link in self.machine.links])
        step = weight - torch.cat([w.flatten() for w in before])
        return {
            "weight_rms": weight.square().mean().sqrt(),
            "update_to_weight": step.norm() / weight.norm(),
            "hidden_bias": self.machine.units[1].bias.mean(),
        }

    def _refuse_divergence(self, row: Metrics) -> None:
        step = int(row["step"])
        for name, value in row.items():
            if not math.isfinite(value):
                raise Diverged(f"step {step}: {name} is {value}. {REMEDY}")
        error, limit = row["reconstruction_error"], EXPLODED * max(self.data_spread, 1e-6)
        if error > limit:
            raise Diverged(f"step {step}: reconstruction_error is {error:.3g}, above {limit:.3g}. {REMEDY}")

    def refuse_parameters(self, step: int) -> None:
        """Diverged if a parameter is not finite."""
        for name, parameter in self.machine.named_parameters():
            if not torch.isfinite(parameter).all():
                raise Diverged(f"step {step}: parameter {name} is not finite. {REMEDY}")

    def state(self) -> dict[str, Tensor]:
        """The spread of the data, which sets the limit of an explosion."""
        return {"data_spread": torch.tensor(self.data_spread, dtype=torch.float64)}

    def load_state(self, tensors: Mapping[str, Tensor]) -> None:
        """The inverse of `state`."""
        self.data_spread = float(tensors["data_spread"])


def idle_units(row: Metrics) -> list[str]:
    """Warnings about a layer that ends with these metrics: one if more than half of its units are dead, and one if
    more than half are always on."""
    remedies = {
        "dead": "raise `target`, or lower `strength` or `rate`",
        "always_on": "add sparsity, or lower `rate` or `hidden_bias`",
    }
    shares = {"dead": row["dead"], "always_on": row["always_on"]}
    return [
        f"{100 * share:.0f} % of the units are {name.replace('_', ' ')}: {remedies[name]}"
        for name, share in shares.items()
        if share > MANY
    ]
