"""Training: recipes, the loop, and the course's own checkpoints."""

from ippy.train.loop import RECIPES, History, Recipe, Stopped, fit

__all__ = ["RECIPES", "History", "Recipe", "Stopped", "fit"]
