"""What a model is worth: its features to a classifier, its likelihood, its reconstructions and completions."""

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
