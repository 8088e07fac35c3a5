"""The interface of every transform: describe itself, learn from data, and map a batch of pictures.

Its `spec`, plain JSON, and its buffers, which are in the state dict, determine a transform; the checkpoint stores
both. The result for a picture does not depend on its batch.
"""

import inspect
from collections.abc import Iterable
from typing import Any, ClassVar

from torch import Tensor, nn


class Transform(nn.Module):
    """A map of pictures, `(B, c, h, w)` to `(B, ...)`, float.

    The constructor stores every argument in an attribute of the same name, for `spec`.
    """

    kind: ClassVar[str]

    def __init__(self) -> None:  # torch's own accepts any arguments
        super().__init__()

    def spec(self) -> dict[str, Any]:
        """The kind and the constructor's arguments, as JSON."""
        return {"kind": self.kind} | {name: getattr(self, name) for name in inspect.signature(type(self)).parameters}

    def fit(self, batches: Iterable[Tensor]) -> None:
        """Fit the parameters to data; most transforms have none."""


def require(condition: bool, name: str, value: object, rule: str) -> None:
    if not condition:
        raise ValueError(f"{name}={value!r}: must be {rule}")
