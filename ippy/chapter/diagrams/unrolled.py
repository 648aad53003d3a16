"""The diagram of an unrolled network: data steps and small networks in turn."""

from __future__ import annotations

from itertools import pairwise

from matplotlib.figure import Figure

from ippy.chapter.diagrams.parts import ADDED, DECODER, ENCODER, Place, arrow, box, sheet

STEPS = 4
WIDE, HIGH, APART = 1.9, 1.1, 0.45  # of a box, and from one to the next


def show_unrolled_network() -> Figure:
    """Draw four pairs of a data step and a small network, and what each is given."""
    pace = WIDE + APART
    figure, axis = sheet((2 * STEPS + 2) * pace, 5.2, inches=9.4)
    row = [Place((k + 0.5) * pace, 2.6, WIDE, HIGH) for k in range(2 * STEPS + 2)]
    first, *pairs, last = row
    data = Place(sum(p.x for p in pairs) / len(pairs), 4.6, pairs[-1].x - first.x, 0.9)
    others = Place(data.x, 0.6, data.width, 0.9)
    box(axis, data, "measurement $y$ and operator $K$", ADDED)
    box(axis, others, "smoother inverse, measurement, noise level", ENCODER)
    box(axis, first, "inverse\n$x_0$", ENCODER, size=8.5)
    for number, place in enumerate(pairs):
        k = number // 2 + 1
        if number % 2 == 0:
            box(axis, place, f"data\nstep {k}", ADDED, size=8.5)
            arrow(axis, (place.x, data.bottom[1]), place.top, colour=ADDED)
        else:
            box(axis, place, f"network\n{k}", DECODER, size=8.5)
            arrow(axis, (place.x, others.top[1]), place.bottom, colour=ENCODER)
    box(axis, last, "image\n$\\hat x$", ENCODER, size=8.5)
    for a, b in pairwise(row):
        arrow(axis, a.right, b.left)
    return figure
