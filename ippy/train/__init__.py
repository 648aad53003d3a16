"""Training: recipes, the loop, and the course's own checkpoints."""

from ippy.train.interrupts import Diverged, Stopped
from ippy.train.loop import fit
from ippy.train.recipe import RECIPES, Recipe
from ippy.train.run import History

__all__ = ["RECIPES", "Diverged", "History", "Recipe", "Stopped", "fit"]
