"""Times a training step's gradient and an image, in float32 and in bfloat16, either way in memory.

Which is faster decides :mod:`ippy.base.device`; the optimiser's part is float32 in any case.
"""

import sys
from functools import partial

import torch
from timing import report, seconds
from torch import Tensor, nn

from ippy.base.device import get_device, has_fast_bf16, memory_format
from ippy.models import LABELS, build

SIDE = 128  # pixels of a crop
ORDERS = {"channels first": torch.contiguous_format, "channels last": torch.channels_last}
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def image(model: nn.Module, x: Tensor, dtype: torch.dtype) -> Tensor:
    """Return what a model makes of a batch."""
    with torch.autocast(x.device.type, dtype, enabled=dtype != torch.float32):
        return model(x)


def gradient(model: nn.Module, x: Tensor, dtype: torch.dtype) -> None:
    """Find the gradient of a loss by each of the weights."""
    model.zero_grad()
    image(model, x, dtype).float().square().mean().backward()


def main(names: list[str]) -> None:
    """Print the times of a matrix product, and each model's."""
    device = get_device()
    chosen = "bfloat16" if has_fast_bf16(device) else "float32"
    print(f"{device.type}, {torch.get_num_threads()} threads")
    print(f"the course takes {chosen} and {memory_format(device)}")
    squares = {name: torch.rand(1024, 1024, device=device, dtype=d) for name, d in DTYPES.items()}
    print("\na product of matrices of 1024 x 1024")
    report(seconds({name: partial(torch.matmul, a, a) for name, a in squares.items()}))
    for name in names or list(LABELS):
        gradients, images = {}, {}
        for way, order in ORDERS.items():
            model = build(name, seed=0).to(device, memory_format=order)
            x = torch.rand(1, 1, SIDE, SIDE, device=device).to(memory_format=order)
            for precision, dtype in DTYPES.items():
                gradients[f"{precision}, {way}"] = partial(gradient, model, x, dtype)
                images[f"{precision}, {way}"] = partial(torch.no_grad()(image), model, x, dtype)
        print(f"\n{LABELS[name]}: the gradient of a step, {SIDE} pixels a side")
        report(seconds(gradients, rounds=3, calls=3))
        print(f"{LABELS[name]}: an image")
        report(seconds(images, rounds=3, calls=3))


if __name__ == "__main__":
    main(sys.argv[1:])
