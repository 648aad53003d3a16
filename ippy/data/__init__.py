"""Slices: generated once, read in one order everywhere."""

from ippy.data.dataset import MayoDataset
from ippy.data.generation import prepare_mayo, validation_slices

__all__ = ["MayoDataset", "prepare_mayo", "validation_slices"]
