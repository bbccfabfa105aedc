"""How a run is trained: the published runs as TOML, and their validated form."""

from topfive.recipes.recipe import Recipe, Sgd, Svm, compare, open_recipe, parse, published

__all__ = ["Recipe", "Sgd", "Svm", "compare", "open_recipe", "parse", "published"]
