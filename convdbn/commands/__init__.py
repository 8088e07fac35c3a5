"""The commands, in Python and in the shell, each in a file of its own."""

COMMANDS = (
    "demo",
    "train",
    "features",
    "evaluate",
    "likelihood",
    "reconstruction",
    "label_error",
    "finetune",
    "refine",
    "visualize",
    "plot",
    "report",
    "sample",
    "complete",
    "inspect",
)
"""Every command, each a function in the module of its name, in the order in which the command line lists them."""
