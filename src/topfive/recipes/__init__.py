"""How a run is trained: the published runs as TOML, and their validated form."""

from topfive.recipes.reading import open_recipe, parse, published
from topfive.recipes.recipe import Recipe, compare
from topfive.recipes.stages import Fit, Sgd, Svm

__all__ = ["Fit", "Recipe", "Sgd", "Svm", "compare", "open_recipe", "parse", "published"]
