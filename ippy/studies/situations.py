"""Situations that networks meet beside the one that they were trained for, and mistaken beliefs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from skimage import data as pictures
from torch import Tensor
from torch.nn import functional as F

from ippy.operators import Blurring
from ippy.problems import InverseProblem, MisinformedProblem

SIDE = 256  # of the pictures, in pixels


@dataclass(frozen=True)
class Situation:
    """A motion blur, its noise, and what is seen; by default the reference task on CT slices.

    Attributes:
        length: Of the blur, in pixels, odd.
        angle: Its direction, in degrees.
        noise_level: Relative norm of the noise.
        picture: ``"photograph"`` or ``"printed page"``; None for slices.
        believed: The situation that methods believe in; this one if None.
    """

    length: int = 9
    angle: float = 20.0
    noise_level: float = 0.01
    picture: str | None = None
    believed: Situation | None = None

    def problem(self, kind: type[InverseProblem] = InverseProblem) -> InverseProblem:
        """Return the problem, of a kind that shows as much of the operator as a method needs."""
        blur = Blurring(kernel_type="motion", kernel_size=self.length, motion_angle=self.angle)
        if self.believed is None:
            return kind(blur, self.noise_level)
        return MisinformedProblem(blur, self.noise_level, self.believed.problem(kind))

    def images(self) -> Tensor | None:
        """Return the picture as an image (1, 1, 256, 256) in [0, 1]; None for slices."""
        if self.picture is None:
            return None
        pixels = PICTURES[self.picture]()
        image = torch.from_numpy(np.ascontiguousarray(pixels)).float()[None, None] / 255
        return F.interpolate(image, (SIDE, SIDE), mode="bilinear", antialias=True)


PICTURES = {
    "photograph": pictures.camera,
    "printed page": lambda: pictures.page()[:, :191],  # a square of it
}

SITUATIONS: dict[str, Situation] = {
    "as trained": Situation(),
    "twice the noise": Situation(noise_level=0.02),
    "five times the noise": Situation(noise_level=0.05),
    "30 degrees": Situation(angle=30),
    "110 degrees": Situation(angle=110),
    "length 13": Situation(length=13),
    "length 13 and 110 degrees": Situation(length=13, angle=110),
    "photograph": Situation(picture="photograph"),
    "printed page": Situation(picture="printed page"),
}
"""Those of the book's warning about end-to-end networks, and more."""

MISTAKES: dict[str, Situation] = {
    "15 degrees for 20": Situation(believed=Situation(angle=15)),
    "30 degrees for 20": Situation(believed=Situation(angle=30)),
    "length 13 for 9": Situation(believed=Situation(length=13)),
    "1 percent noise for 5": Situation(noise_level=0.05, believed=Situation()),
}
"""What is believed, for what is true: for methods that are given the operator."""
