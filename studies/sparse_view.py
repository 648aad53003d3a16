"""Does attention pay in sparse-view tomography, whose streaks cross the whole slice?"""

from functools import cache

from ippy.problems import InverseProblem, sparse_view_ct
from ippy.studies import Job, Study, grid
from ippy.studies.networks import whole_slices

STEPS = {  # about 300 core-seconds each, on whole slices
    "UNet": (600,),
    "deep UNet": (600,),
    "GatedUNet": (500,),
    "hybrid": (230, 240),
    "hybrid as one": (470,),
    "ViT": (500,),
}
PAIR = ["GatedUNet", "hybrid"]  # the same but for the coarsest level


@cache  # its matrix takes longer than all else that a job is made of
def tomography(views: int) -> InverseProblem:
    """Return the task with so many views."""
    return sparse_view_ct(views=views)


def job(views: int, network: str, seed: int) -> Job:
    """Train a network on the filtered back-projections of whole slices."""
    return whole_slices(network, STEPS[network], tomography(views), seed)


STUDY = Study(
    question="Does attention pay in sparse-view tomography?",
    decides="What the chapter on attention says about tomography, and which network is shipped.",
    fixed="Generated bodies, whole slices, one a step, about 300 core-seconds a run; 1 % noise.",
    rows=grid(views=[60], network=list(STEPS), seed=[0])
    + grid(views=[60], network=PAIR, seed=[1, 2])
    + grid(views=[30, 120], network=PAIR, seed=[0])
    + grid(views=[30, 120], network=["UNet", "ViT", "deep UNet"], seed=[0]),
    job=job,
    minutes=5,
)
