"""This module is `convdbn.learning.greedy` now; the name stays for one version."""

import importlib
import sys
import warnings

warnings.warn("convdbn.models.greedy is convdbn.learning.greedy now; import that", DeprecationWarning, stacklevel=2)
sys.modules[__name__] = importlib.import_module("convdbn.learning.greedy")
