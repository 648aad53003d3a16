"""The outlines that the parts of one slice share: skin, muscle wall and inner cage."""

from __future__ import annotations

import numpy as np

from ippy.data.phantoms.patient import Patient


def smooth_step(x: float) -> float:
    """Return 0 below 0, 1 above 1, and a smooth rise between."""
    x = min(max(x, 0.0), 1.0)
    return x * x * (3 - 2 * x)


class Frame:
    """The outlines that the parts of one slice share, as radii over the angle.

    Attributes:
        centre: Middle of the body (x, y) in pixels.
        angle: (N,) directions in radians; y points down, so the back is at pi / 2.
        body: (N,) radius of the skin.
        wall: (N,) radius where fat ends and muscle begins.
        cage: (N,) radius of the inner side of the chest or abdominal wall.
    """

    def __init__(self, patient: Patient, z: float) -> None:
        self.patient, self.z, self.centre = patient, z, np.asarray(patient.centre)
        count = 240
        self.angle = np.linspace(0, 2 * np.pi, count, endpoint=False)
        sin, cos = np.sin(self.angle), np.cos(self.angle)
        shoulder = 0.10 * smooth_step((0.45 - z) / 0.5)
        a, b = patient.width * (0.93 + shoulder), patient.depth * (1.0 - 0.3 * shoulder)
        power = patient.power
        radius = (np.abs(cos / a) ** power + np.abs(sin / b) ** power) ** (-1 / power)
        for i, size in enumerate(patient.waves("body", z, 0.012)):
            radius *= 1 + size * (np.sin if i % 2 else np.cos)((2 + i // 2) * self.angle)
        notch = np.exp(-(((self.angle - np.pi / 2) / 0.13) ** 2))
        self.body = radius * (1 - 0.02 * notch)
        layer = patient.fat_layer * (0.75 + 0.35 * sin**2 + 0.08 * patient.drift("fat", z)[0])
        belly = 1 + 0.6 * smooth_step((z - 0.55) / 0.4) * np.clip(-sin, 0, 1)
        self.wall = self.body - np.clip(layer * belly, 2.5, None)
        side = 4 + 13 * smooth_step((0.5 - z) / 0.5)
        muscle = side * np.abs(cos) ** 1.5 + 6 * np.clip(-sin, 0, 1) + 12 * np.clip(sin, 0, 1) ** 2
        muscle += 13 * np.exp(-(((self.angle - np.pi / 2) / 0.36) ** 2))  # beside the spine
        ripple = 1 + 0.12 * sum(
            c * np.sin((3 + i) * self.angle) for i, c in enumerate(patient.drift("cage", z, 3))
        )
        self.cage = self.wall - np.clip(muscle * ripple, 3, None)

    def outline(self, radius: np.ndarray) -> np.ndarray:
        """Return (N, 2) corners of the closed line at ``radius``."""
        ray = np.stack([np.cos(self.angle), np.sin(self.angle)], axis=1)
        return self.centre + radius[:, None] * ray

    def at(self, angle: float, radius: np.ndarray, shift: float = 0.0) -> np.ndarray:
        """Return the point (x, y) of a closed line in the direction ``angle``."""
        r = np.interp(angle % (2 * np.pi), self.angle, radius) + shift
        return self.centre + r * np.array([np.cos(angle), np.sin(angle)])

    def point(self, x: float, y: float) -> np.ndarray:
        """Return a place in the body given in units of its half width and half depth."""
        p = self.patient
        return self.centre + np.array([x * p.width * 0.95, y * p.depth])
