"""What several tests share: the built book, and a browser that reads it without a network."""

from __future__ import annotations

import functools
import http.server
import os
import runpy
import shutil
import signal
import subprocess
import sys
import sysconfig
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from filelock import FileLock
from matplotlib import pyplot as plt
from PIL import Image
from playwright.sync_api import Browser, Error, sync_playwright

from ippy.chapter.style import use_course_style

ROOT = Path(__file__).resolve().parent.parent
BROWSERS = "chromium", "chromium-browser", "google-chrome"


@pytest.fixture(scope="session")
def root() -> Path:
    """The course's top folder."""
    return ROOT


@pytest.fixture
def ctrl_c_is_heard() -> Iterator[None]:
    """Hear SIGINT as a terminal's programs do; those started in the background ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def full_disk() -> Callable[[int], AbstractContextManager[None]]:
    """A block in which no file of this process can grow beyond so many bytes."""
    if sys.platform == "win32":
        pytest.skip("Windows has no limit on the size of files")
    import resource

    @contextmanager
    def limited(size: int) -> Iterator[None]:
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    return limited


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> Iterator[SimpleNamespace]:
    """The tiny run's module, in float32, on one thread as in its own process: sums round alike."""
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "no")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield SimpleNamespace(**runpy.run_path(str(ROOT / "tests" / "runs" / "tiny.py")))
    torch.set_num_threads(threads)


@pytest.fixture
def course_style() -> Iterator[None]:
    """Matplotlib as chapters have it, without a window; figures are closed afterwards."""
    plt.switch_backend("Agg")
    with plt.rc_context():
        use_course_style()
        yield
    plt.close("all")


@pytest.fixture
def course(tmp_path: Path) -> Path:
    """A course with a few slices, which its command line takes for real ones."""
    (tmp_path / "_toc.yml").touch()
    random = torch.Generator().manual_seed(0)
    for place in ("train/P1/0", "train/P1/1", "train/P1/2", "test/P2/0"):
        path = tmp_path / "Mayo" / f"{place}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = torch.randint(256, (64, 64), generator=random).byte().numpy()
        Image.fromarray(pixels).save(path)
    return tmp_path


@pytest.fixture(scope="session")
def html(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the book once, with warnings as errors and apart from the reader's own build."""
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:  # whose own folder is inside that of all workers
        shared = shared.parent
    out, built = shared / "book", shared / "book.built"
    with FileLock(shared / "book.lock"):
        if not built.is_file():
            _build(out)
            built.touch()
    return out / "_build" / "html"


def _build(out: Path) -> None:
    builder = shutil.which("jupyter-book", path=sysconfig.get_path("scripts"))
    assert builder, "jupyter-book is not installed beside this Python: see requirements.txt"
    command = [builder, "build", str(ROOT), "--path-output", str(out)]
    command += ["--all", "-n", "-W", "--keep-going"]
    at_home = {name: value for name, value in os.environ.items() if not name.startswith("GITHUB_")}
    result = subprocess.run(
        command, cwd=ROOT, env=at_home, capture_output=True, text=True, encoding="utf-8"
    )
    assert result.returncode == 0, result.stdout[-5000:] + result.stderr[-5000:]


@pytest.fixture(scope="session")
def site(html: Path) -> Iterator[str]:
    """Serve the built book on this machine; the address ends in a slash."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            """Say nothing."""

    handler = functools.partial(Quiet, directory=str(html))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """An installed Chromium; tests that need one are skipped where there is none."""
    paths = [{"executable_path": path} for path in map(shutil.which, BROWSERS) if path]
    with sync_playwright() as playwright:
        for place in [*paths, {"channel": "chrome"}, {"channel": "msedge"}]:
            try:
                found = playwright.chromium.launch(**place, args=["--no-sandbox"])
            except Error:
                continue
            yield found
            found.close()
            return
        pytest.skip("no Chromium, Chrome or Edge is installed: no page was opened in a browser")
