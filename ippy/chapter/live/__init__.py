"""Figures that a reader can touch in the built book, without a kernel.

Each function below draws a still picture, which the notebook and the printed page show, and writes
what the live figure needs to ``book/_static/interactive/NAME.data.js``. A figure of the book whose
name is ``live-NAME`` gets a button there; ``book/_static/interactive/`` holds the scripts.
"""

from ippy.chapter.live.attention import attention_explorer
from ippy.chapter.live.compare import compare_slider
from ippy.chapter.live.patches import patch_size_slider
from ippy.chapter.live.playground import metric_playground

__all__ = ["attention_explorer", "compare_slider", "metric_playground", "patch_size_slider"]
