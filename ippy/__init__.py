"""Operators, models, losses and metrics for the course on imaging inverse problems."""

from ippy.base.device import get_device
from ippy.base.paths import course_root

__all__ = ["course_root", "get_device"]
