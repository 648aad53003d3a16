"""The page "Restore your own picture": its numbers are ippy's, in any browser, from the disk."""

from __future__ import annotations

import gzip
import hashlib
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from playwright.sync_api import Browser, Page, expect
from torch import Tensor
from torchvision.transforms.functional import resize

from ippy.data.phantoms import generate_slice
from ippy.models import LABELS
from ippy.operators import Blurring
from ippy.operators.blurring import motion_kernel
from ippy.problems import Tikhonov
from ippy.quality import psnr, restore, ssim
from ippy.tools.export import shipped
from ippy.weights import load_checkpoint

from .accessibility import violations
from .firefox import PATHS, Firefox

ROOT = Path(__file__).resolve().parent.parent
VENDOR = ROOT / "book" / "_vendor"
DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 360, "height": 780}
MINUTE = 60_000
FINISHED = "yourPicture.state().x && !yourPicture.state().running"
STATE = """(() => {
    const { x, y, images, scores, settings } = yourPicture.state();
    const plain = ({ pixels, width, height }) => ({ pixels: [...pixels], width, height });
    const named = Object.entries(images).map(([name, image]) => [name, plain(image)]);
    return { x: plain(x), y: plain(y), images: Object.fromEntries(named), scores, settings };
})()"""


def page_of(html: Path) -> str:
    return (html / "book" / "your_picture.html").as_uri()


def tensor(image: dict[str, Any]) -> Tensor:
    """Return an image of the page as (1, 1, H, W)."""
    pixels = torch.tensor(image["pixels"], dtype=torch.float32)
    return pixels.view(1, 1, image["height"], image["width"])


