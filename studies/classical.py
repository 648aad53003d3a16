"""What do methods that learn nothing reach on the global tasks?"""

from functools import partial

from ippy.problems import (
    Tikhonov,
    TotalVariation,
    ghost,
    sparse_view_ct,
    undersampled_fourier,
)
from ippy.quality.evaluation import Start
from ippy.studies import Evaluation, Study, grid

TASKS = {
    "30 views": partial(sparse_view_ct, views=30),
    "60 views": sparse_view_ct,
    "120 views": partial(sparse_view_ct, views=120),
    "fourier": undersampled_fourier,
    "ghost": ghost,
}

METHODS = {
    "start": Start,
    "tikhonov": lambda problem: Tikhonov(problem.operator),
    "total variation": lambda problem: TotalVariation(problem.operator),
}


def job(task: str, method: str) -> Evaluation:
    """Score a method on a task."""
    problem = TASKS[task]()
    return Evaluation(partial(METHODS[method], problem), problem)


STUDY = Study(
    question="What do methods that learn nothing reach on the global tasks?",
    decides="What a network has to beat in the chapter on attention.",
    fixed="1 % noise; the weights of Tikhonov and of total variation are the course's.",
    rows=grid(task=list(TASKS), method=["start"])
    + grid(task=["60 views", "fourier", "ghost"], method=["tikhonov", "total variation"]),
    job=job,
    minutes=1,
)
