"""The former name of `convdbn.learning.greedy`; it works for one more version."""

import importlib
import warnings
from typing import Any

NEW = "convdbn.learning.greedy"


def __getattr__(name: str) -> Any:
    value = getattr(importlib.import_module(NEW), name)
    warnings.warn(f"{__name__} is {NEW} now; import that", DeprecationWarning, stacklevel=2)
    return value
