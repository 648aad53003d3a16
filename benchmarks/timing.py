"""Times several ways of doing one thing in turn, so that a machine's moods hit all of them."""

import statistics
import time
from collections.abc import Callable, Mapping


def seconds(
    ways: Mapping[str, Callable[[], object]], *, rounds: int = 9, calls: int = 5
) -> dict[str, float]:
    """Return each way's median seconds a call; a round warms up, then takes ``calls``."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            way()
            start = time.perf_counter()
            for _ in range(calls):
                way()
            times[name].append((time.perf_counter() - start) / calls)
    return {name: statistics.median(values) for name, values in times.items()}


def report(times: Mapping[str, float]) -> None:
    """Print milliseconds, and how many times slower than the first way each other is."""
    (_, first), *_ = times.items()
    for name, value in times.items():
        print(f"{name:40s} {1e3 * value:9.2f} ms   {value / first:6.1f} x")
