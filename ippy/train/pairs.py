"""Training pairs made on the fly: pair number p is a function of the seed and of p alone.

Nothing has to be remembered to go on after step t, and any number of processes see the same pairs:
each makes those of its own share of the batch.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from ippy.base.checks import check_indexed
from ippy.base.device import memory_format
from ippy.base.images import check_same_shape, check_slice
from ippy.operators import Each, Interior, LinearOperator
from ippy.problems import InverseProblem

ORDER, PAIR, MODEL = 0, 1, 2  # families of random streams that never meet
PLACES = 3  # random places that a crop is chosen from


class Batch(NamedTuple):
    """A batch of training pairs.

    Attributes:
        x: Truth (B, 1, h, w).
        images: What a network gets of the measurements, (B, C, h, w).
        origin: Places of the crops on the grid, row and column, (B, 2), on the CPU; None for whole
            slices.
        y: Measurements, (B, 1, h, w), or in the operator's shape.
        operator: What relates x and y: K, without its border where they are crops.
    """

    x: Tensor
    images: Tensor
    origin: Tensor | None
    y: Tensor
    operator: LinearOperator


class TrainingPairs:
    """Truth and measurement of random crops, measured whole and cropped afterwards.

    A measurement is given as the images that a network gets of it
    (:meth:`InverseProblem.network_input`). Where the problem is a family, each pair draws a member.

    The slices are taken epoch by epoch, each epoch in an order of its own. A slice is flipped at
    random, measured, and cropped at the busiest of three random places, the one with the strongest
    gradients: air has little to teach.

    Args:
        dataset: Slices (1, H, W) in [0, 1], all of one size.
        problem: Makes the measurements.
        crop: Side of the crops, in pixels; None for whole slices.
        seed: Seed of the order, the flips, the places and the noise, 0 or more.
        grid: The places are multiples of this many pixels: a model's patch size, or 1.
        device: Where the measurements are made.

    Attributes:
        shape: Of every slice, (1, H, W).
    """

    def __init__(
        self,
        dataset: Dataset[Tensor],
        problem: InverseProblem,
        *,
        crop: int | None,
        seed: int,
        grid: int,
        device: torch.device,
    ) -> None:
        self._dataset, self._problem, self._device = dataset, problem, device
        self._crop, self._seed, self._grid = crop, seed, grid
        self.shape = tuple(dataset[0].shape)
        if crop is not None:
            self._room = [(side - crop) // grid + 1 for side in self.shape[-2:]]
        self._noise = torch.Generator(device)
        self._epoch, self._order = -1, np.empty(0, int)

    def batch(self, numbers: Iterable[int]) -> Batch:
        """Make the pairs with these numbers, the measurements and the operator among them.

        Raises:
            ValueError: A slice can't be read, has another shape than the first, or holds NaN or
                values that are off the scale.
        """
        slices, corners, noises, problems = [], [], [], []
        for number in numbers:
            rng = np.random.default_rng((self._seed, PAIR, number))
            flips = [
                axis for axis, flip in zip((1, 2), rng.integers(2, size=2), strict=True) if flip
            ]
            slices.append(self._slice(self._index(number)).flip(flips))
            if self._crop is not None:
                places = rng.integers(self._room, size=(PLACES, 2))
                corners.append(self._busiest(slices[-1][0], places))
            noises.append(int(rng.integers(2**63)))
            problems.append(self._problem.draw(rng))
        x = self._send(torch.stack(slices))  # (B, 1, H, W)
        # A generator reseeded for each image draws for it what it would draw in any other batch.
        measured = [
            problem.measure(image, self._noise.manual_seed(seed))
            for problem, image, seed in zip(problems, x.split(1), noises, strict=True)
        ]
        images = torch.cat(
            [problem.network_input(y) for problem, y in zip(problems, measured, strict=True)]
        )
        y, operators = torch.cat(measured), [problem.known_operator for problem in problems]
        if self._crop is None:
            order = memory_format(x.device)
            x, images = (part.contiguous(memory_format=order) for part in (x, images))
            return Batch(x, images, None, y, Each(operators))
        origin = torch.from_numpy(np.stack(corners))  # (B, 2)
        x, images, y = (cut(part, origin * self._grid, self._crop) for part in (x, images, y))
        return Batch(x, images, origin, y, Each([Interior(K) for K in operators]))

    def model_seed(self, number: int) -> int:
        """Return a seed for what the model draws when it sees a batch that begins with a pair."""
        return int(np.random.default_rng((self._seed, MODEL, number)).integers(2**63))

    def _busiest(self, x: Tensor, places: np.ndarray) -> np.ndarray:
        """Return the place (row, column) whose crop of x (H, W) has the strongest gradients."""
        squares = [
            x[row : row + self._crop, col : col + self._crop] for row, col in places * self._grid
        ]
        changes = [sum(square.diff(dim=k).square().sum() for k in (0, 1)) for square in squares]
        return places[int(torch.stack(changes).argmax())]

    def _slice(self, index: int) -> Tensor:
        x = self._dataset[index]
        check_slice(f"dataset[{index}]", x)
        check_same_shape(index, x, self.shape)
        return x.to("cpu", torch.float32)  # what the models take

    def _index(self, number: int) -> int:
        """Return which slice a pair is made of."""
        epoch, place = divmod(number, len(self._dataset))
        if epoch != self._epoch:
            rng = np.random.default_rng((self._seed, ORDER, epoch))
            self._epoch, self._order = epoch, rng.permutation(len(self._dataset))
        return int(self._order[place])

    def _send(self, x: Tensor) -> Tensor:
        """Copy to the device; from pinned memory a GPU takes it without being waited for.

        Other devices are waited for: they may read memory after it was freed.
        """
        if self._device.type == "cuda":
            return x.pin_memory().to(self._device, non_blocking=True)
        return x.to(self._device)


def check_dataset(dataset: Any, crop: int | None, grid: int) -> None:
    """Check that crops on a grid of so many pixels can be cut from a data set's first slice.

    Raises:
        ValueError: It is empty, its slices are no good, or the crops fit neither them nor the grid.
    """
    expected = "a data set of slices (1, H, W) with a length, e.g. MayoDataset(folder)"
    check_indexed("dataset", dataset, expected)
    if not len(dataset):
        raise ValueError("dataset is empty; `python -m ippy prepare` makes slices to train on")
    check_slice("dataset[0]", dataset[0], wait=True)
    shape = tuple(dataset[0].shape)
    if crop is None:
        return
    if min(shape[1:]) < crop:
        raise ValueError(
            f"crops of {crop} pixels don't fit slices of shape {shape}. Choose a smaller "
            "crop, or prepare other slices (`python -m ippy prepare`)."
        )
    if crop % grid:
        raise ValueError(
            f"crop is {crop}; expected a multiple of {grid} pixels, the model's patch_size"
        )


def check_task(problem: InverseProblem, shape: tuple[int, ...], crop: int | None) -> None:
    """Check that a problem measures slices of a shape, (1, H, W), and lets them be cropped.

    Raises:
        ValueError: It measures images of another size, or what it measures can't be cropped.
    """
    operator = problem.operator
    kind = type(operator).__name__
    if operator.in_shape not in (None, shape[1:]):
        raise ValueError(
            f"problem's {kind} measures images of {operator.in_shape} pixels, and the slices have "
            f"{shape[1:]}; make an operator for these"
        )
    if crop is not None and not operator.crops:
        raise ValueError(
            f"crop is {crop}, and a {kind} mixes what is far apart, so a crop of its measurement "
            "says nothing of most that it shows. Train on whole slices, Recipe(crop=None), or set "
            "the operator's `crops` to True if it mixes neighbours alone"
        )


def cut(x: Tensor, corner: Tensor, size: int) -> Tensor:
    """Cut one square out of each image.

    Args:
        x: Images (B, C, H, W).
        corner: Row and column of each square's first pixel, (B, 2).
        size: Side of the squares, in pixels.

    Returns:
        The squares, (B, C, size, size), in the memory format that the device trains fastest in.
    """
    squares = [
        image[:, row : row + size, col : col + size]
        for image, (row, col) in zip(x, corner.tolist(), strict=True)
    ]
    return torch.stack(squares).contiguous(memory_format=memory_format(x.device))
