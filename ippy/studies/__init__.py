"""Experiments that repeat themselves: a question in a file, and its record beside it.

``studies/<name>.py`` says what is varied and what is held fixed; ``python -m ippy study <name>``
runs what is missing; ``studies/<name>.json`` keeps a row for each run, and :func:`read` gives them
as a tidy table to whoever quotes them.
"""

from ippy.studies.definition import Job, Phase, Study, grid, load, names
from ippy.studies.evaluation import Evaluation, data_scores
from ippy.studies.protocol import Clutter, Drawn, Generated
from ippy.studies.record import read
from ippy.studies.situations import MISTAKES, SITUATIONS, Situation
from ippy.studies.summary import summarise

__all__ = [
    "MISTAKES",
    "SITUATIONS",
    "Clutter",
    "Drawn",
    "Evaluation",
    "Generated",
    "Job",
    "Phase",
    "Situation",
    "Study",
    "data_scores",
    "grid",
    "load",
    "names",
    "read",
    "summarise",
]
