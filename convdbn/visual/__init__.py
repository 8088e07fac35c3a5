"""What a model looks like: numbers first (projections, patches, statistics, report_data), then what draws them.

`unit_figures` and `model_figures` have a function for each figure of a model; `figures` and `plots` draw what was
computed elsewhere, and `report` lays out a page.
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
