"""What the chapters read of trainings: recipes, what they share, and how much was seen."""

from __future__ import annotations

from dataclasses import asdict

import pytest

from ippy.chapter.trainings import operations, recipes, shared_and_own, slices_seen
from ippy.train import Recipe


def test_an_old_record_gets_the_defaults_that_it_did_not_name() -> None:
    old = {key: value for key, value in asdict(Recipe()).items() if key != "optimizer"}
    table = recipes({"A": {"recipe": old}, "B": {"recipe": asdict(Recipe(optimizer="adamw"))}})
    assert table["optimizer"].to_dict() == {"A": "muon", "B": "adamw"}


def test_what_is_shared_and_what_is_not() -> None:
    entries = {"A": Recipe(steps=10, lr=0.1), "B": Recipe(steps=20, lr=0.1, crop=None)}
    table = recipes({name: {"recipe": asdict(recipe)} for name, recipe in entries.items()})
    shared, own = shared_and_own(table)
    assert own.to_dict("index") == {
        "A": {"steps": 10, "crop": 128},
        "B": {"steps": 20, "crop": None},
    }
    assert shared["lr"] == 0.1
    assert {*shared.index, *own.columns} == {*asdict(Recipe())}


@pytest.mark.parametrize(
    ("recipe", "step", "slices"),
    [
        (Recipe(steps=100, batch_size=4, crop=128), None, 100),
        (Recipe(steps=100, batch_size=4, crop=128), 50, 50),
        (Recipe(steps=100, batch_size=4, crop=None), None, 400),
    ],
)
def test_a_crop_of_half_the_side_is_a_quarter_of_a_slice(
    recipe: Recipe, step: int | None, slices: float
) -> None:
    assert slices_seen(asdict(recipe), step) == slices


def test_operations_of_three_convolutions_counted_by_hand() -> None:
    recipe = asdict(Recipe(steps=10, batch_size=3, crop=64))
    weights = 9 * 1 * 32 + 9 * 32 * 32 + 9 * 32 * 1
    forward = 2 * 64**2 * weights  # each weight is multiplied, and added, at every pixel
    # Backward: the gradient of each weight, and of what each layer got, but for the image.
    backward = 2 * forward - 2 * 64**2 * 9 * 32
    assert operations("CNN", recipe) == pytest.approx(10 * 3 * (forward + backward) / 1e12)
    assert operations("CNN", recipe, steps=5) == pytest.approx(operations("CNN", recipe) / 2)
