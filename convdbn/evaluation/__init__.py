"""Evaluation of a model: its features with a classifier, its likelihood, its reconstructions and completions."""

__all__ = [
    "baselines",
    "classifiers",
    "completion",
    "gabor",
    "label_units",
    "likelihood",
    "protocols",
    "reconstruction",
    "selectivity",
]
