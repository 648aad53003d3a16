"""Does attention at the bottom of a U pay where the skips stay as they are?

The hybrid of the studies ``sparse_view`` and ``fourier`` has skips that open, and these cost it
steps. Here nothing but the coarsest level is exchanged; the gated U-Net to compare with is in the
records of those two.
"""

from ippy.problems import sparse_view_ct, undersampled_fourier
from ippy.studies import Job, Study, grid
from ippy.studies.networks import whole_slices

TASKS = {"sparse_view": sparse_view_ct(), "fourier": undersampled_fourier()}
STEPS = {"sparse_view": (470,), "fourier": (550,)}  # about 300 core-seconds each


def job(task: str, seed: int) -> Job:
    """Train a gated U-Net with transformer blocks at an eighth of the resolution."""
    return whole_slices("gated with attention", STEPS[task], TASKS[task], seed)


STUDY = Study(
    question="Does attention pay at the bottom of a U whose skips are open?",
    decides="Whether the chapter blames attention or the way in which the hybrid is woken.",
    fixed="As the studies sparse_view, with 60 views, and fourier.",
    rows=grid(task=list(TASKS), seed=[0, 1, 2]),
    job=job,
    minutes=5,
)
