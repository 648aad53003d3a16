"""A training run of a fraction of a second, in float32, for tests that stop it or share it out.

Started as a program it trains to the target that its first argument names, and goes on from the
state beside it, which it saves after each step: ``python tests/runs/tiny.py TARGET``.
"""

import os
import sys
import threading

import torch
from torch import nn
from tqdm import tqdm

from ippy.operators import Blurring
from ippy.problems import InverseProblem
from ippy.train import Recipe, fit, supervisor

os.environ["ACCELERATE_MIXED_PRECISION"] = "no"
RECIPE = Recipe(steps=60, batch_size=4, crop=16, lr=3e-3)


def parts():
    """Return a fresh model, the slices, the problem and the recipe."""
    random = torch.Generator().manual_seed(0)
    slices = torch.rand(12, 1, 24, 32, generator=random)
    model = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(8, 1, 3, padding=1),
    )
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(0.1 * torch.randn(parameter.shape, generator=random))
    problem = InverseProblem(Blurring(kernel_type="motion", kernel_size=5, motion_angle=0), 0.01)
    return model, slices, problem, RECIPE


def train(target, **options):
    """Train, or go on, and return the model and the history."""
    model, *rest = parts()
    history = fit(
        model,
        *rest,
        device=torch.device("cpu"),
        validation=rest[0][:2],
        save_to=target,
        progress=False,
        **options,
    )
    return model, history


if __name__ == "__main__":
    torch.set_num_threads(1)
    tqdm.set_lock(threading.RLock())  # its own leaves a semaphore behind where a process is killed
    supervisor.SAVE_EVERY = 0.0
    train(globals().get("TARGET") or sys.argv[1], resume=True)
