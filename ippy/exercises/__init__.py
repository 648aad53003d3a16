"""Exercises that answer back: ``check("patchify", patchify)``.

The questions are in ``book/exercises.ipynb``. Code is judged by what it does, on inputs that are
drawn anew each time: values, shape, precision, gradient, and whether its inputs are left alone.
"""

from __future__ import annotations

import difflib
import sys
from collections import Counter
from typing import Any

from ippy.base.checks import check_type
from ippy.exercises import (
    attention,
    data_step,
    fourier_slice,
    ghost,
    high_pass,
    l1,
    patch_size,
    patches,
    psnr,
    ssim,
    standard_error,
    training_step,
)
from ippy.exercises.core import Exercise, Feedback, Unanswered, Unusable, Wrong
from ippy.exercises.questions import questions
from ippy.exercises.reading import messages
from ippy.exercises.session import plain_session, unchanged

__all__ = ["EXERCISES", "Feedback", "check", "judge"]

EXERCISES: dict[str, Exercise] = {
    exercise.name: exercise
    for exercise in (
        *questions("convolutional_baselines"),
        *patches.EXERCISES,
        *attention.EXERCISES,
        *questions("transformer_block"),
        *patch_size.EXERCISES,
        *questions("vision_transformers"),
        *psnr.EXERCISES,
        *ssim.EXERCISES,
        *questions("image_quality_metrics"),
        *standard_error.EXERCISES,
        *questions("model_comparison"),
        *l1.EXERCISES,
        *training_step.EXERCISES,
        *high_pass.EXERCISES,
        *questions("loss_design"),
        *questions("attention"),
        *ghost.EXERCISES,
        *fourier_slice.EXERCISES,
        *data_step.EXERCISES,
        *questions("operator"),
    )
}

_wrong_tries: Counter[str] = Counter()


def check(name: str, answer: Any) -> None:
    """Show feedback on an answer: a box in a notebook, text elsewhere.

    Args:
        name: The exercise, as the question names it.
        answer: A letter, a number or a function, as the question asks; ``...`` while there is none.

    Raises:
        ValueError: There is no exercise of that name.
    """
    feedback = judge(name, answer)
    ipython = sys.modules.get("IPython")
    if ipython is not None and ipython.get_ipython() is not None:
        ipython.display.display(feedback)
    else:
        print(feedback)


def judge(name: str, answer: Any) -> Feedback:
    """Return feedback on an answer; each wrong one brings the next hint.

    Args:
        name: The exercise.
        answer: The answer.

    Raises:
        ValueError: There is no exercise of that name.
    """
    exercise = _find(name)
    lead = messages()
    try:
        with plain_session(), unchanged(answer):
            exercise.judge(answer)
    except Unanswered:
        text = "Put your answer in place of the `...` above, run that cell, then this one."
        return Feedback("open", lead["open"], text)
    except Unusable as error:
        return Feedback("unusable", lead["unusable"], str(error))
    except Wrong as error:
        count = len(exercise.hints)
        number = min(_wrong_tries[name] + 1, count)
        _wrong_tries[name] += 1
        hint = lead["hint"].format(number=number, count=count, hint=exercise.hints[number - 1])
        return Feedback("wrong", lead["wrong"], str(error), hint)
    return Feedback("right", lead["right"], exercise.why)


def _find(name: str) -> Exercise:
    check_type("name", name, str, '"patchify"')
    if name in EXERCISES:
        return EXERCISES[name]
    near = difflib.get_close_matches(name, EXERCISES, n=3, cutoff=0.4) or list(EXERCISES)
    raise ValueError(f"no exercise is called {name!r}; did you mean {', '.join(near)}?")
