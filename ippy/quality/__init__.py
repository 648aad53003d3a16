"""How good a reconstruction is: metrics to report, losses to train with, and the comparison."""

from ippy.quality.ensembles import rank_correlation, reliability, spread_and_error
from ippy.quality.evaluation import data_residual, evaluate, measure_one_by_one, summarise
from ippy.quality.losses import CombinedLoss, FourierLoss, PerceptualLoss, SSIMLoss
from ippy.quality.metrics import METRICS, Metric, available_metrics, lpips, mse, psnr, ssim
from ippy.quality.sharpness import detail, edge_width
from ippy.quality.tiling import restore

__all__ = [
    "METRICS",
    "CombinedLoss",
    "FourierLoss",
    "Metric",
    "PerceptualLoss",
    "SSIMLoss",
    "available_metrics",
    "data_residual",
    "detail",
    "edge_width",
    "evaluate",
    "lpips",
    "measure_one_by_one",
    "mse",
    "psnr",
    "rank_correlation",
    "reliability",
    "restore",
    "spread_and_error",
    "ssim",
    "summarise",
]
