"""An answer is judged alone, whatever state the session is in, and leaves that as it was."""

from __future__ import annotations

import random
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
import nbformat
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ippy.exercises import EXERCISES, judge
from ippy.exercises.session import plain_session
from ippy.models.vit import patchify

BOOK = Path(__file__).resolve().parent.parent / "book"


@pytest.fixture(scope="module")
def solutions() -> dict[str, Any]:
    """What the notebook of solutions hands to `check`."""
    handed: dict[str, Any] = {}
    scope: dict[str, Any] = {}
    matplotlib.use("Agg")
    for cell in nbformat.read(BOOK / "solutions.ipynb", as_version=4).cells:
        if cell.cell_type == "code" and "mystnb" not in cell.metadata and "-after" not in cell.id:
            exec(cell.source, scope)
            scope["check"] = handed.__setitem__
    return handed


@contextmanager
def switched(write: Callable[[Any], Any], inside: Any, afterwards: Any) -> Iterator[None]:
    write(inside)
    try:
        yield
    finally:
        write(afterwards)


@contextmanager
def warnings_as_errors() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


@contextmanager
def seeded() -> Iterator[None]:
    torch.manual_seed(7)
    np.random.seed(7)  # noqa: NPY002
    random.seed(7)
    yield


STATES: dict[str, Callable[[], Any]] = {
    "as started": lambda: switched(lambda _: None, 0, 0),
    "gradients off": lambda: switched(torch.set_grad_enabled, False, True),
    "no_grad": torch.no_grad,
    "inference": torch.inference_mode,
    "float64": lambda: switched(torch.set_default_dtype, torch.float64, torch.float32),
    "bfloat16": lambda: switched(torch.set_default_dtype, torch.bfloat16, torch.float32),
    "device": lambda: switched(torch.set_default_device, "meta", None),
    "device block": lambda: torch.device("meta"),
    "autocast": lambda: torch.autocast("cpu", dtype=torch.bfloat16),
    "threads": lambda: switched(torch.set_num_threads, 3, torch.get_num_threads()),
    "seeds": seeded,
    "deterministic": lambda: switched(torch.use_deterministic_algorithms, True, False),
    "warnings": warnings_as_errors,
    "anomaly": lambda: torch.autograd.set_detect_anomaly(True),
    "numpy": lambda: np.errstate(all="raise"),
    "precision": lambda: switched(torch.set_float32_matmul_precision, "medium", "highest"),
}


