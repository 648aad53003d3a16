"""What do the training slices teach: which parts of a body, and how many bodies?"""

from dataclasses import replace
from functools import partial

from ippy.data.phantoms import Style
from ippy.models import build
from ippy.studies import Generated, Job, Study, grid
from ippy.train import RECIPES

SLICES = 720
BODIES = 36
STYLES = {
    "as drawn": Style(),
    "no clutter": Style(clutter=0),
    "no odd scales": Style(scales=0),
    "softer edges": Style(softness=0.5),
    "much softer edges": Style(softness=1),
    "levels twice as spread": Style(levels=2),
    "contrast agent": Style(contrast=0.3),
    "no vessels": Style(vessels=0),
    "twice the vessels": Style(vessels=2),
    "three times the airways": Style(airways=3),
    "no fat planes": Style(fat_planes=0),
    "twice the fat planes": Style(fat_planes=2),
    "no gas": Style(gas=0),
    "no couch": Style(couch=0),
    "arms in three of four": Style(arms=3),
    "no noise": Style(noise=0),
    "twice the noise": Style(noise=2),
    "no point spread": Style(spread=0),
    "twice the point spread": Style(spread=2),
}
NUMBERS = [4, 12, 120, 720]


def job(model: str, style: str, bodies: int, seed: int) -> Job:
    """Train a small network for 2000 steps on bodies in a style."""
    recipe = replace(RECIPES[model], steps=2000, batch_size=1, seed=seed)
    slices = partial(_slices, bodies, STYLES[style])
    return Job(partial(build, model, seed=seed), recipe, slices=slices)


def _slices(bodies: int, style: Style, _: object) -> Generated:
    return Generated(bodies, SLICES // bodies, style)


MODELS = {"model": ["ResCNN", "CNN"], "seed": [0, 1]}

STUDY = Study(
    question="What do the training slices teach: which parts of a body, and how many bodies?",
    decides="How bodies are drawn, and how many of them there are.",
    fixed="720 slices, 36 bodies where the number is not varied, one 128-pixel crop a step, "
    "2000 steps of the small networks' recipe, two seeds.",
    rows=grid(style=list(STYLES), bodies=[BODIES], **MODELS)
    + grid(style=["as drawn"], bodies=NUMBERS, **MODELS),
    job=job,
    minutes=1,
)
