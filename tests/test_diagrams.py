"""The architecture diagrams: what is in them, and that nothing is cut off or covers something."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
import torch
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyArrowPatch, FancyBboxPatch
from matplotlib.transforms import Bbox

from ippy.chapter.diagrams import (
    show_convolutional_networks,
    show_unrolled_network,
    show_vision_transformer,
)
from ippy.chapter.diagrams.parts import Place, arrow, box, canvas, circle
from ippy.models import LABELS, NAMES, build
from ippy.models.vit import ViTReconstructor

pytestmark = pytest.mark.usefixtures("course_style")


def patches(axis: Axes, kind: type) -> list:
    return [patch for patch in axis.patches if isinstance(patch, kind)]


def words(axis: Axes) -> list[str]:
    return [text.get_text() for text in axis.texts if text.get_text()]


def on_paper(figure: Figure, artists: list) -> list[Bbox]:
    figure.canvas.draw()
    renderer = figure.canvas.get_renderer()
    return [artist.get_window_extent(renderer) for artist in artists]


def overlap(a: Bbox, b: Bbox) -> bool:
    """Whether two boxes share more than a pixel at their rims."""
    shared = Bbox.intersection(a, b)
    return shared is not None and min(shared.width, shared.height) > 1


def check_layout(figure: Figure, axis: Axes) -> None:
    """Demand that texts stay on the canvas and apart, and each layer's name within its box."""
    texts = [text for text in axis.texts if text.get_text()]
    extents = on_paper(figure, texts)
    (area,) = on_paper(figure, [axis])
    for text, extent in zip(texts, extents, strict=True):
        inside = area.padded(1).containsx(extent.x0) and area.padded(1).containsx(extent.x1)
        assert inside and extent.y0 >= area.y0 - 1 and extent.y1 <= area.y1 + 1, text.get_text()
    for (a, first), (b, second) in combinations(zip(texts, extents, strict=True), 2):
        assert not overlap(first, second), f"{a.get_text()!r} covers {b.get_text()!r}"
    layers = [p for p in patches(axis, FancyBboxPatch) if p.get_zorder() > 2]
    boxes = on_paper(figure, layers)
    for first, second in combinations(boxes, 2):
        assert not overlap(first, second)
    for layer in boxes:
        names = [e for e in extents if overlap(e, layer)]
        assert len(names) == 1
        assert layer.padded(1).count_contains([names[0].min, names[0].max]) == 2


def test_places_know_their_sides() -> None:
    place = Place(2, 3, 4, 6)
    assert (place.left, place.right) == ((0, 3), (4, 3))
    assert (place.bottom, place.top) == ((2, 0), (2, 6))
    assert place.at(-1, 1) == (0, 6)


def test_a_box_is_where_it_says_and_an_arrow_ends_at_its_side() -> None:
    _, axis = plt.subplots()
    canvas(axis, x=(0, 10), y=(0, 4))
    first, second = (
        box(axis, Place(2, 2, 2, 1), "a", "#0072B2"),
        circle(axis, (8, 2), "+", radius=1),
    )
    arrow(axis, first.right, second.left)
    (drawn,), (head,) = patches(axis, FancyBboxPatch), patches(axis, FancyArrowPatch)
    assert drawn.get_path().get_extents(drawn.get_patch_transform()).bounds == pytest.approx(
        (1, 1.5, 2, 1)
    )
    assert head._posA_posB == [(3, 2), (7, 2)]
    assert words(axis) == ["a", "+"]


def test_an_arrow_goes_round_corners() -> None:
    _, axis = plt.subplots()
    arrow(axis, (0, 0), (0, 5), (3, 5), (3, 1))
    (line,), (head,) = axis.lines, patches(axis, FancyArrowPatch)
    assert [*zip(*line.get_data(), strict=True)] == [(0, 0), (0, 5), (3, 5)]
    assert head._posA_posB == [(3, 5), (3, 1)]


@pytest.fixture
def networks() -> Figure:
    return show_convolutional_networks()


def test_each_convolutional_network_has_its_axes(networks: Figure) -> None:
    assert [axis.get_title() for axis in networks.axes] == [LABELS[name] for name in NAMES[:6]]


@pytest.mark.parametrize(("number", "name"), [*enumerate(NAMES[:6])])
def test_channels_are_those_of_the_model(networks: Figure, number: int, name: str) -> None:
    axis = networks.axes[number]
    drawn = {int(word) for word in words(axis) if word.isdecimal()}
    convolutions = [m for m in build(name).modules() if isinstance(m, torch.nn.Conv2d)]
    assert drawn <= {layer.out_channels for layer in convolutions}
    assert max(drawn) == max(layer.out_channels for layer in convolutions)
    check_layout(networks, axis)


def test_what_each_network_adds_is_drawn(networks: Figure) -> None:
    cnn, rescnn, unet, residual, attention, nested = networks.axes
    arrows = {axis: len(patches(axis, FancyArrowPatch)) for axis in networks.axes}
    assert arrows[rescnn] == arrows[cnn] + 2 and words(rescnn).count("+") == 1
    assert len(patches(unet, FancyBboxPatch)) == 7
    assert arrows[residual] == arrows[unet] + 7, "one shortcut for each box"
    assert words(attention).count("σ") == len(patches(attention, Circle)) == 3
    assert len(patches(nested, FancyBboxPatch)) == 6


@pytest.fixture
def vit() -> ViTReconstructor:
    torch.manual_seed(0)
    return ViTReconstructor(
        img_size=64, patch_size=8, embed_dim=32, depth=3, num_heads=2, mlp_dim=64
    )


def test_the_transformer_is_drawn_with_its_own_numbers(vit: ViTReconstructor) -> None:
    y = torch.rand(1, 1, 64, 64)
    (axis,) = show_vision_transformer(vit, y).axes
    said = words(axis)
    assert said.count("1 × 64 × 64") == 2
    for text in (
        "Transformer block, 3 times", "attention,\n2 heads", "N × P²\n64 × 64", "N × d\n64 × 32",
        "d × H/P × W/P\n32 × 8 × 8", "transp. conv 8×8",
    ):  # fmt: skip
        assert text in said
    assert said.count("LayerNorm") == 2
    assert said.count("$E$") == 4, "one embedding for all patches"


def test_the_transformer_shows_images_of_the_model(vit: ViTReconstructor) -> None:
    y = torch.rand(1, 1, 64, 64)
    (axis,) = show_vision_transformer(vit, y).axes
    large = [image.get_array() for image in axis.images if image.get_array().shape == (64, 64)]
    with torch.inference_mode():
        assert (large[0] == y[0, 0].numpy()).all()
        assert np.allclose(large[1], vit(y)[0, 0], atol=1e-6)
    assert len(axis.images) == 2 + 4 * 3 + 5, "two slices; patch, token, position; entries"


def test_nothing_in_the_transformer_is_cut_off_or_covered() -> None:
    figure = show_vision_transformer(build("ViT", seed=0), torch.rand(1, 1, 256, 256))
    check_layout(figure, figure.axes[0])


def test_the_unrolled_network_is_shown_the_operator_in_each_step() -> None:
    figure = show_unrolled_network()
    (axis,) = figure.axes
    check_layout(figure, axis)
    pairs = [word for word in words(axis) if word.startswith(("data", "network"))]
    assert pairs == [f"{kind}{k}" for k in range(1, 5) for kind in ("data\nstep ", "network\n")]
    arrows = patches(axis, FancyArrowPatch)
    assert len(arrows) == 9 + 4 + 4  # along the row, from the data, from the other images
