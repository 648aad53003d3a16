"""How richly the parts of a body are drawn: what the study of the generator varies."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Style:
    """How richly each part is drawn; 1 is the course's own measure, 0 leaves the part out.

    Attributes:
        vessels: Number of vessels in the lungs.
        airways: Number of airways in the lungs.
        fat_planes: Number of strands in the fat and of planes between the muscles.
        gas: Share of the bowel's loops that hold gas.
        couch: Grey level of the couch, and number of blankets and cables.
        arms: Share of the patients whose arms lie beside the body.
        contrast: Share of the patients who were given a contrast agent.
        softness: How much of a slice has softer edges, as where a surface is grazed.
        levels: Spread of the grey levels between patients.
        scales: Share of the training slices that are made brighter or darker.
        clutter: Share of the training slices with clutter over a part of them.
        noise: Size of the scanner's noise.
        spread: Width of the scanner's point spread.
    """

    vessels: float = 1.0
    airways: float = 1.0
    fat_planes: float = 1.0
    gas: float = 1.0
    couch: float = 1.0
    arms: float = 1.0
    contrast: float = 0.0
    softness: float = 0.0
    levels: float = 1.0
    scales: float = 1.0
    clutter: float = 1.0
    noise: float = 1.0
    spread: float = 1.0


AS_DRAWN = Style()
