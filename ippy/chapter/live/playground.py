"""Four distortions of one image, tuned to the same PSNR, and what SSIM and LPIPS make of them."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import torch
from bokeh.models import ColumnDataSource, Range1d
from bokeh.plotting import figure as Plot
from matplotlib.figure import Figure
from torch import Tensor

from ippy.chapter import distortions
from ippy.chapter.axes import as_pixels, draw_image
from ippy.chapter.live.plots import add_image, curves, picture, to_levels
from ippy.chapter.live.publish import choice, publish, slider, switch
from ippy.chapter.style import COLOURS
from ippy.quality import METRICS

_PSNRS = tuple(range(40, 18, -2))  # dB, from hardly to be seen to plain
_DASHES = ("solid", "dashed", "dotdash", "dotted")

_FAULTS: dict[str, tuple[distortions.Fault, float, str]] = {  # strongest, and its strength in words
    "noise": (distortions.add_noise, 1.0, "standard deviation {:.3f}"),
    "blur": (distortions.blur, 40.0, "Gaussian of {:.2f} pixels"),
    "shift": (distortions.shift, 20.0, "by {:.2f} pixels"),
    "contrast": (distortions.weaken_contrast, 1.0, "weaker by {:.0%}"),
}

Scores = dict[str, dict[str, list[float]]]  # distortion -> metric -> one value a level


def metric_playground(x: Tensor, *, brightest: float = 1.0) -> Figure:
    """Publish the live figure ``metrics``, and draw it as it stands before it is touched.

    Noise, blur, shift and loss of contrast are each tuned to the same PSNRs, from 40 to 20 dB, so
    that at every strength of the slider PSNR calls the four equal.

    Args:
        x: One image (1, 1, H, H) in [0, 1].
        brightest: Grey value drawn white.

    Returns:
        The still picture: the four distortions at one PSNR, with their SSIM and LPIPS.

    Raises:
        FileNotFoundError: LPIPS needs pretrained features, which can't be had.
        ValueError: ``x`` is not one square image.
    """
    if x.ndim != 4 or x.shape[:2] != (1, 1) or x.shape[2] != x.shape[3]:
        raise ValueError(f"x has shape {tuple(x.shape)}; expected one square image (1, 1, H, H)")
    images, strengths = {}, {}
    for name, (fault, strongest, words) in _FAULTS.items():
        tuned = [distortions.equally_bad(fault, x, psnr, strongest) for psnr in _PSNRS]
        images[name] = torch.cat([image for image, _ in tuned])  # (levels, 1, H, H)
        strengths[name] = [words.format(strength) for _, strength in tuned]
    scores = {name: _scores(stack, x) for name, stack in images.items()}

    side = x.shape[3]
    shown = picture("image", side=side)
    add_image(shown, "pixels", to_levels(as_pixels(x)), side=side, high=255 * brightest)
    ssim = _curves("ssim", "SSIM", scores, Range1d(0, 1.02))
    worst = max(max(score["lpips"]) for score in scores.values())
    lpips = _curves("lpips", "LPIPS, turned over", scores, Range1d(1.05 * worst, -0.02))
    ssim.legend.location = "bottom_left"

    names = [*_FAULTS]
    publish(
        "metrics",
        {
            "The distorted image.": shown,
            "SSIM against PSNR.": ssim,
            "LPIPS against PSNR: up is better here, too.": lpips,
        },
        [
            choice("distortion", "Distortion", names),
            slider("level", "Strength", [str(i + 1) for i in range(len(_PSNRS))], 5),
            switch("truth", "Show the truth instead"),
        ],
        {
            "images": np.stack([to_levels(images[name]) for name in names]),
            "true image": to_levels(as_pixels(x)),
        },
        {"names": names, "side": side, "scores": [scores[name] for name in names],
         "strengths": [strengths[name] for name in names]},
    )  # fmt: skip
    return _still(images, scores, brightest)


def _scores(images: Tensor, x: Tensor) -> dict[str, list[float]]:
    truths = x.expand_as(images)
    return {
        name: [round(value, 4) for value in METRICS[name].function(images, truths).tolist()]
        for name in ("psnr", "ssim", "lpips")
    }


def _curves(
    name: str, ylabel: str, scores: dict[str, dict[str, list[float]]], range_: Range1d
) -> Plot:
    plot = curves(
        name, xlabel="PSNR (dB)", ylabel=ylabel, height=215,
        x_range=Range1d(_PSNRS[0] + 1, _PSNRS[-1] - 1), y_range=range_,
    )  # fmt: skip
    for (distortion, score), colour, dash in zip(scores.items(), COLOURS, _DASHES, strict=False):
        legend = {"legend_label": distortion} if name == "ssim" else {}
        plot.line(
            score["psnr"], score[name], color=colour, line_dash=dash, line_width=2.5, **legend
        )
    now = {"x": [-99] * 4, "y": [0] * 4, "size": [7] * 4, "colour": COLOURS[:4]}
    source = ColumnDataSource(now, name=f"{name} now")
    plot.scatter("x", "y", size="size", color="colour", line_color="black", source=source)
    if name == "ssim":
        plot.legend.background_fill_alpha = 0
        plot.legend.border_line_color = None
        plot.legend.label_text_font_size = "12px"
        plot.legend.glyph_width, plot.legend.spacing, plot.legend.padding = 32, 0, 4
    return plot


def _still(images: dict[str, Tensor], scores: Scores, brightest: float) -> Figure:
    level = 5
    figure, axes = plt.subplots(2, 2, figsize=(5.6, 6.2))
    for axis, (name, stack) in zip(axes.flat, images.items(), strict=True):
        psnr, ssim, lpips = (scores[name][metric][level] for metric in ("psnr", "ssim", "lpips"))
        title = f"{name}, {psnr:.1f} dB\nSSIM {ssim:.2f}, LPIPS {lpips:.2f}"
        draw_image(axis, stack[level], title, vmax=brightest)
    return figure
