"""Slices: generated once, read in one order everywhere."""

from ippy.data.dataset import MayoDataset, prepare_mayo, validation_slices

__all__ = ["MayoDataset", "prepare_mayo", "validation_slices"]
