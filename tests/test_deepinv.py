"""What the page "From here to deepinv" says, on other inputs than its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
import torch
from IPython.core.interactiveshell import InteractiveShell

from ippy.chapter.cells import needs
from ippy.operators import Blurring

PAGE = Path(__file__).resolve().parent.parent / "book" / "deepinv.ipynb"


@pytest.fixture
def shell() -> Iterator[InteractiveShell]:
    """A notebook's shell."""
    yield InteractiveShell.instance()
    InteractiveShell.clear_instance()


@pytest.mark.needs_deepinv
@pytest.mark.parametrize("angle", [0, 20, 135])
@pytest.mark.parametrize("size", [5, 9])
def test_our_blur_is_theirs_with_the_kernel_flipped(size: int, angle: int) -> None:
    from deepinv.physics import Blur

    K = Blurring((40, 33), kernel_type="motion", kernel_size=size, motion_angle=angle)
    kernel, c = K.kernel[None, None], size // 2
    generator = torch.Generator().manual_seed(0)
    x, y = torch.rand(2, 3, 1, 40, 33, generator=generator)
    whole = Blur(filter=kernel.flip(-1, -2), padding="constant")
    inside = Blur(filter=kernel.flip(-1, -2), padding="valid")
    turned = Blur(filter=kernel, padding="constant")
    pairs = [
        (whole.A(x), K(x)),
        (inside.A(x), K(x)[..., c:-c, c:-c]),
        (whole.A_adjoint(y), K.T(y)),
        (turned.A(y), K.T(y)),
    ]
    for theirs, ours in pairs:
        torch.testing.assert_close(theirs, ours, rtol=0, atol=1e-6)
    if angle == 20:
        assert (turned.A(x) - K(x)).abs().max() > 0.01, "the flip matters"


def test_every_cell_of_the_page_waits_for_deepinv() -> None:
    cells = [cell for cell in nbformat.read(PAGE, 4).cells if cell.cell_type == "code"]
    assert len(cells) > 8
    assert all("needs-deepinv" in cell.metadata.tags for cell in cells)


def test_cells_say_in_a_line_what_is_missing(
    shell: InteractiveShell, capsys: pytest.CaptureFixture[str]
) -> None:
    needs("json")  # is there: nothing changes
    shell.run_cell("print(6 * 7)")
    assert capsys.readouterr().out == "42\n"
    needs("nothing_of_this_name")
    line = "nothing_of_this_name is not installed; in the course's folder: python -m pip install "
    line += '-e ".[nothing_of_this_name]"\n'
    assert capsys.readouterr().out == line
    for cell in ("import nothing_of_this_name", "class A:\n    x = 1\n\nA.y", "%pip install x"):
        assert shell.run_cell(cell).success
        assert capsys.readouterr().out == line


def test_without_deepinv_its_cells_and_tests_are_passed_over(root: Path) -> None:
    code = (
        "import importlib.util as util, sys, pytest\n"
        "find = util.find_spec\n"
        "util.find_spec = lambda name, *more: None if name == 'deepinv' else find(name, *more)\n"
        "sys.exit(pytest.main(sys.argv[1:]))"
    )
    blur = f"{__file__}::{test_our_blur_is_theirs_with_the_kernel_flipped.__name__}"
    arguments = ["-q", "-p", "no:cacheprovider", str(PAGE), blur]
    result = subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=root, capture_output=True, encoding="utf-8"
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert "deepinv is not installed" in result.stdout
    assert " passed" not in result.stdout and " skipped" in result.stdout