def plain(x: Tensor) -> dict[str, Any]:
    """Return an image (1, 1, H, W) for the page: see ``image`` in :func:`opened`."""
    return {"pixels": x.flatten().tolist(), "width": x.shape[3], "height": x.shape[2]}


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A coarse slice that no model has seen, with sides that 8 does not divide."""
    path = tmp_path_factory.mktemp("pictures") / "own.png"
    coarse = generate_slice(3, "test", "G94", 7, 16)[::2, ::2]
    Image.fromarray(coarse[22:103, 14:115]).save(path)
    return path


@pytest.fixture
def open_page(browser: Browser, html: Path) -> Iterator[Callable[..., Page]]:
    """Open the page from the disk with the network cut; nothing may go wrong on it."""
    contexts, faults = [], []

    def opened(**options: Any) -> Page:
        context = browser.new_context(**{"viewport": DESKTOP, "offline": True} | options)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda m: faults.append(m.text) if m.type == "error" else None)
        page.goto(page_of(html))
        # Numbers as Python has them become the page's images.
        page.evaluate("() => { window.image = ({ pixels, ...sides }) =>"
                      " ({ pixels: Float32Array.from(pixels), ...sides }); }")  # fmt: skip
        return page

    yield opened
    for context in contexts:
        context.close()
    assert not faults


def choose(page: Page, file: Path | dict[str, Any]) -> None:
    page.locator("#picture-file").set_input_files(file)
    page.wait_for_function("yourPicture.state().x")


def restore_all(page: Page) -> None:
    page.get_by_role("button", name="Restore it").click()
    page.wait_for_function(FINISHED, timeout=3 * MINUTE)


def turn(page: Page, control: str, value: int) -> None:
    page.locator(f"#picture-{control}").evaluate(
        "(input, value) => { input.value = value; input.dispatchEvent(new Event('input')); }", value
    )


# --- the arithmetic


@pytest.mark.parametrize("package", ["onnxruntime-web", "dicom-parser"])
def test_what_others_wrote_is_as_its_readme_says(package: str) -> None:
    folder = VENDOR / package
    text = (folder / "README.md").read_text(encoding="utf-8")
    written = dict(re.findall(r"^\| `(\S+)` \| `(\w{64})` \|$", text, re.MULTILINE))
    found = {}
    for path in folder.iterdir():
        content = path.read_bytes()
        if path.suffix == ".gz":
            path, content = path.with_suffix(""), gzip.decompress(content)
        found[path.name] = hashlib.sha256(content).hexdigest()
    assert found.pop("LICENSE") and found.pop("README.md")
    assert found == written
    assert sum(file.stat().st_size for file in folder.iterdir()) < 14_000_000


def test_the_runtime_is_of_the_version_that_its_readme_says() -> None:
    text = (VENDOR / "onnxruntime-web" / "README.md").read_text(encoding="utf-8")
    version = re.search(r"^# onnxruntime-web (\S+)$", text, re.MULTILINE)[1]
    script = VENDOR / "onnxruntime-web" / "ort.wasm.min.js"
    assert f"ONNX Runtime Web v{version}" in script.read_text(encoding="utf-8")[:200]


def test_the_arithmetic_is_ippys(open_page: Callable[..., Page]) -> None:
    page, random = open_page(), torch.Generator().manual_seed(0)

    lengths, angles = page.evaluate(
        "['length', 'angle'].map(name => Number(document.getElementById(`picture-${name}`).max))"
    )
    drawn = page.evaluate(
        "([lengths, angles]) => lengths.map(k => angles.map(a => yourPicture.measure"
        ".motionTaps(k, a)))",
        [[2 * i + 1 for i in range(lengths + 1)], [*range(angles + 1)]],
    )
    for number, of_length in enumerate(drawn):
        side = 2 * number + 1
        for angle, taps in enumerate(of_length):
            kernel = torch.zeros(side, side)
            for down, right, weight in taps:
                kernel[down + side // 2, right + side // 2] = weight
            assert torch.equal(kernel, motion_kernel(side, angle)), (side, angle)
    assert (lengths, angles) == (10, 180)

    for height, width, contrast in ((64, 64, 1), (37, 60, 0.05), (45, 121, 1)):
        x = contrast * torch.rand(1, 1, height, width, generator=random)
        x_hat = (x + 0.1 * contrast * torch.randn(x.shape, generator=random)).clamp(0, 1)
        K = Blurring(kernel_type="motion", kernel_size=7, motion_angle=65)
        found = page.evaluate(
            """([x, other]) => {
                const { measure, metrics, tikhonov } = yourPicture;
                x = image(x);
                other = image(other);
                const taps = measure.motionTaps(7, 65), y = measure.correlate(x, taps);
                const plain = ({ pixels, ...sides }) => ({ pixels: [...pixels], ...sides });
                return { y: plain(y), tikhonov: plain(tikhonov.restore(y, taps, 0.005)),
                         psnr: metrics.psnr(other, x), ssim: metrics.ssim(other, x),
                         residual: metrics.residual(other, y, taps) };
            }""",
            [plain(x), plain(x_hat)],
        )
        torch.testing.assert_close(tensor(found["y"]), K(x), rtol=0, atol=1e-6)
        ours = Tikhonov(K, 0.005)(K(x))
        torch.testing.assert_close(tensor(found["tikhonov"]), ours, rtol=0, atol=1e-5)
        assert found["psnr"] == pytest.approx(psnr(x_hat, x).item(), abs=1e-3)
        assert found["ssim"] == pytest.approx(ssim(x_hat, x).item(), abs=1e-5)
        ratio = ((K(x_hat) - K(x)).norm() / K(x).norm()).item()
        assert found["residual"] == pytest.approx(ratio, abs=1e-5)

    x = torch.rand(1, 1, 90, 131, generator=random)
    for sides in ([40, 58], [33, 131]):
        small = page.evaluate(
            "([x, sides]) => { const { pixels, ...rest } = yourPicture.pictures.resize("
            "image(x), ...sides); return { pixels: [...pixels], ...rest }; }",
            [plain(x), sides[::-1]],
        )
        ours = resize(x, sides, antialias=True)
        torch.testing.assert_close(tensor(small), ours, rtol=0, atol=1e-6)


def test_the_noise_has_its_level_and_its_seed(open_page: Callable[..., Page]) -> None:
    page = open_page()
    x = torch.rand(1, 1, 120, 160, generator=torch.Generator().manual_seed(0))
    y = [
        tensor(page.evaluate(
            """([x, seed]) => {
                const y = yourPicture.measure.measure(image(x),
                    { length: 5, angle: 0, noise: 0.03, seed });
                return { ...y, pixels: [...y.pixels] };
            }""",
            [plain(x), seed],
        ))
        for seed in (0, 0, 1)
    ]  # fmt: skip
    assert torch.equal(y[0], y[1]) and not torch.equal(y[0], y[2])
    Kx = Blurring(kernel_type="motion", kernel_size=5)(x)
    e = y[0] - Kx
    assert (e.norm() / Kx.norm()).item() == pytest.approx(0.03, rel=1e-4)
    e = (e / e.std()).flatten()
    assert abs(e.mean()) < 0.03 and abs((e**4).mean() - 3) < 0.2, "not normal"
    assert abs((e[1:] * e[:-1]).mean()) < 0.03, "neighbours go together"
    again = (y[2] - Kx).flatten()
    assert abs((e * again / again.std()).mean()) < 0.03, "the seeds go together"


# --- the models


def check_answers(state: dict[str, Any]) -> None:
    """Hold what the page shows to what ippy computes from the page's measurement."""
    x, y, settings = tensor(state["x"]), tensor(state["y"]), state["settings"]
    K = Blurring(
        kernel_type="motion", kernel_size=settings["length"], motion_angle=settings["angle"]
    )
    assert ((y - K(x)).norm() / K(x).norm()).item() == pytest.approx(settings["noise"], rel=1e-3)
    ours = {"Truth": x, "Measurement": y, "Tikhonov": Tikhonov(K)(y)}
    ours |= {LABELS[name]: restore(load_checkpoint(name), y) for name in shipped()}
    assert state["images"].keys() == ours.keys() == state["scores"].keys()
    for label, x_hat in ours.items():
        x_hat, score = x_hat.clamp(0, 1), state["scores"][label]
        torch.testing.assert_close(tensor(state["images"][label]), x_hat, rtol=0, atol=2e-5)
        if label != "Truth":
            assert score["psnr"] == pytest.approx(psnr(x_hat, x).item(), abs=1e-3), label
        assert score["ssim"] == pytest.approx(ssim(x_hat, x).item(), abs=1e-4), label
        residual = ((K(x_hat) - y).norm() / y.norm()).item()
        assert score["residual"] == pytest.approx(residual, abs=1e-4), label


