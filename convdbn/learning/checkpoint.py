"""This module is `convdbn.storage.checkpoint` now; the name stays for one version."""

import importlib
import sys
import warnings

warnings.warn(
    "convdbn.learning.checkpoint is convdbn.storage.checkpoint now; import that", DeprecationWarning, stacklevel=2
)
sys.modules[__name__] = importlib.import_module("convdbn.storage.checkpoint")
