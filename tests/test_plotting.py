"""The shared figures draw what they were given, and the course finds its own folder."""

import io
from unittest.mock import MagicMock

import numpy as np
import pandas as pd
import pytest
import torch
from IPython.core.formatters import DisplayFormatter
from matplotlib import pyplot as plt
from matplotlib.colors import to_hex
from PIL import Image

from ippy import course_root
from ippy.chapter.axes import draw_image, frame, set_number_ticks
from ippy.chapter.plotting import plot_curves, plot_intervals, show_errors, show_maps, show_slices
from ippy.chapter.style import COLOURS, DPI, figure_png, use_course_style

pytestmark = pytest.mark.usefixtures("course_style")


def drawn(figure):
    """The arrays of all images in a figure."""
    return [image.get_array() for axis in figure.axes for image in axis.images]


def test_slices_are_drawn_on_one_scale_with_titles_and_notes():
    x = torch.rand(1, 1, 20, 20, generator=torch.Generator().manual_seed(0))
    panels = {"truth": x, "half": 0.5 * x, "zero": 0 * x}
    figure = show_slices(panels, columns=2, notes={"half": "6.0 dB"})
    assert [axis.get_title() for axis in figure.axes if axis.images] == list(panels)
    assert {image.get_clim() for axis in figure.axes for image in axis.images} == {(0, 1)}
    assert any(text.get_text() == "6.0 dB" for axis in figure.axes for text in axis.texts)


def test_zoom_shows_the_marked_square():
    x = torch.rand(20, 30, generator=torch.Generator().manual_seed(0))
    whole, part = drawn(show_slices({"truth": x}, zoom=(4, 7, 5)))
    assert whole.shape == (20, 30)
    assert (part == x[4:9, 7:12].numpy()).all()


def test_errors_are_absolute_and_share_a_scale():
    x = torch.full((8, 8), 0.5)
    figure = show_errors({"low": x - 0.2, "high": x + 0.1}, x)
    low, high = drawn(figure)[:2]
    assert low.max() == pytest.approx(0.2) and high.min() == pytest.approx(0.1)
    assert figure.axes[0].images[0].get_clim() == figure.axes[1].images[0].get_clim()


def test_curves_take_values_or_pairs():
    figure = plot_curves(
        {"a": [3.0, 2.0], "b": ([10, 20], [1.0, 0.5])}, xlabel="step", ylabel="loss", log=True
    )
    (axis,) = figure.axes
    assert axis.get_yscale() == "log"
    assert [list(line.get_xdata()) for line in axis.lines] == [[1, 2], [10, 20]]


def test_maps_are_in_colour_beside_slices_in_grey():
    x = torch.rand(8, 8, generator=torch.Generator().manual_seed(0))
    figure = show_maps({"a": x, "b": 2 * x}, label="share", slices={"x": x}, vmin=0, vmax=2)
    *panels, bar = [axis for axis in figure.axes if axis.images or axis.get_ylabel()]
    assert [axis.get_title() for axis in panels] == ["x", "a", "b"]
    assert [axis.images[0].get_clim() for axis in panels] == [(0, 1), (0, 2), (0, 2)]
    assert panels[0].images[0].get_cmap().name == "gray" and bar.get_ylabel() == "share"
    assert len(show_maps({"a": x}, cmap="magma").axes) == 1, "no label, no colour bar"


def test_axes_without_a_panel_stay_empty():
    x = torch.rand(8, 8, generator=torch.Generator().manual_seed(0))
    figure = show_slices({str(i): x for i in range(5)}, columns=3, zoom=(0, 0, 4))
    used = [axis for axis in figure.axes if axis.images]
    assert len(used) == 10 and len(figure.axes) == 12
    assert not any(axis.axison for axis in figure.axes if axis not in used)
    assert all(axis.axison for axis in used)


def test_a_frame_surrounds_whole_pixels():
    _, axis = plt.subplots()
    draw_image(axis, torch.zeros(20, 20))
    frame(axis, 3, 5, 2, 4)
    frame(axis, 3, 5, 2)
    wide, square = (patch.get_bbox().bounds for patch in axis.patches)
    assert wide == (4.5, 2.5, 4, 2) and square == (4.5, 2.5, 2, 2)


