"""How good a reconstruction is: metrics to report, losses to train with, and the comparison."""

from ippy.quality.evaluation import evaluate, measure_one_by_one, summarise
from ippy.quality.losses import CombinedLoss, FourierLoss, PerceptualLoss, SSIMLoss
from ippy.quality.metrics import METRICS, Metric, lpips, mse, psnr, ssim
from ippy.quality.sharpness import detail, edge_width
from ippy.quality.tiling import restore

__all__ = [
    "METRICS",
    "CombinedLoss",
    "FourierLoss",
    "Metric",
    "PerceptualLoss",
    "SSIMLoss",
    "detail",
    "edge_width",
    "evaluate",
    "lpips",
    "measure_one_by_one",
    "mse",
    "psnr",
    "restore",
    "ssim",
    "summarise",
]
