"""What every test run shares: cells and tests wait for the features or the package they need."""

from __future__ import annotations

import os
from importlib.util import find_spec

import pytest

MISSING_DEEPINV = 'deepinv is not installed: python -m pip install -e ".[deepinv]"'


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes(specs: list[object]) -> None:
    """Share the cores out: threads of several workers that wait for one core cost it all."""
    share = max(1, (os.cpu_count() or 1) // len(specs))
    os.environ.setdefault("OMP_NUM_THREADS", str(share))  # of workers and what they start


def pytest_configure(config: pytest.Config) -> None:
    """Register the markers."""
    # Unit tests are marked where notebooks have the tags needs-features and needs-deepinv.
    config.addinivalue_line("markers", "needs_features: needs the pretrained AlexNet features")
    config.addinivalue_line("markers", "needs_deepinv: needs the package deepinv")
    config.addinivalue_line(
        "markers", "slow: longer versions of the hostile tests; run with -m slow"
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is slow unless -m asks; skip, and say why, what lacks its needs."""
    if not config.getoption("markexpr"):
        slow = [item for item in items if item.get_closest_marker("slow")]
        config.hook.pytest_deselected(items=slow)
        items[:] = [item for item in items if item not in slow]
    if find_spec("deepinv") is None:
        _skip(items, "deepinv", MISSING_DEEPINV)
    if any(_needs(item, "features") for item in items):
        from ippy.quality.features import MISSING_FEATURES, features_available

        if not features_available():
            _skip(items, "features", MISSING_FEATURES)


def _skip(items: list[pytest.Item], what: str, reason: str) -> None:
    for item in items:
        if _needs(item, what):
            item.add_marker(pytest.mark.skip(reason=reason))


def _needs(item: pytest.Item, what: str) -> bool:
    cell = getattr(item, "cell", None)  # nbval's items carry the notebook's cell
    tagged = cell is not None and f"needs-{what}" in cell.metadata.get("tags", [])
    return tagged or item.get_closest_marker(f"needs_{what}") is not None
