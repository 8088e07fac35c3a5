"""This module is `convdbn.visual.projections` now; the name stays for one version."""

import importlib
import warnings
from typing import Any

NEW = "convdbn.visual.projections"


def __getattr__(name: str) -> Any:
    value = getattr(importlib.import_module(NEW), name)
    warnings.warn(f"{__name__} is {NEW} now; import that", DeprecationWarning, stacklevel=2)
    return value
