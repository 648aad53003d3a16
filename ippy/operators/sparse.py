"""A sparse matrix whose product is a table of weighted sums, one a row."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from scipy.sparse import csr_array
from torch import Tensor
from torch.nn import functional as F


@dataclass(eq=False)
class SparseMatrix:
    """A matrix (M, N), row by row: which columns a row has, and with which weights.

    ``torch.sparse`` multiplies as fast, but has no derivatives under ``torch.func``, no programs
    and no half of the devices. A sum of weighted rows is ``embedding_bag``, which has them all.

    Attributes:
        offsets: Where each row begins in ``columns``, and where the last one ends, int32 (M + 1,).
        columns: Columns of the entries, int32 (entries,).
        weights: The entries, float32.
        width: Number of columns N.
    """

    offsets: Tensor
    columns: Tensor
    weights: Tensor
    width: int
    _copies: dict[torch.device, SparseMatrix] = field(default_factory=dict, repr=False)

    @classmethod
    def of_rows(cls, counts: Tensor, columns: Tensor, weights: Tensor, width: int) -> SparseMatrix:
        """Return the matrix whose rows have so many entries each, (M,), all listed in order."""
        offsets = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
        return cls(offsets.int(), columns.int(), weights.float(), width)

    def transposed(self) -> SparseMatrix:
        """Return the transpose, (N, M)."""
        arrays = (part.numpy() for part in (self.weights, self.columns, self.offsets))
        other = csr_array(tuple(arrays), shape=(len(self.offsets) - 1, self.width)).T.tocsr()
        parts = (torch.from_numpy(part) for part in (other.indptr, other.indices, other.data))
        return SparseMatrix(*parts, width=len(self.offsets) - 1)

    def on(self, device: torch.device) -> SparseMatrix:
        """Return this matrix on a device; a copy there is kept."""
        if device == self.weights.device:
            return self
        if device not in self._copies:
            tensors = (part.to(device) for part in (self.offsets, self.columns, self.weights))
            self._copies[device] = SparseMatrix(*tensors, self.width)
        return self._copies[device]

    def times(self, x: Tensor) -> Tensor:
        """Multiply a dense matrix, (N, C) -> (M, C), in the type of ``x``: float32 or float64."""
        if x.shape[1] == 0:  # with several threads embedding_bag fails on it
            return x.new_zeros(len(self.offsets) - 1, 0)
        here = self.on(x.device)
        return F.embedding_bag(
            here.columns,
            x,
            here.offsets,
            mode="sum",
            per_sample_weights=here.weights.to(x.dtype),
            include_last_offset=True,
        )
