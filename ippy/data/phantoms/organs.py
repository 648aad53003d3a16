"""The organs with a plain cross-section: a table, and one painter for all of its rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ippy.data.phantoms.canvas import blob, paint
from ippy.data.phantoms.section import Section


@dataclass(frozen=True)
class Organ:
    """A wavy superellipse that shows between two positions along the body.

    Attributes:
        name: What its ripples are drawn from, so that it stays itself from slice to slice.
        place: Centre (x, y) in units of the body's half width and half depth.
        radii: Half axes in pixels; the diaphragm's and the liver's in half widths and depths.
        level: Which of the patient's grey levels it has.
        begin: It shows from this position ``z`` on ...
        end: ... up to this one.
        waves: Relative size of its ripples.
        pace: How fast the ripples change along the body.
        turn: Rotation in radians.
        power: 2 is an ellipse, more is boxier.
        lift: What is added to the grey level.
        soft: Standard deviation of the edge in pixels; of a pair, drawn between the two.
        grows: The ``z`` where its dome begins, and the one where it has its full radii.
    """

    name: str
    place: tuple[float, float]
    radii: tuple[float, float]
    level: str
    begin: float
    end: float
    waves: float
    pace: float = 1.0
    turn: float = 0.0
    power: float = 2.0
    lift: float = 0.0
    soft: float | tuple[float, float] = 0.5
    grows: tuple[float, float] | None = None

    def shows(self, z: float) -> bool:
        """Say whether a slice at ``z`` meets the organ."""
        return self.begin <= z < self.end

    def grown(self, z: float) -> float:
        """Return the radii at ``z`` relative to the full ones."""
        return 1.0 if self.grows is None else dome(z, *self.grows)

    def grey(self, section: Section) -> float:
        """Return the organ's grey level in this patient."""
        return getattr(section.levels, self.level) + self.lift

    def outline(
        self,
        section: Section,
        *,
        centre: np.ndarray | None = None,
        scale: float | np.ndarray = 1.0,
        turn: float | None = None,
    ) -> np.ndarray:
        """Return the organ's outline in a slice.

        Args:
            section: The slice.
            centre: (x, y) in pixels, in place of the organ's own.
            scale: Factor of the radii, or one of each.
            turn: Rotation in radians, in place of the organ's own.

        Returns:
            (N, 2) corners as (x, y) in pixels.
        """
        return blob(
            section.frame.point(*self.place) if centre is None else centre,
            self.grown(section.z) * np.array(self.radii) * scale,
            turn=self.turn if turn is None else turn,
            waves=section.patient.waves(self.name, self.pace * section.z, self.waves),
            power=self.power,
        )


HEAD, FEET = -1.0, 2.0  # beyond both ends of every body
LEFT, RIGHT = (0.46, 0.86), (0.36, 0.84)  # where the two domes of the diaphragm grow
VARIED = (0.4, 1.6)

# fmt: off
#                   name       place           radii         level     begin   end    waves
MEDIASTINAL_FAT = (  # from front to back; where the lungs meet in front only a line is left
              Organ("m-0.62",  (0.00, -0.62),  (5, 24),      "fat",    HEAD,   0.42,  0.10, 2),
              Organ("m-0.62",  (0.00, -0.62),  (0.4, 24),    "fat",    0.42,   0.75,  0.10, 2),
              Organ("m-0.35",  (0.00, -0.35),  (17, 20),     "fat",    HEAD,   0.75,  0.10, 2),
              Organ("m-0.02",  (0.00, -0.02),  (19, 21),     "fat",    HEAD,   0.75,  0.10, 2),
              Organ("m0.33",   (0.00, 0.33),   (11, 20),     "fat",    HEAD,   0.75,  0.10, 2),
)
GREAT_VESSELS = (
              Organ("g0",      (-0.10, -0.24), (10, 10),     "blood",  HEAD,   0.28,  0.06),
              Organ("g1",      (-0.19, -0.18), (6, 6),       "blood",  HEAD,   0.28,  0.06),
              Organ("g2",      (0.10, -0.20),  (10, 10),     "blood",  HEAD,   0.28,  0.06),
              Organ("g3",      (0.20, -0.02),  (8, 8),       "blood",  HEAD,   0.28,  0.06),
              Organ("g4",      (-0.20, 0.00),  (8, 8),       "blood",  HEAD,   0.28,  0.06),
)
AORTA       = Organ("aorta",   (0.00, 0.27),   (8.5, 8.5),   "blood",  HEAD,   FEET,  0.02,
                    soft=0.4)
OESOPHAGUS  = Organ("gullet",  (0.00, 0.14),   (5, 3.8),     "muscle", HEAD,   0.60,  0.00)
DIAPHRAGM = (
              Organ("dome1",   (0.36, -0.20),  (0.72, 0.98), "fat",    0.4602, FEET,  0.05,
                    power=2.2, grows=LEFT),
              Organ("dome-1",  (-0.36, -0.20), (0.72, 0.98), "fat",    0.3602, FEET,  0.05,
                    power=2.2, grows=RIGHT),
)
SPLEEN      = Organ("spleen",  (0.62, 0.12),   (15, 27),     "organ",  0.485,  0.97,  0.07,
                    turn=-0.35, lift=0.008, soft=VARIED, grows=LEFT)
LIVER       = Organ("liver",   (-0.36, -0.17), (0.60, 0.84), "organ",  0.3604, FEET,  0.07,
                    power=2.3, grows=RIGHT)
LEFT_LOBE   = Organ("lobe",    (0.08, -0.48),  (36, 20),     "organ",  0.50,   0.95,  0.10,
                    turn=0.25, soft=VARIED, grows=RIGHT)
KIDNEYS = (
              Organ("k-1",     (-0.45, 0.34),  (13, 18),     "organ",  0.78,   FEET,  0.06,
                    turn=0.5, lift=-0.006, grows=(0.79, 0.88)),
              Organ("k1",      (0.45, 0.34),   (13, 18),     "organ",  0.78,   FEET,  0.06,
                    turn=-0.5, lift=-0.006, grows=(0.76, 0.88)),
)
PSOAS = (
              Organ("psoas-1", (-0.24, 0.47),  (7, 10),      "muscle", 0.78,   FEET,  0.00,
                    soft=0.6),
              Organ("psoas1",  (0.24, 0.47),   (7, 10),      "muscle", 0.78,   FEET,  0.00,
                    soft=0.6),
)
VENA_CAVA   = Organ("cava",    (-0.13, 0.22),  (8.5, 6.5),   "blood",  0.78,   FEET,  0.00,
                    soft=0.6)
# fmt: on


def dome(z: float, begin: float, end: float) -> float:
    """Return the relative radius of a dome cut at ``z``: 0 at ``begin``, 1 at ``end``."""
    return float(np.sqrt(np.clip((z - begin) / (end - begin), 0, 1)))


def paint_organ(
    section: Section,
    organ: Organ,
    *,
    scale: float = 1.0,
    grain: np.ndarray | float = 0.0,
    within: np.ndarray | None = None,
) -> None:
    """Paint one row of the table, in place, where the slice meets it.

    Args:
        section: The slice.
        organ: The row.
        scale: Factor of the radii.
        grain: (256, 256) texture of the organ, or 0.
        within: (256, 256) in [0, 1]; paints only there.
    """
    if not organ.shows(section.z):
        return
    outline = organ.outline(section, scale=scale)
    soft = section.rng.uniform(*organ.soft) if isinstance(organ.soft, tuple) else organ.soft
    paint(section.image, outline, organ.grey(section) + grain, soft=soft, within=within)
