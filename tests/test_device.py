"""The device to compute on, and its arithmetic."""

import pytest
import torch

from ippy import get_device
from ippy.base.device import autocast, has_fast_bf16, memory_format

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("name", "units", "fast"),
    [
        ("Intel Xeon", [], False),
        ("Intel Xeon", ["avx512_bf16"], False),
        ("Intel Xeon", ["avx512_bf16", "amx_bf16"], True),
        ("AMD EPYC", ["avx512_bf16"], True),
        ("Neoverse V1", ["bf16"], True),
        (None, ["avx512_bf16"], True),
        (None, [], False),
    ],
)
def test_a_cpu_computes_in_bfloat16_where_that_is_faster(name, units, fast, monkeypatch):
    can = dict.fromkeys(units, True) | ({} if name is None else {"cpu_name": name})
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: can | {"avx2": True})
    assert has_fast_bf16(CPU) == fast
    # An Intel CPU with units for bfloat16 has its batches as one that uses them.
    expected = torch.channels_last if units else torch.contiguous_format
    assert memory_format(CPU) == expected


@pytest.mark.parametrize(("fast", "dtype"), [(True, torch.bfloat16), (False, torch.float32)])
def test_autocast_gives_bfloat16_where_that_is_fast(fast, dtype, monkeypatch):
    monkeypatch.setattr("ippy.base.device.has_fast_bf16", lambda device: fast)
    device = get_device()
    layer, x = torch.nn.Linear(4, 4).to(device), torch.ones(1, 4, device=device)
    with autocast(device):
        assert layer(x).dtype == dtype
    assert layer(x).dtype == torch.float32
