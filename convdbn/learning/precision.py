"""The numerical precision of matrix products and convolutions in training."""

from types import TracebackType
from typing import Any

import torch

from convdbn.energy import BoltzmannMachine

__all__ = ["Precision"]


class Precision:
    """Inside `with`, the products of a machine run in this precision: `float32`, `tf32` or `bfloat16`.

    By default a GPU uses float32 for matrix products and TF32 for convolutions.
    """

    def __init__(self, machine: BoltzmannMachine, name: str, *, gpu: bool) -> None:
        self.rounded = list(machine.links) if name == "bfloat16" else []
        self.of_gpu = "tf32" if name == "tf32" else "ieee"
        # Setting these takes 20 us, a fiftieth of an update on a CPU, where they have no effect.
        self.places: tuple[Any, ...] = (torch.backends.cuda.matmul, torch.backends.cudnn.conv) if gpu else ()  # type: ignore[attr-defined]

    def __enter__(self) -> None:
        for link in self.rounded:
            link.products = torch.bfloat16
        self.before = [place.fp32_precision for place in self.places]
        for place in self.places:
            place.fp32_precision = self.of_gpu

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for link in self.rounded:
            link.products = None
        for place, precision in zip(self.places, self.before, strict=True):
            place.fp32_precision = precision
