"""What every test run shares: cells and tests that need pretrained features wait for them."""

from __future__ import annotations

import os

import pytest


def pytest_configure(config: pytest.Config) -> None:
    """Register the markers, and let the processes of ``pytest -n`` share the cores."""
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", 1))
    if workers > 1:  # before torch is imported; kernels and other programs inherit it
        os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // workers)))
    # Unit tests are marked where notebooks have the tag needs-features.
    config.addinivalue_line("markers", "needs_features: needs the pretrained AlexNet features")
    config.addinivalue_line(
        "markers", "slow: longer versions of the hostile tests; run with -m slow"
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is slow unless -m asks; skip, and say why, what needs missing features."""
    if not config.getoption("markexpr"):
        slow = [item for item in items if item.get_closest_marker("slow")]
        config.hook.pytest_deselected(items=slow)
        items[:] = [item for item in items if item not in slow]
    waiting = [item for item in items if _needs_features(item)]
    if not waiting:
        return
    from ippy.quality.features import MISSING_FEATURES, features_available

    if not features_available():
        for item in waiting:
            item.add_marker(pytest.mark.skip(reason=MISSING_FEATURES))


def _needs_features(item: pytest.Item) -> bool:
    cell = getattr(item, "cell", None)  # nbval's items carry the notebook's cell
    tagged = cell is not None and "needs-features" in cell.metadata.get("tags", [])
    return tagged or item.get_closest_marker("needs_features") is not None
