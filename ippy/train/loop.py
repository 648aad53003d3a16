"""Training in one sitting: a step, the validation, the history, and ``fit``, the loop around them.

Left out, because they are not the idea: how pairs are made (:mod:`ippy.train.pairs`), the
optimisers (:mod:`ippy.train.muon`), what is saved and when (:mod:`ippy.train.supervisor`), and the
engine, which knows the device, the precision and other processes (:mod:`ippy.train.distributed`).
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset
from tqdm import tqdm

from ippy.base.defaults import seed_globally, torch_defaults
from ippy.base.device import memory_format
from ippy.models.base import unwrap
from ippy.operators import LinearOperator
from ippy.problems import InverseProblem
from ippy.quality import psnr
from ippy.quality.inference import arguments, takes_operator
from ippy.train.arguments import check_arguments
from ippy.train.distributed import accelerator, own_share, runs_on, unshared
from ippy.train.muon import make_optimizers
from ippy.train.pairs import TrainingPairs
from ippy.train.recipe import LOSSES, Recipe, settings
from ippy.train.run import Clock, History
from ippy.train.supervisor import Supervisor

if TYPE_CHECKING:
    from accelerate import Accelerator

HISTORY_POINTS = 100  # a history holds mean losses of equal blocks of steps: 100 to 199 of them
BLOCKS_PER_VALIDATION = 5


class Objective(nn.Module):
    """The loss of one batch. The engine wraps this module, so the model itself stays as it was."""

    def __init__(self, model: nn.Module, loss: nn.Module) -> None:
        super().__init__()
        self.model, self.loss = model, loss
        inner = unwrap(model)
        self.knows_positions = (
            hasattr(inner, "patch_size") and "origin" in inspect.signature(inner.forward).parameters
        )
        self.takes_operator = takes_operator(model)
        self.dtype = next(weight.dtype for weight in model.parameters())

    def forward(
        self,
        x: Tensor,
        images: Tensor,
        origin: Tensor | None,
        y: Tensor,
        operator: LinearOperator,
    ) -> Tensor:
        """Return the loss of a :class:`~ippy.train.pairs.Batch`."""
        where = {"origin": origin} if self.knows_positions and origin is not None else {}
        beside = (y.to(self.dtype), operator) if self.takes_operator else ()
        x_hat = self.model(images.to(self.dtype), *beside, **where)
        if x_hat.shape != x.shape:  # a loss may broadcast
            raise ValueError(
                f"the model returns {tuple(x_hat.shape)} for images of {tuple(images.shape)}; "
                f"expected {tuple(x.shape)}, one channel"
            )
        return self.loss(x_hat.float(), x)


class Run:
    """A model, its optimisers, and how far they are; the arguments are those of :func:`fit`.

    Attributes:
        settings: The recipe's fields, and in place of its loss the one that is used.
        done: Number of steps taken, by this run and by the one that it goes on with.
        losses: The loss of each step, (steps,), on the device: reading it waits for the device.
        validations: Step, seconds and mean PSNR (dB) of each validation.
        clock: Times the steps, without the validations.
        moving: Whether some weights have taken a step that others have not.
    """

    def __init__(
        self,
        engine: Accelerator,
        model: nn.Module,
        dataset: Dataset[Tensor],
        problem: InverseProblem,
        recipe: Recipe,
        loss: nn.Module | None,
        validation: Tensor | None,
    ) -> None:
        self.engine, self.model, self.recipe = engine, unwrap(model), recipe
        self.dataset, self.problem = dataset, problem
        # A part that stays in evaluation mode, such as a frozen batch norm, was put there.
        modules = self.model.modules() if self.model.training else ()
        self.frozen = [module for module in modules if not module.training]
        self.model.to(engine.device, memory_format=memory_format(engine.device))
        self._training_mode()
        self.weights = [weight for weight in self.model.parameters() if weight.requires_grad]
        for weight in self.weights:
            weight.grad = None  # that of the caller
        self.optimizers = make_optimizers(self.weights, recipe)
        self.settings = settings(recipe, loss)
        loss = LOSSES[recipe.loss]() if loss is None else deepcopy(loss)  # the caller's stays put
        loss.to(engine.device)
        self.objective = engine.prepare(Objective(unshared(model), loss))
        grid, device = getattr(self.model, "patch_size", 1), engine.device
        self.pairs = TrainingPairs(
            dataset, problem, crop=recipe.crop, seed=recipe.seed, grid=grid, device=device
        )
        cropped = 1 if recipe.crop is None else recipe.crop**2 / math.prod(self.pairs.shape)
        self.images_per_step = recipe.batch_size * cropped
        self.steps_per_block = max(1, recipe.steps // HISTORY_POINTS)
        self.validation = None
        if validation is not None:
            x, noise = validation.float().cpu(), torch.Generator().manual_seed(recipe.seed)
            y = problem.measure(x, noise)
            self.validation = x, problem.network_input(y), y
        self.done, self.losses = 0, torch.zeros(recipe.steps, device=device)
        self.validations: list[tuple[int, float, float]] = []
        self.moving = False
        self.clock = Clock()

    @property
    def ends_block(self) -> bool:
        """Whether the last step was the last of a block of the history."""
        return self.done % self.steps_per_block == 0 or self.done == self.recipe.steps

    def step(self) -> None:
        """Take one step: pairs, loss, gradient, clipping, the optimisers' moves."""
        first, count = self.done * self.recipe.batch_size, self.recipe.batch_size
        numbers = own_share(self.engine, range(first, first + count))
        batch = self.pairs.batch(numbers)
        seed_globally(self.pairs.model_seed(numbers[0]), self.engine.device)
        loss = self.objective(*batch)
        self.engine.backward(loss)
        self.engine.clip_grad_norm_(self.weights, self.recipe.clip)
        self.moving = True
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = optimizer.defaults["lr"] * self.recipe.rate(self.done)
            optimizer.step()
            optimizer.zero_grad()
        self.losses[self.done] = self.engine.reduce(loss.detach(), "mean")
        self.done += 1
        self.moving = False

    @torch.no_grad()
    def validate_if_due(self) -> None:
        """Score the validation slices, one by one, after every fifth block and the last step."""
        due = self.done % (BLOCKS_PER_VALIDATION * self.steps_per_block) == 0
        if self.validation is None or not (due or self.done == self.recipe.steps):
            return
        if self.validations and self.validations[-1][0] == self.done:
            return  # a run that goes on
        device, dtype = self.engine.device, self.weights[0].dtype
        self.model.eval()
        scores = []
        with self.clock.stopped():
            for x, images, y in zip(*(part.split(1) for part in self.validation), strict=True):
                images, y = images.to(device, dtype), y.to(device, dtype)
                given = arguments(self.model, images, y, self.problem.known_operator)
                x_hat = self.model(*given).float().clamp(0, 1)
                scores.append(psnr(x_hat, x.to(device)))
        self._training_mode()
        mean = torch.cat(scores).mean().item()
        self.validations.append((self.done, round(self.clock.seconds, 1), round(mean, 3)))

    def _training_mode(self) -> None:
        self.model.train()
        for module in self.frozen:
            module.training = False

    def pace(self) -> str:
        """Return the loss of the last block and the speed, for the progress bar."""
        loss = self.losses[: self.done][-self.steps_per_block :].mean().item()
        speed = self.done * self.images_per_step / self.clock.seconds
        return f"loss {loss:.2e}, {speed:.1f} images/s"

    def history(self) -> History:
        """Return what was done, all steps taken."""
        every, steps = self.steps_per_block, self.recipe.steps
        return History(
            step=[*range(every, steps, every), steps],
            loss=[block.mean().item() for block in self.losses.cpu().split(every)],
            **self.clock.read(),
            images_per_second=round(steps * self.images_per_step / self.clock.seconds, 2),
            device=runs_on(self.engine),
            validation=list(self.validations),
        )