def test_every_answer_is_ippys_on_a_desktop(open_page: Callable[..., Page], picture: Path) -> None:
    page, loaded = open_page(), []
    page.on("request", lambda request: loaded.append(request.url))
    choose(page, picture)
    assert page.locator(".picture-about").inner_text() == "own.png: 101 × 81 pixels, in grey."
    assert not [url for url in loaded if "/packed/" in url], "loaded before it was wanted"
    restore_all(page)
    state = page.evaluate(STATE)
    check_answers(state)
    assert state["settings"] | {"length": 9, "angle": 20, "noise": 0.01} == state["settings"]

    def row(label: str) -> list[str]:
        text = page.get_by_role("row", name=re.compile(f"^{re.escape(label)} ")).inner_text()
        return re.split(r"\s*\t\s*", text)

    score = state["scores"]["UNet++"]
    assert row("UNet++")[1:3] == [f"{score['psnr']:.2f}", f"{score['ssim']:.4f}"]
    assert row("UNet++")[3] == f"{100 * score['residual']:.2f} %"

    # The blur is turned: the models answer anew, and the residual tells.
    turn(page, "angle", 90)
    page.wait_for_function(f"!yourPicture.state().images.ViT || !({FINISHED})")
    page.wait_for_function(f"yourPicture.state().images.ViT && {FINISHED}", timeout=3 * MINUTE)
    state = page.evaluate(STATE)
    check_answers(state)
    assert row("UNet")[3].startswith("✗"), "a residual far above the noise is marked"
    unet, tikhonov = (state["scores"][name]["residual"] for name in ("UNet", "Tikhonov"))
    assert unet > 3 * tikhonov
    met = page.locator("[data-challenge=tikhonov]")
    assert met.inner_text().startswith("✓ Found. At 90° and 1 % noise Tikhonov has")
    page.get_by_role("button", name="Back to the course's blur").click()
    assert page.evaluate("yourPicture.state().settings.angle") == 20
    assert met.inner_text().startswith("✓ Found"), "what was met stays met"


