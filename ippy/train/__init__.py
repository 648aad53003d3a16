"""Training: recipes, the loop, and the course's own checkpoints."""

from ippy.train.interrupts import Stopped
from ippy.train.loop import History, fit
from ippy.train.recipe import RECIPES, Recipe

__all__ = ["RECIPES", "History", "Recipe", "Stopped", "fit"]
