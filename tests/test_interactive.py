"""The live figures: their data says what the models say, and they answer to mouse and keyboard."""

from __future__ import annotations

import base64
import gzip
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bokeh
import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pandas as pd
import pytest
import torch
from bokeh.models import Range1d
from playwright.sync_api import Browser, BrowserContext, Locator, Page

from ippy.chapter.live import attention_explorer, compare_slider, patch_size_slider, publish
from ippy.chapter.live.plots import picture
from ippy.models import NAMES
from ippy.models.vit import ViTReconstructor
from ippy.quality import metrics

from .accessibility import grave

ROOT = Path(__file__).resolve().parent.parent
CHAPTER = {
    "attention": "vision_transformers",
    "patches": "vision_transformers",
    "metrics": "image_quality_metrics",
    "compare": "model_comparison",
}
each_figure = pytest.mark.parametrize("name", CHAPTER)


def stored(name: str) -> dict[str, Any]:
    return publish.read(ROOT / "book" / "_static" / "interactive" / f"{name}.data.js")


def arrays(content: dict[str, Any]) -> dict[str, np.ndarray]:
    """Return the arrays that a figure's script is given, flat, by name."""
    found = {}
    for root in content["document"]["roots"]:
        attributes = root["attributes"]
        if root["name"] == "ColumnDataSource":
            ((_, array),) = attributes["data"]["entries"]
            raw = gzip.decompress(base64.b64decode(array["array"]["data"]))
            found[attributes["name"]] = np.frombuffer(raw, array["dtype"])
    return found


