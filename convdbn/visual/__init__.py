"""Visualization. `projections`, `patches`, `statistics` and `report_data` compute numbers; the other modules draw.

`unit_figures` and `model_figures` have a function for each figure of a model; `figures` and `plots` draw pictures and
charts from numbers, and `report` lays out a page.
"""

__all__ = [
    "figures",
    "model_figures",
    "patches",
    "plots",
    "projections",
    "report",
    "report_data",
    "statistics",
    "tensorboard",
    "unit_figures",
]
