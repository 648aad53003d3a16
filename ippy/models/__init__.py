"""The course's models by name: ``build("UNet")``."""

from ippy.models.catalogue import LABELS, NAMES, ModelSpec, build, seeded, spec

__all__ = ["LABELS", "NAMES", "ModelSpec", "build", "seeded", "spec"]