@pytest.fixture
def course(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty course, so that nothing is written into this one; returns the data's folder."""
    (tmp_path / "_toc.yml").touch()
    monkeypatch.setenv("IPPY_COURSE", str(tmp_path))
    yield tmp_path / "book" / "_static" / "interactive"
    plt.close("all")


# --- the data


@each_figure
def test_data_fits_the_installed_bokeh_and_the_chapter(name: str) -> None:
    content = stored(name)
    assert content["name"] == name
    assert content["document"]["version"] == bokeh.__version__, "execute the chapter again"
    notebook = nbformat.read(ROOT / "book" / f"{CHAPTER[name]}.ipynb", as_version=4)
    figures = [
        cell.metadata.get("mystnb", {}).get("figure", {}).get("name") for cell in notebook.cells
    ]
    assert figures.count(f"live-{name}") == 1


def test_data_is_small() -> None:
    files = (ROOT / "book" / "_static" / "interactive").glob("*.data.js")
    assert sum(file.stat().st_size for file in files) < 6_000_000


def browser_attention(content: dict[str, Any], block: int, query: int) -> np.ndarray:
    """Compute from the stored numbers what attention.js computes: (heads, N)."""
    facts, held = content["facts"], arrays(content)
    blocks, heads, tokens = facts["blocks"], facts["heads"], facts["grid"] ** 2
    queries, keys = (held[n].reshape(blocks, tokens, heads, -1) for n in ("queries", "keys"))
    scales = held["scales"].reshape(blocks, heads, -1)
    q = queries[block, query].astype(np.float32) * scales[block]  # (heads, d_k)
    scores = np.einsum("hc,jhc->hj", q, keys[block].astype(np.float32))
    weights = np.exp(scores - scores.max(axis=1, keepdims=True))
    return weights / weights.sum(axis=1, keepdims=True)


def test_rounded_queries_and_keys_give_the_models_attention(course: Path) -> None:
    torch.manual_seed(0)
    model = ViTReconstructor(img_size=64, embed_dim=32, num_heads=2, mlp_dim=64, depth=2).eval()
    for block in model.encoder:
        block.attn.in_proj_weight.data *= 4  # an untrained model looks everywhere alike
    y = torch.rand(1, 1, 64, 64)
    attention_explorer(model, y, patch=(1, 2), block=1, head=2)
    content = publish.read(course / "attention.data.js")
    with torch.inference_mode():
        maps = torch.cat(model.attention_maps(y)).numpy()  # (blocks, heads, N, N)
    assert maps.max() > 5 / 64, "the test is about weights that differ"
    for block in range(2):
        for query in (0, 17, 63):
            ours = browser_attention(content, block, query)
            distance = np.abs(ours - maps[block, :, query]).sum(axis=1) / 2
            assert distance.max() < 0.02


def test_patch_and_copy_are_of_the_right_size(course: Path) -> None:
    x = torch.rand(1, 1, 64, 64)
    costs = pd.DataFrame(
        {"tokens": [64, 16], "weights": [1, 1], "attention": [1.0, 1.0], "other": [1.0, 1.0],
         "copy": [math.inf, 30.0]}, index=[8, 16],
    )  # fmt: skip
    patch_size_slider(x, {8: x, 16: 0.5 * x}, costs, place=(3, 4))
    content = publish.read(course / "patches.data.js")
    copies = arrays(content)["copies"].reshape(2, 64, 64)
    assert np.abs(copies[0] / 255 - x[0, 0].numpy()).max() <= 0.5 / 255 + 1e-6
    assert [cost["copy"] for cost in content["facts"]["costs"]] == [None, 30.0]
    with pytest.raises(ValueError, match=r"'other'"):
        patch_size_slider(x, {8: x, 16: x}, costs.drop(columns="other"), place=(3, 4))


def test_compare_stores_images_and_scores(course: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(1, 1, 32, 32, generator=generator)
    images = {"truth": x, "a": (x + 0.1).clamp(0, 1), "b": x.flip(3)}
    compare_slider(images, left="a", right="b", centre=(10, 10))
    content = publish.read(course / "compare.data.js")
    held = arrays(content)["images"].reshape(3, 32, 32) / 1023
    assert np.abs(held[2] - images["b"][0, 0].numpy()).max() < 0.001
    score = content["facts"]["scores"][1]["psnr"]
    assert score == pytest.approx(metrics.psnr(images["a"], x).item(), abs=0.01)
    with pytest.raises(ValueError, match="'c'"):
        compare_slider(images, left="a", right="c", centre=(10, 10))
    with pytest.raises(ValueError, match="one shape"):
        compare_slider({**images, "b": x[..., :16]}, left="a", right="b", centre=(10, 10))


def test_explorer_wants_one_slice(course: Path) -> None:
    model = ViTReconstructor(img_size=64, depth=1)
    with pytest.raises(ValueError, match=r"expected one slice, \(1, 1, 64, 64\)"):
        attention_explorer(model, torch.rand(1, 1, 32, 32), patch=(0, 0), block=1, head=1)


def publish_small(values: np.ndarray, score: float) -> None:
    plot = picture("plot", x_range=Range1d(0, 1))
    control = publish.slider("level", "Level", ["low", "high"])
    publish.publish("small", {"A plot.": plot}, [control], {"values": values}, {"score": score})


def test_data_is_written_again_only_where_it_changed(course: Path) -> None:
    path, values = course / "small.data.js", np.arange(100, dtype=np.uint8)
    publish_small(values, 0.912)
    first = path.read_bytes()

    publish_small(np.clip(values.astype(int) + 1, 0, 255).astype(np.uint8), 0.913)  # rounding
    assert path.read_bytes() == first
    publish_small(values, 0.95)
    assert path.read_bytes() != first
    changed = values.copy()
    changed[7] = 99
    publish_small(changed, 0.95)
    assert arrays(publish.read(path))["values"][7] == 99


def test_a_course_that_may_only_be_read_keeps_its_data(
    course: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish_small(np.zeros(4, np.uint8), 1.0)
    shipped = (course / "small.data.js").read_bytes()
    monkeypatch.setattr("ippy.base.paths.is_writable", lambda folder: False)
    monkeypatch.setattr("ippy.base.paths._own_root", lambda: tmp_path / "own")
    publish_small(np.zeros(4, np.uint8), 0.5)
    assert (course / "small.data.js").read_bytes() == shipped
    own = tmp_path / "own" / "book" / "_static" / "interactive" / "small.data.js"
    assert publish.read(own)["facts"] == {"score": 0.5}


def test_a_broken_file_is_replaced(course: Path) -> None:
    publish_small(np.zeros(4, np.uint8), 1.0)
    path = course / "small.data.js"
    whole = path.read_bytes()
    for broken in (whole[: len(whole) // 2], b"", b"liveFigures.data({});\n"):
        path.write_bytes(broken)
        publish_small(np.zeros(4, np.uint8), 1.0)
        assert path.read_bytes() == whole
    path.write_text("nothing of ours", encoding="utf-8")
    with pytest.raises(ValueError, match="Execute the chapter"):
        publish.read(path)


# --- in a browser


class Opened:
    """A page with one live figure, and what the page complained about."""

    def __init__(self, page: Page, url: str, name: str) -> None:
        self.page, self.name = page, name
        self.complaints: list[str] = []
        self.asked: list[str] = []
        page.on("console", self._listen)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda request: self.asked.append(request.url))
        page.goto(url)
        self.figure = page.locator(f"#live-{name}")

    def _listen(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)

    def start(self, *, by: str = "mouse") -> None:
        button = self.figure.get_by_role("button", name="Try it live")
        if by == "mouse":
            button.click()
        else:
            button.focus()
            self.page.keyboard.press("Enter")
        self.figure.locator(".live-words:not(:empty)").wait_for()

    def control(self, label: str) -> Locator:
        return self.figure.get_by_label(re.compile(f"^{label}"))

    def words(self) -> str:
        self.page.evaluate("() => new Promise(done => requestAnimationFrame(() => "
                           "requestAnimationFrame(done)))")  # fmt: skip
        return self.figure.locator(".live-words").inner_text()

    def number(self, pattern: str) -> float:
        found = re.search(pattern, self.words())
        assert found, f"no {pattern!r} in {self.words()!r}"
        return float(found.group(1).replace(",", ""))

    def click(self, plot: str, across: float, down: float) -> None:
        """Click in a plot, at a share of its width and height."""
        canvas = self.figure.locator(f".live-plot-{plot} .live-canvas")
        canvas.scroll_into_view_if_needed()
        box = canvas.bounding_box()
        assert box
        self.page.mouse.click(box["x"] + across * box["width"], box["y"] + down * box["height"])

    def picture(self, plot: str) -> bytes:
        self.words()
        return self.figure.locator(f".live-plot-{plot} .live-canvas").screenshot()

    def check(self, site: str) -> None:
        assert not self.complaints
        away = [url for url in self.asked if not url.startswith((site, "data:", "blob:"))]
        assert not away, "asked of other hosts"


@pytest.fixture(params=["http", "file"])
def opened(request: pytest.FixtureRequest, browser: Browser, html: Path, site: str, name: str):
    """The chapter with the figure, from a server and from the disk."""
    base = site if request.param == "http" else html.as_uri() + "/"
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = Opened(context.new_page(), f"{base}book/{CHAPTER[name]}.html", name)
    yield page
    page.check(base)
    context.close()


@pytest.mark.parametrize("name", ["attention"])
def test_attention_explorer(opened: Opened) -> None:
    still = opened.figure.locator("img")
    assert still.is_visible()
    assert not any("bokeh" in url or ".data.js" in url for url in opened.asked), "loaded too early"
    opened.start()
    assert not still.is_visible()
    assert opened.words().startswith("Block 3, head 2, patch at (14, 9)")

    before, drawn = opened.number(r"goes to (\d+) of"), opened.picture("slice")
    opened.click("slice", 0.5, 0.5)
    assert "patch at (16, 16)" in opened.words()
    assert opened.number(r"goes to (\d+) of") != before
    assert opened.picture("slice") != drawn

    opened.figure.locator(".live-plot-slice .live-canvas").focus()
    opened.page.keyboard.press("ArrowRight")
    opened.page.keyboard.press("ArrowUp")
    assert "patch at (15, 17)" in opened.words()
    opened.control("Block").focus()
    opened.page.keyboard.press("Home")
    assert opened.words().startswith("Block 1, head 2")
    opened.click("maps", 0.9, 0.8)
    assert opened.words().startswith("Block 4, head 4")

    content = stored("attention")
    weights = browser_attention(content, 3, 15 * 32 + 17)[3]
    half = int(np.searchsorted(np.cumsum(np.sort(weights)[::-1]), 0.5)) + 1
    assert abs(opened.number(r"goes to (\d+) of") - half) <= 1


@pytest.mark.parametrize("name", ["patches"])
def test_patch_size_slider(opened: Opened) -> None:
    opened.start(by="keyboard")
    size = opened.control("Patch size P")
    assert size.evaluate("input => input === document.activeElement"), "the focus goes on"
    tokens = [opened.number(r"([\d,]+) tokens")]
    drawn = opened.picture("patch")
    for _ in range(2):
        opened.page.keyboard.press("ArrowRight")
        tokens.append(opened.number(r"([\d,]+) tokens"))
    assert tokens == [1024, 256, 64]
    assert opened.number(r"numbers: (\d+\.\d+) dB") < 60
    assert opened.number(r"off by (\d+\.\d+) grey levels") > 0
    assert opened.picture("patch") != drawn
    row = opened.figure.locator("tr.live-strong")
    assert row.inner_text().split("\t")[:2] == ["32", "64"]

    drawn = opened.picture("patch")
    opened.click("slice", 0.3, 0.3)
    assert opened.picture("patch") != drawn
    drawn = opened.picture("patch")
    opened.figure.locator(".live-plot-slice .live-canvas").focus()
    opened.page.keyboard.press("ArrowDown")
    assert opened.picture("patch") != drawn


@pytest.mark.parametrize("name", ["metrics"])
def test_metric_playground(opened: Opened) -> None:
    opened.start()
    scores = r"PSNR (\d+\.\d+) dB, SSIM (\d+\.\d+), LPIPS (\d+\.\d+)"

    def read() -> list[float]:
        found = re.search(scores, opened.words())
        assert found
        return [float(number) for number in found.groups()]

    noise, drawn = read(), opened.picture("image")
    opened.control("Distortion").select_option("shift")
    shift = read()
    assert abs(shift[0] - noise[0]) < 0.06, "the same PSNR"
    assert shift[1] > noise[1] + 0.1
    assert shift[2] < noise[2] / 5
    assert opened.picture("image") != drawn

    opened.control("Strength").focus()
    opened.page.keyboard.press("End")
    assert read()[0] == pytest.approx(20, abs=0.1)
    drawn = opened.picture("image")
    opened.page.keyboard.press("Tab")
    opened.page.keyboard.press("Space")  # show the truth instead
    assert opened.picture("image") != drawn
    assert opened.figure.locator("td").count() == 12


@pytest.mark.parametrize("name", ["compare"])
def test_compare_slider(opened: Opened) -> None:
    opened.start(by="keyboard")
    assert opened.words().startswith("Left, Measurement")
    options = opened.control("Left of the line").locator("option").all_inner_texts()
    assert len(options) == 2 + len(NAMES)

    drawn = opened.picture("wipe")
    opened.page.keyboard.press("Home")  # the focus is on the first list
    assert "Left, Truth: no error" in opened.words()
    assert opened.picture("wipe") != drawn
    opened.control("Right of the line").select_option("ViT")
    vit = opened.number(r"Right, ViT: (\d+\.\d+) dB")
    whole = opened.number(r"typical error here (\d+\.\d+)")
    assert whole == pytest.approx(10 ** (-vit / 20), rel=0.02)

    opened.control("Line").focus()
    drawn = opened.picture("errors")
    for _ in range(10):
        opened.page.keyboard.press("ArrowLeft")
    assert opened.picture("errors") != drawn
    opened.control("Enlarge").focus()
    opened.page.keyboard.press("End")
    assert opened.number(r"typical error here (\d+\.\d+)") != whole
    seen = opened.number(r"typical error here (\d+\.\d+)")
    opened.click("wipe", 0.1, 0.1)
    assert opened.number(r"typical error here (\d+\.\d+)") != seen


@pytest.fixture(scope="module")
def phone(browser: Browser) -> Iterator[BrowserContext]:
    """A phone whose owner likes it dark."""
    context = browser.new_context(viewport={"width": 360, "height": 780}, color_scheme="dark")
    yield context
    context.close()


@each_figure
def test_live_figure_on_a_phone(phone: BrowserContext, site: str, name: str) -> None:
    opened = Opened(phone.new_page(), f"{site}book/{CHAPTER[name]}.html", name)
    opened.start()
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= 360
    opened.check(site)  # before axe, which requests files of its own
    for theme in ("dark", "light"):
        assert not grave(opened.page, f"#live-{name}", theme=theme)
        assert opened.page.evaluate("document.documentElement.scrollWidth") <= 360
    opened.page.close()


def test_without_scripts_the_picture_stays(browser: Browser, html: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto((html / "book" / "model_comparison.html").as_uri())
    assert page.locator("#live-compare img").is_visible()
    assert page.locator("#live-compare button").count() == 0
    context.close()


def test_a_figure_whose_data_is_missing_says_so(browser: Browser, site: str) -> None:
    context = browser.new_context()
    page = context.new_page()
    page.route("**/compare.data.js", lambda route: route.abort())
    page.goto(f"{site}book/model_comparison.html")
    page.locator("#live-compare button").click()
    page.get_by_role("button", name="compare.data.js could not be loaded. Try again").wait_for()
    assert page.locator("#live-compare img").is_visible()
    page.unroute("**/compare.data.js")
    page.locator("#live-compare button").click()
    page.locator("#live-compare .live-words:not(:empty)").wait_for()
    context.close()