def test_an_image_has_no_ticks_and_a_note_below():
    figure, axis = plt.subplots()
    drawn = draw_image(axis, torch.rand(1, 1, 8, 8), "a", "30 dB", cmap="magma", vmax=0.5)
    assert (axis.get_title(), drawn.get_clim(), drawn.get_cmap().name) == ("a", (0, 0.5), "magma")
    assert not [*axis.get_xticks(), *axis.get_yticks()]
    figure.canvas.draw()
    (note,) = axis.texts
    assert note.get_text() == "30 dB"
    assert note.get_window_extent().y1 <= axis.get_window_extent().y0


def test_number_ticks_are_plain_on_a_logarithmic_axis():
    _, axis = plt.subplots()
    axis.semilogx([1, 100], [0, 1])
    set_number_ticks(axis.xaxis, [1, 20, 100])
    assert [label.get_text() for label in axis.get_xticklabels()] == ["1", "20", "100"]
    assert not len(axis.get_xticks(minor=True))


def test_curves_have_styles_levels_and_a_legend():
    curves = {"a": [3.0, 2.0], "b": [1.0, 0.5]}
    look = {"styles": {"b": {"marker": "s", "label": "second"}}, "levels": {"floor": 0.1}}
    figure = plot_curves(curves, xlabel="step", ylabel="loss", xlog=True, **look)
    (axis,) = figure.axes
    assert [line.get_marker() for line in axis.lines[:2]] == ["None", "s"]
    assert {*axis.lines[2].get_ydata()} == {0.1} and axis.get_xscale() == "log"
    assert [text.get_text() for text in axis.get_legend().texts] == ["a", "second", "floor"]
    (alone,) = plot_curves({"a": [1.0]}, xlabel="step", ylabel="loss").axes
    assert alone.get_legend() is None


def as_drawn(figure):
    """A figure's pixels and file size as matplotlib writes them."""
    file = io.BytesIO()
    figure.savefig(file, bbox_inches="tight")
    return np.asarray(Image.open(file).convert("RGB")).astype(int), file.tell()


def test_intervals_run_from_low_to_high_and_are_grey_around_zero():
    table = pd.DataFrame(
        {"mean": [1.0, 0.1], "low": [0.5, -0.2], "high": [1.4, 0.3]}, index=["A", "B"]
    )
    _, axis = plt.subplots()
    plot_intervals(table, xlabel="dB", ax=axis)
    (bars,) = axis.collections
    assert [segment[:, 0].tolist() for segment in bars.get_segments()] == [[0.5, 1.4], [-0.2, 0.3]]
    assert [to_hex(colour) for colour in bars.get_colors()] == [COLOURS[0].lower(), "#6b6b6b"]
    assert axis.lines[0].get_xdata().tolist() == [1.0, 0.1]
    assert [label.get_text() for label in axis.get_yticklabels()] == ["A", "B"]
    assert axis.yaxis.get_inverted()  # the first row is on top


@pytest.mark.parametrize(("zoom", "mode"), [(None, "L"), ((4, 7, 5), "P")])
def test_stored_slices_are_small_and_true(zoom, mode):
    x = torch.rand(64, 64, generator=torch.Generator().manual_seed(0))
    figure = show_slices({"noise": x}, zoom=zoom)
    figure.set_layout_engine("none")  # drawn twice, it must not move
    pixels, size = as_drawn(figure)
    stored = Image.open(io.BytesIO(figure_png(figure)))
    assert stored.mode == mode and stored.info["dpi"] == pytest.approx((DPI, DPI), abs=0.1)
    change = np.abs(np.asarray(stored.convert("RGB")).astype(int) - pixels)
    grey = np.ptp(pixels, axis=-1) == 0
    assert change[grey].max() <= 2 and change.mean() < 1
    assert len(figure_png(figure)) < 0.8 * size


def test_notebooks_store_figures_through_it(monkeypatch):
    shell = MagicMock(display_formatter=DisplayFormatter())
    monkeypatch.setattr("IPython.get_ipython", lambda: shell)
    use_course_style()
    figure = plot_curves({"a": [3.0, 2.0]}, xlabel="step", ylabel="loss")
    png = shell.display_formatter.formatters["image/png"](figure)
    assert Image.open(io.BytesIO(png)).mode == "P"


def test_the_course_is_found_or_the_error_says_how(tmp_path, monkeypatch):
    assert (course_root() / "_toc.yml").is_file()
    monkeypatch.setenv("IPPY_COURSE", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="IPPY_COURSE"):
        course_root()
