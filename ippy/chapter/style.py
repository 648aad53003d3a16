"""The style of all figures, and how a notebook stores them."""

from __future__ import annotations

import io
import sys

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from ippy.models import NAMES

COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#6B6B6B"]
"""Okabe and Ito's palette, safe for colour-blind readers (black replaced by grey)."""

_EIGHT = zip((*NAMES, "GatedUNet"), [*COLOURS, "black"], "ospD^vX*", strict=True)
LOOKS: dict[str, dict[str, str]] = {n: {"color": c, "marker": m} for n, c, m in _EIGHT}
"""Colour and marker of each of the eight networks, the same in all figures."""

DPI = 160
"""Pixels per inch: crisp on a dense screen, and a slice of 256 pixels is not drawn smaller."""

GREY_LEVELS = 128
"""Levels per channel of a stored figure. No pixel moves by more than one level of 255."""


def use_course_style() -> None:
    """Set matplotlib's defaults to the course's, and let notebooks store small PNG files."""
    plt.rcParams.update(
        {
            "figure.dpi": DPI,
            "savefig.dpi": DPI,
            "figure.facecolor": "white",
            "figure.constrained_layout.use": True,
            "font.size": 10,
            "axes.titlesize": 10.5,
            "axes.labelsize": 10,
            "axes.prop_cycle": plt.cycler(color=COLOURS),
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.edgecolor": "#6B6B6B",
            "axes.axisbelow": True,
            "axes.grid": True,
            "grid.alpha": 0.3,
            "grid.linewidth": 0.6,
            "lines.linewidth": 1.8,
            "legend.frameon": False,
            "image.cmap": "gray",
            "image.interpolation": "nearest",
        }
    )
    ipython = sys.modules.get("IPython")  # absent from a script, which stores no figures
    shell = ipython.get_ipython() if ipython else None
    if shell is not None:
        plt.switch_backend(plt.get_backend())  # the backend brings a formatter: load it first
        shell.display_formatter.formatters["image/png"].for_type(Figure, figure_png)


def figure_png(figure: Figure) -> bytes:
    """Draw a figure as a small PNG.

    Figures made of greys become greyscale files, the others get a palette of 256 colours: a
    third of what matplotlib writes for slices, whose noise compresses badly.

    Args:
        figure: Any figure with an opaque background.

    Returns:
        The file's bytes. It carries its resolution, so that a page knows its size in inches.
    """
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=figure.dpi, bbox_inches="tight")
    step = 255 / (GREY_LEVELS - 1)
    pixels = np.asarray(Image.open(drawn).convert("RGB"))  # (H, W, 3)
    pixels = np.rint(np.rint(pixels / step) * step).astype(np.uint8)
    if (pixels == pixels[..., :1]).all():
        image = Image.fromarray(pixels[..., 0])
    else:
        image = Image.fromarray(pixels).quantize(256, dither=Image.Dither.NONE)
    stored = io.BytesIO()
    image.save(stored, format="png", optimize=True, dpi=(figure.dpi, figure.dpi))
    return stored.getvalue()
