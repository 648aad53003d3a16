"""Exercises that answer back: ``check("patchify", patchify)``.

The questions are in ``book/exercises.ipynb``. Code is judged by what it does, on inputs that are
drawn anew each time: values, shape, precision, gradient, and whether its inputs are left alone.
"""

from __future__ import annotations

import difflib
import sys
from collections import Counter
from typing import Any

from ippy.exercises import (
    convolutional_baselines,
    image_quality_metrics,
    loss_design,
    model_comparison,
    vision_transformers,
)
from ippy.exercises.core import Exercise, Feedback, Unanswered, Unusable, Wrong

__all__ = ["EXERCISES", "Feedback", "check", "judge"]

EXERCISES: dict[str, Exercise] = {
    exercise.name: exercise
    for chapter in (
        convolutional_baselines,
        vision_transformers,
        image_quality_metrics,
        model_comparison,
        loss_design,
    )
    for exercise in chapter.EXERCISES
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
    try:
        exercise.judge(answer)
    except Unanswered:
        text = "Put your answer in place of the `...` above, run that cell, then this one."
        return Feedback("open", "Not answered yet.", text)
    except Unusable as error:
        return Feedback("unusable", "That can't be judged yet.", str(error))
    except Wrong as error:
        number = min(_wrong_tries[name] + 1, len(exercise.hints))
        _wrong_tries[name] += 1
        hint = f"Hint {number} of {len(exercise.hints)}: {exercise.hints[number - 1]}"
        return Feedback("wrong", "Not yet.", str(error), hint)
    return Feedback("right", "Right.", exercise.why)


def _find(name: str) -> Exercise:
    if name in EXERCISES:
        return EXERCISES[name]
    near = difflib.get_close_matches(str(name), EXERCISES, n=3, cutoff=0.4) or list(EXERCISES)
    raise ValueError(f"no exercise is called {name!r}; did you mean {', '.join(near)}?")
