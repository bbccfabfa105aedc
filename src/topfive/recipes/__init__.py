"""How a run is trained: the published runs as TOML, and their validated form."""

from topfive.recipes.recipe import Fit, Recipe, Sgd, Svm, compare, open_recipe, parse, published

__all__ = ["Fit", "Recipe", "Sgd", "Svm", "compare", "open_recipe", "parse", "published"]
