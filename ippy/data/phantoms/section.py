"""One slice while it is painted, as the painters of its organs and bones pass it on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ippy.data.phantoms.frame import Frame
from ippy.data.phantoms.patient import Levels, Patient


@dataclass(frozen=True)
class Section:
    """One slice while it is painted.

    Attributes:
        image: (256, 256) float32, painted in place.
        air_share: (256, 256) how much of each pixel is left to the lungs, taken away in place.
        inside: (256, 256) how much of each pixel lies inside the chest or abdominal wall.
        frame: The outlines of the body.
        rng: For what differs from slice to slice.
    """

    image: np.ndarray
    air_share: np.ndarray
    inside: np.ndarray
    frame: Frame
    rng: np.random.Generator

    @property
    def patient(self) -> Patient:
        """Whose slice it is."""
        return self.frame.patient

    @property
    def levels(self) -> Levels:
        """The patient's grey levels."""
        return self.frame.patient.levels

    @property
    def z(self) -> float:
        """Position along the body: 0 at the upper chest, 1 in the middle of the abdomen."""
        return self.frame.z

    def fill(self, cover: np.ndarray, level: np.ndarray | float) -> None:
        """Fill covered pixels with ``level``; what is filled is no lung."""
        image, air_share = self.image, self.air_share
        image += cover * (level - image)
        air_share *= 1 - cover
