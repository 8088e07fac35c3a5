"""What every transform can do: describe itself, learn from data, and map a batch of pictures.

A transform is said by its `spec`, plain JSON, and by its buffers, which are in the state dict: both travel in
the checkpoint. What it makes of a picture does not depend on the batch.
"""

import inspect
from collections.abc import Iterable
from typing import Any, ClassVar

from torch import Tensor, nn


class Transform(nn.Module):
    """A map of pictures, `(B, c, h, w)` to `(B, ...)`, float.

    Every argument of the constructor is kept under its own name, which is all that `spec` needs.
    """

    kind: ClassVar[str]

    def __init__(self) -> None:  # torch's own takes anything
        super().__init__()

    def spec(self) -> dict[str, Any]:
        """The kind and the constructor's arguments, as JSON."""
        return {"kind": self.kind} | {name: getattr(self, name) for name in inspect.signature(type(self)).parameters}

    def fit(self, batches: Iterable[Tensor]) -> None:
        """Learn what is learned from data: for most transforms, nothing."""


def require(condition: bool, name: str, value: object, rule: str) -> None:
    if not condition:
        raise ValueError(f"{name}={value!r}: must be {rule}")
