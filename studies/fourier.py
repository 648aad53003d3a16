"""Does attention pay where the Fourier transform is sampled, and each line touches every pixel?"""

from ippy.problems import undersampled_fourier
from ippy.studies import Job, Study, grid
from ippy.studies.networks import whole_slices

STEPS = {  # about 300 core-seconds each, on whole slices
    "UNet": (750,),
    "deep UNet": (720,),
    "GatedUNet": (600,),
    "hybrid": (270, 280),
    "hybrid as one": (550,),
    "ViT": (600,),
}


def job(network: str, seed: int) -> Job:
    """Train a network on the zero-filled images of whole slices."""
    return whole_slices(network, STEPS[network], undersampled_fourier(), seed)


STUDY = Study(
    question="Does attention pay where a quarter of the Fourier transform is measured?",
    decides="What the chapter on attention says about MRI, and which network is shipped.",
    fixed="Generated bodies, whole slices, one a step, about 300 core-seconds a run; factor 4, 1 % "
    "noise.",
    rows=grid(network=list(STEPS), seed=[0]) + grid(network=["GatedUNet", "hybrid"], seed=[1, 2]),
    job=job,
    minutes=5,
)