def test_every_answer_is_ippys_on_a_phone_by_keyboard(
    browser: Browser, site: str, picture: Path
) -> None:
    context = browser.new_context(viewport=PHONE, has_touch=True, is_mobile=True)
    asked: list[str] = []
    context.on("request", lambda request: asked.append(request.url))
    page = context.new_page()
    page.goto(f"{site}book/your_picture.html")
    choose(page, picture)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    page.get_by_role("slider", name="Noise").focus()
    page.keyboard.press("ArrowRight")
    page.get_by_role("button", name="Restore it").focus()
    page.keyboard.press("Enter")
    page.wait_for_function(FINISHED, timeout=3 * MINUTE)
    state = page.evaluate(STATE)
    assert state["settings"]["noise"] == 0.015
    check_answers(state)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    assert page.evaluate("document.querySelector('.live-table').scrollWidth") <= PHONE["width"]

    line, canvas = page.get_by_role("slider", name="Line"), page.locator(".live-plot canvas").first
    before = canvas.screenshot()
    line.focus()
    page.keyboard.press("Home")
    assert canvas.screenshot() != before
    page.get_by_role("button", name="Attention UNet").focus()
    page.keyboard.press("Enter")
    assert page.get_by_label("Right of the line").input_value() == "Attention UNet"
    page.get_by_label("Enlarge").select_option("4")
    assert "Attention UNet" in canvas.get_attribute("aria-label")
    assert all(url.startswith((site, "data:", "blob:")) for url in asked), "asked of other hosts"

    kernels = set()
    for theme in ("light", "dark"):
        assert not violations(page, ".bd-article", theme=theme)
        kernels.add(page.evaluate("document.querySelector('.picture-kernel').toDataURL()"))
    assert len(kernels) == 2, "the kernel is drawn in the theme's colours"
    context.close()


@pytest.mark.skipif(not PATHS, reason="no Firefox is installed")
def test_every_answer_is_ippys_in_firefox(html: Path, picture: Path, tmp_path: Path) -> None:
    with Firefox(tmp_path) as firefox:

        def wait(condition: str) -> None:
            until = time.monotonic() + 180
            while not firefox.evaluate(condition):
                assert time.monotonic() < until, condition
                time.sleep(0.2)

        firefox.open(page_of(html))
        firefox.choose_file("#picture-file", picture)
        wait("Boolean(yourPicture.state().x)")
        firefox.evaluate("document.querySelector('.picture .live-start').click()")
        wait(FINISHED)
        check_answers(firefox.evaluate(STATE))


# --- what a reader does


def test_a_second_picture_takes_the_place_of_the_first(
    open_page: Callable[..., Page], tmp_path: Path
) -> None:
    page, answers = open_page(), "Object.keys(yourPicture.state().images).length"
    page.get_by_role("button", name="Liver").click()
    page.wait_for_function("yourPicture.state().x")
    assert page.evaluate("yourPicture.state().x.width") == 256
    page.get_by_role("button", name="Restore it").click()
    page.wait_for_function("yourPicture.state().images.CNN", timeout=MINUTE)
    page.get_by_role("button", name="Cancel").click()
    assert "Cancelled" in page.locator(".picture-progress").inner_text()
    stopped = page.evaluate(answers)
    page.wait_for_timeout(600)
    assert page.evaluate(answers) == stopped < 3 + len(shipped())
    turn(page, "noise", 0)
    page.wait_for_timeout(600)
    assert page.evaluate(FINISHED), "after Cancel nothing starts by itself"
    right = page.get_by_label("Right of the line")
    right.select_option("Tikhonov")

    page.get_by_role("button", name="Back to the course's blur").click()
    page.evaluate("""() => {
        const { models } = yourPicture, { stop } = models;
        window.stopped = 0;
        models.stop = () => { window.stopped += 1; stop(); };
    }""")
    page.get_by_role("button", name="Restore it").click()
    Image.new("L", (192, 96), 255).save(tmp_path / "sheet.png")
    choose(page, tmp_path / "sheet.png")  # while the first is being restored
    page.wait_for_function("yourPicture.state().x.width === 192")
    assert page.evaluate("window.stopped") == 1, "the model at work is not waited for"
    page.wait_for_function(f"yourPicture.state().images.ViT && {FINISHED}", timeout=3 * MINUTE)
    widths = page.evaluate("Object.values(yourPicture.state().images).map(({ width }) => width)")
    assert widths == [192] * (3 + len(shipped()))
    assert right.input_value() == "Tikhonov", "what the reader chose stays chosen"

    # It is a white sheet, which is an answer to the first challenge.
    assert page.locator("[data-challenge=vit]").inner_text().startswith("✓ Found.")
    answer = page.locator(".admonition", has_text="white sheet")
    assert not answer.locator("p", has_text="white sheet").is_visible(), "answers are hidden"
    answer.get_by_role("button").click()
    assert answer.locator("p", has_text="white sheet").is_visible()