def fit(
    model: nn.Module,
    dataset: Dataset[Tensor],
    problem: InverseProblem,
    recipe: Recipe,
    *,
    loss: nn.Module | None = None,
    device: torch.device | str | None = None,
    validation: Tensor | None = None,
    save_to: str | Path | None = None,
    resume: bool = False,
    record: Callable[[History], Mapping[str, Any]] | None = None,
    progress: bool = True,
) -> History:
    """Train a model, in place, to undo ``problem`` on the slices of ``dataset``.

    A slice is flipped at random, measured whole, and cropped afterwards if the recipe says so. The
    model gets the images that ``problem.network_input`` makes of the measurement; where the problem
    is a family, each pair draws a member. A model that knows positions (``patch_size``) gets crops
    on its patch grid, and their places on it; one that ``takes_operator`` gets the measurement and
    the operator, which leaves out the border of crops.

    Of the caller's things the model alone is changed: its buffers, and the weights that require a
    gradient; it ends on ``device``, in the memory order that is fastest there, in evaluation mode,
    without gradients. A part that was alone in evaluation mode, such as a frozen batch norm, is in
    it throughout. PyTorch's settings (gradient mode, default type and device, autocast) make no
    difference and stay, as do the global random numbers. What a model draws, as dropout does,
    follows from the recipe's seed and the step. A model in ``torch.compile`` is trained compiled;
    ``DataParallel`` and its kin are passed over. All are saved under the model's own names.

    With ``save_to``, the state of the run is kept beside it, in ``UNet.run.pth`` for ``UNet.pth``:
    once a minute, on Ctrl-C, and when something fails. It goes when the run is finished and the
    checkpoint written. Started by ``torchrun`` or ``accelerate launch``, the processes share each
    batch, and the first one writes.

    Args:
        model: Maps (B, C, H, W) to (B, 1, H, W), where C is 1 for most problems; its weights are
            float32 or float64.
        dataset: Slices (1, H, W) in [0, 1], all of one shape; they are taken as float32.
        problem: Makes the measurements.
        recipe: Steps, batch, crop, optimiser and seed.
        loss: Maps (x_hat, x) to the number to be made small, such as
            :class:`~ippy.quality.SSIMLoss`; the recipe's own if None. Its weights, if it has any,
            stay as they are.
        device: Where to train; the best there is if None.
        validation: Slices (N, 1, H, W) in [0, 1] that are not trained on, to follow the progress
            with; nothing depends on their scores, and the clock stands still meanwhile.
        save_to: Checkpoint to write once the run is finished; an older one is kept until then.
        resume: Go on with the run whose state lies beside ``save_to``, if there is one; it ends as
            if it had never been stopped. Without it the run begins anew, and replaces such a state.
        record: Called when the steps are done, by the process that writes: what else the manifest
            should hold.
        progress: Show a bar with the loss and the speed.

    Returns:
        The history of the run, of all its parts if it was stopped.

    Raises:
        ValueError: An argument can't be used, or not with the others; the state belongs to another
            run or is damaged; or a slice turns out to be bad, and the state is saved (of several
            processes, where the first one met it).
        Diverged: The loss or a weight is no longer finite; a FloatingPointError.
        KeyboardInterrupt: After Ctrl-C or SIGTERM, once the state is saved.
        OSError: A file can't be written, such as on a full disk.
    """
    engine = accelerator(device)
    with torch_defaults(engine.device):
        check_arguments(
            engine, model, dataset, problem, recipe, loss, validation, save_to, resume, record
        )
        run = Run(engine, model, dataset, problem, recipe, loss, validation)
        supervisor = Supervisor(run, save_to, resume=resume)
        steps = tqdm(
            range(run.done, recipe.steps), initial=run.done, total=recipe.steps, unit="step",
            disable=not (progress and engine.is_main_process),
        )  # fmt: skip
        with supervisor.watching(), steps:
            if run.done:
                run.validate_if_due()  # something failed in that validation, and was mended
            for _ in steps:
                run.step()
                run.validate_if_due()
                supervisor.after_step()
                if run.ends_block:
                    steps.set_postfix_str(run.pace())
        model.eval()
        history = run.history()
        supervisor.finish(history, record)
    return history
