"""The quick questions: complete, the same every time, and reproducible without a trace."""

import json
import random

import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output

from ippy.base.paths import course_root
from ippy.chapter.quiz import quiz

QUIZZES = sorted((course_root() / "book" / "quizzes").glob("*.json"))


@pytest.mark.parametrize("path", QUIZZES, ids=lambda path: path.stem)
def test_each_question_has_one_right_answer_and_a_reply_to_every_one(path):
    questions = json.loads(path.read_text(encoding="utf-8"))
    assert 2 <= len(questions) <= 3
    for question in questions:
        answers = question["answers"]
        assert sum(answer["correct"] for answer in answers) == 1 < len(answers) - 1
        replies = [answer["feedback"] for answer in answers]
        assert len(set(replies)) == len(replies) and all(len(reply) > 20 for reply in replies)
        assert "$" not in json.dumps(question), "formulas are not set in here: use signs such as λ"


@pytest.fixture
def shell():
    """A notebook's shell, without which nothing is displayed."""
    yield InteractiveShell.instance()
    InteractiveShell.clear_instance()


def outputs(name):
    with capture_output() as captured:
        quiz(name)
    return [output.data for output in captured.outputs]


def test_the_same_questions_give_the_same_output(shell):
    random.seed(0)
    expected = random.random()
    random.seed(0)
    first = outputs("introduction")
    assert random.random() == expected
    assert outputs("introduction") == first != outputs("loss_design")


def test_an_unknown_name_is_told_the_known_ones():
    with pytest.raises(FileNotFoundError, match=r"no questions named 'nothing'.*loss_design"):
        quiz("nothing")
