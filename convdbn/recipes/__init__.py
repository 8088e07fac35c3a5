"""Recipes: everything that decides what a training run does, as flat YAML that reads like a table of a paper.

A field of `LayerSettings` holds one value for all layers, or a list with one for each. This package needs neither
torch nor the rest of convdbn, so the command line can show every option without loading them.
"""

from convdbn.recipes.checks import check
from convdbn.recipes.fields import Setting, Settings, checked, describe, setting
from convdbn.recipes.reading import load, names, options, with_source
from convdbn.recipes.recipe import Recipe
from convdbn.recipes.settings import LayerSettings

__all__ = [
    "LayerSettings",
    "Recipe",
    "Setting",
    "Settings",
    "check",
    "checked",
    "describe",
    "load",
    "names",
    "options",
    "setting",
    "with_source",
]
