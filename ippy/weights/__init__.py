"""Checkpoints: saved whole with their record, checked before they are used."""

from ippy.weights.checkpoint import load_checkpoint, save_checkpoint
from ippy.weights.manifest import read_manifest

__all__ = ["load_checkpoint", "read_manifest", "save_checkpoint"]
