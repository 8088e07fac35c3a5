"""This module is `convdbn.visual.projections` now; the name stays for one version."""

import importlib
import sys
import warnings

warnings.warn(
    "convdbn.visual.project is convdbn.visual.projections now; import that", DeprecationWarning, stacklevel=2
)
sys.modules[__name__] = importlib.import_module("convdbn.visual.projections")
