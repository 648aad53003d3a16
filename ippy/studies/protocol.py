"""What short runs share: the slices that they see, so that studies can be compared."""

from __future__ import annotations

from torch.utils.data import Subset

from ippy.data import MayoDataset


def bodies(slices: MayoDataset) -> Subset:
    """Return the slices of generated bodies (``G..``): those of clutter alone are left out."""
    chosen = [i for i, path in enumerate(slices.paths) if path.parent.name.startswith("G")]
    return Subset(slices, chosen)