def test_a_picture_is_pasted_or_dropped(open_page: Callable[..., Page], picture: Path) -> None:
    page = open_page()
    give = """([bytes, kind]) => {
        const data = new DataTransfer();
        if (bytes) data.items.add(new File([Uint8Array.from(bytes)], "given.png"));
        const [event, target] = kind === "paste"
            ? [new ClipboardEvent("paste", { clipboardData: data, bubbles: true }), document]
            : [new DragEvent("drop", { dataTransfer: data, bubbles: true }),
               document.querySelector(".picture-drop")];
        target.dispatchEvent(event);
    }"""
    about = page.locator(".picture-about")
    page.evaluate(give, [None, "drop"])
    assert about.inner_text().startswith("That was no file.")
    for kind in ("drop", "paste"):
        page.evaluate("document.querySelector('.picture-about').textContent = ''")
        page.evaluate(give, [[*picture.read_bytes()], kind])
        expect(about).to_have_text("given.png: 101 × 81 pixels, in grey.")


def test_what_is_missing_is_said(browser: Browser, site: str, picture: Path) -> None:
    context = browser.new_context()
    page = context.new_page()
    page.route("**/packed/CNN.js", lambda route: route.abort())
    page.goto(f"{site}book/your_picture.html")
    choose(page, picture)
    page.get_by_role("button", name="Restore it").click()
    progress = page.locator(".picture-progress")
    expect(progress).to_contain_text("CNN.js could not be loaded. Try again", timeout=MINUTE)
    page.unroute("**/packed/CNN.js")
    page.get_by_role("button", name="Restore it").click()
    page.wait_for_function("yourPicture.state().images.CNN", timeout=MINUTE)

    page = context.new_page()
    page.add_init_script("delete window.WebAssembly")
    page.goto(f"{site}book/your_picture.html")
    assert "WebAssembly" in page.locator("#your-picture").inner_text()
    assert page.locator("#picture-file").count() == 0
    context.close()

    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{site}book/your_picture.html")
    assert "switched off" in page.locator("#your-picture").inner_text()
    context.close()


def test_no_other_page_is_heavier(html: Path) -> None:
    pages = [path for path in html.rglob("*.html") if "your_picture/" in path.read_text("utf-8")]
    assert [path.name for path in pages] == ["your_picture.html"]
    text = pages[0].read_text("utf-8")
    assert re.findall(r'src="[^"]*packed/(\w+)\.js', text) == ["facts"]
    scripts = (html / "_static" / "your_picture").glob("*.js")
    assert sum(script.stat().st_size for script in scripts) < 60_000


def test_the_packed_models_are_the_weights(html: Path) -> None:
    packed = {path.stem for path in (html / "_static" / "your_picture" / "packed").glob("*.js")}
    assert packed >= {*shipped(), "wasm", "loader", "ort", "worker", "facts", "dicom-parser"}
    exported = ROOT / "_build" / "onnx"
    for name in shipped():
        (path,) = exported.glob(f"{name}-*.onnx")
        weights = hashlib.sha256((ROOT / "weights" / f"{name}.pth").read_bytes()).hexdigest()
        assert weights.encode() in path.read_bytes(), "it is another checkpoint's"