def state() -> dict[str, Any]:
    """All that a session has for everybody, in a form that can be compared."""
    bits = np.random.get_state()  # noqa: NPY002
    return {
        "gradients": (torch.is_grad_enabled(), torch.is_inference_mode_enabled()),
        "dtype": torch.get_default_dtype(),
        "device": torch.get_default_device(),
        "autocast": (torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu")),
        "threads": torch.get_num_threads(),
        "random": (torch.random.get_rng_state().tolist(), random.getstate(), bits[1].tolist()),
        "place in random": bits[2],
        "deterministic": torch.get_deterministic_debug_mode(),
        "warnings": list(warnings.filters),
        "anomaly": (torch.is_anomaly_enabled(), torch.is_anomaly_check_nan_enabled()),
        "numpy": np.geterr(),
        "precision": torch.get_float32_matmul_precision(),
    }


@pytest.mark.parametrize("name", STATES)
def test_every_solution_is_right_in_every_state(solutions: dict, name: str) -> None:
    with STATES[name]():
        before = state()
        feedback = {exercise: judge(exercise, solutions[exercise]) for exercise in EXERCISES}
        assert state() == before
    assert {f.verdict for f in feedback.values()} == {"right"}, feedback
    assert len(feedback) == 34


@pytest.mark.parametrize("name", STATES)
def test_wrong_answers_are_told_the_same_in_every_state(name: str) -> None:
    def cuts(x: Tensor, P: int) -> Tensor:
        return patchify(x, P).detach()

    def nan(a: Tensor, b: Tensor) -> Tensor:
        return (a - b).square().sqrt().mean()

    with STATES[name]():
        before = state()
        assert "no gradient flows back" in judge("patchify", cuts).text
        assert "no derivative at 0" in judge("l1", nan).text
        assert judge("patchify", lambda x, P: x.reshape(7)).verdict == "wrong"
        assert judge("crossover", torch.tensor(3.0, device="cpu")).verdict == "wrong"
        assert state() == before


def warning(norm: float) -> float:
    """Right, though PyTorch, NumPy and Python have something to say on the way."""
    warnings.warn("mind the gap", stacklevel=1)
    np.log(np.zeros(1)) - np.float32(1e-30) ** 2 * np.float64(1e300) ** 2
    torch.ones(1).std()
    return 2 / norm**2


@pytest.mark.parametrize("name", STATES)
def test_warnings_are_no_reason_to_refuse_an_answer(name: str) -> None:
    with STATES[name]():
        assert judge("step-size", warning).verdict == "right"


def meddling(x: Tensor, P: int) -> Tensor:
    """Right, but leaves nothing in the session as it was."""
    patches = patchify(x, P)
    torch.set_grad_enabled(False)
    torch.set_default_dtype(torch.float64)
    torch.set_autocast_enabled("cpu", True)
    torch.set_num_threads(torch.get_num_threads() + 1)
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002
    random.seed(0)
    torch.use_deterministic_algorithms(True)
    warnings.simplefilter("error")
    torch.autograd.set_detect_anomaly(True)
    np.seterr(all="raise")
    torch.set_float32_matmul_precision("medium")
    return patches


def moving(x: Tensor, P: int) -> Tensor:
    torch.set_default_device("meta")
    return meddling(x, P)


@pytest.mark.parametrize("name", STATES)
def test_an_answer_that_changes_the_session_is_judged_and_undone(name: str) -> None:
    with STATES[name]():
        before = state()
        assert judge("patchify", meddling).verdict == "right"
        if "device" not in name:  # PyTorch can't change it inside a block of torch.device
            assert judge("patchify", moving).verdict == "right"
        assert state() == before


IMPORTED_LATE = """
import torch
torch.set_default_dtype(torch.float64)
torch.set_default_device("meta")
with torch.inference_mode():
    from ippy.exercises import EXERCISES, judge
    from ippy.exercises.judging import Code
    codes = {n: e.judge for n, e in EXERCISES.items() if isinstance(e.judge, Code)}
    answers = {name: code.differentiable or code.right for name, code in codes.items()}
    feedback = [judge(name, lambda *inputs: right(*inputs)) for name, right in answers.items()]
    print(*(f for f in feedback if f.verdict != "right"))
    print(len(answers), torch.get_default_dtype(), torch.get_default_device())
"""


def test_the_state_at_import_does_not_matter() -> None:
    command = [sys.executable, "-c", IMPORTED_LATE]
    result = subprocess.run(command, capture_output=True, text=True, cwd=BOOK.parent)
    assert result.stdout == "\n14 torch.float64 meta\n", result.stdout + result.stderr


def test_the_session_is_put_back_after_an_interruption() -> None:
    before = state()
    with pytest.raises(KeyboardInterrupt), plain_session():
        torch.rand(1)
        torch.set_grad_enabled(False)
        raise KeyboardInterrupt
    assert state() == before


class Loss(nn.Module):
    """An L1 loss as a module, with a layer that changes itself when it is called."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1), requires_grad=False)
        self.norm = nn.BatchNorm2d(2)

    def forward(self, x_hat: Tensor, x: Tensor) -> Tensor:
        self.train()
        self.norm(torch.randn(4, 2, 3, 3))
        self.scale.requires_grad_()
        with torch.no_grad():
            self.scale.mul_(2)
        self.norm.weight.grad = None
        self.norm.bias.grad = torch.ones(2)
        return (x_hat - x).abs().mean()

    def loss(self, x_hat: Tensor, x: Tensor) -> Tensor:
        return self(x_hat, x)


@pytest.mark.parametrize("method", [False, True], ids=["module", "its method"])
def test_a_module_comes_back_as_it_was(method: bool) -> None:
    module = Loss().eval()
    module.norm.weight.grad = torch.ones(2)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    assert judge("l1", module.loss if method else module).verdict == "right"
    assert not any(layer.training for layer in module.modules())
    assert not module.scale.requires_grad and module.norm.weight.requires_grad
    assert torch.equal(module.norm.weight.grad, torch.ones(2)) and module.norm.bias.grad is None
    for name, value in module.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_numbers_and_arrays_come_back_as_they_were() -> None:
    array, tensor = np.array([512.0]), torch.tensor([512.0], requires_grad=True)
    assert judge("crossover", array).verdict == judge("crossover", tensor).verdict == "right"
    assert array.tolist() == [512.0] and tensor.tolist() == [512.0] and tensor.requires_grad
