"""From a recipe to a model file, stage by stage."""

from topfive.training.run import Run, train

__all__ = ["Run", "train"]
