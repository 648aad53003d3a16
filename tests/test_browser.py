"""Every page of the built book, opened in a real browser that reaches nothing but the book."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml
from PIL import Image
from playwright.sync_api import Browser, BrowserContext, Page, Request, Response, Route

from .accessibility import grave

ROOT = Path(__file__).resolve().parent.parent
SCREENSHOTS = ROOT / "_build" / "screenshots"
DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 360, "height": 780}
TWO_MEGABYTES = 2_000_000
CHAPTERS = [
    "introduction",
    "convolutional_baselines",
    "transformer_block",
    "vision_transformers",
    "image_quality_metrics",
    "model_comparison",
    "loss_design",
    "attention",
    "operator",
]
RAW_TEX = r"\\(?:frac|sum|hat|mathrm|lVert|operatorname|begin|\(|\[)|\$[^$\n]+\$"


def pages() -> list[str]:
    """Return the names of all pages, as the table of contents has them."""
    contents = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    listed = [page["file"] for part in contents["parts"] for page in part["chapters"]]
    return [contents["root"], *listed]


@dataclass
class Log:
    """What went wrong or was transferred while pages were open."""

    errors: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    responses: list[Response] = field(default_factory=list)

    def bytes(self) -> int:
        """Return what was transferred, without compression."""
        return sum(len(response.body()) for response in self.responses)


def open_context(browser: Browser, site: str, **options: object) -> tuple[BrowserContext, Log]:
    """Return a fresh context that reaches only the site, and its log."""
    context, log = browser.new_context(**options), Log()

    def guard(route: Route) -> None:
        if route.request.url.startswith((site, "data:", "blob:")):
            route.continue_()
        else:
            log.refused.append(route.request.url)
            route.abort()

    def failed(request: Request) -> None:
        log.errors.append(f"{request.url}: {request.failure}")

    def answered(response: Response) -> None:
        log.responses.append(response)
        if response.status >= 400:
            log.errors.append(f"{response.url}: {response.status}")

    context.route("**/*", guard)
    context.on("requestfailed", failed)
    context.on("response", answered)
    context.on(
        "console",
        lambda said: log.errors.append(said.text) if said.type in ("error", "warning") else None,
    )
    context.on("weberror", lambda error: log.errors.append(str(error.error)))
    return context, log


def visit(page: Page, url: str) -> Page:
    """Open a page and wait until its math is set."""
    page.goto(url, wait_until="load")
    page.wait_for_function("document.querySelectorAll('.math:not(:has(.katex))').length == 0")
    page.wait_for_load_state("networkidle")
    return page


@pytest.fixture(scope="module")
def desktop(browser: Browser, site: str) -> Iterator[tuple[Page, Log]]:
    """One tab for all pages: a window of its own for each costs more than the page."""
    context, log = open_context(browser, site, viewport=DESKTOP, color_scheme="light")
    yield context.new_page(), log
    context.close()


@pytest.fixture(params=pages(), ids=lambda name: name.removeprefix("book/"), scope="module")
def opened(
    request: pytest.FixtureRequest, desktop: tuple[Page, Log], site: str
) -> tuple[Page, Log]:
    """One page after the other, opened on a desktop."""
    page, log = desktop
    page.goto("about:blank")  # the page before can't add to the log any more
    page.emulate_media(color_scheme="light")
    for happened in (log.errors, log.refused, log.responses):
        happened.clear()
    return visit(page, f"{site}{request.param}.html"), log


def test_page_opens_light_and_without_errors(opened: tuple[Page, Log]) -> None:
    _, log = opened
    assert not log.refused, "asked of other hosts"
    assert not log.errors
    assert log.bytes() < TWO_MEGABYTES


def test_math_is_set(opened: tuple[Page, Log]) -> None:
    page, _ = opened
    assert page.locator(".katex-error").count() == 0
    words = page.evaluate(
        """() => {
            const copy = document.querySelector("article").cloneNode(true);
            copy.querySelectorAll(".katex, pre, code, script, style").forEach(e => e.remove());
            return copy.textContent;
        }"""
    )
    assert not re.findall(RAW_TEX, words)


def test_every_picture_loads(opened: tuple[Page, Log]) -> None:
    page, log = opened
    for picture in page.locator("article img").all():
        picture.scroll_into_view_if_needed()
        picture.evaluate("picture => picture.decode()")
        assert picture.evaluate("picture => picture.naturalWidth") > 0
    assert not log.errors


def test_folded_solutions_open(opened: tuple[Page, Log]) -> None:
    page, _ = opened
    solutions = page.locator(".solution.dropdown").all()
    assert solutions or not page.url.endswith("introduction.html")  # which has three
    for solution in solutions:
        content = solution.locator("p").nth(1)  # the first is the title
        assert not content.is_visible()
        solution.locator("button.toggle-button").click()
        content.wait_for(state="visible", timeout=2000)


def test_no_sideways_scroll_on_a_phone(opened: tuple[Page, Log]) -> None:
    page, _ = opened
    page.set_viewport_size(PHONE)
    try:
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    finally:
        page.set_viewport_size(DESKTOP)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_accessible(opened: tuple[Page, Log], theme: str) -> None:
    page, _ = opened
    page.mouse.move(0, 0)
    if not page.url.endswith("introduction.html"):
        # Code and formulas look alike on all pages and are thousands of words: once is enough.
        page.evaluate(
            """() => {
                document.querySelectorAll(".katex-html").forEach(e => e.remove());
                document.querySelectorAll("pre").forEach(e => { e.textContent = e.textContent; });
            }"""
        )
    assert not grave(page, theme=theme)


def test_search_finds_patch_embedding(browser: Browser, site: str) -> None:
    context, log = open_context(browser, site, viewport=DESKTOP)
    page = visit(context.new_page(), f"{site}book/how_long.html")
    page.keyboard.press("Control+K")
    page.keyboard.type("patch embedding")
    page.keyboard.press("Enter")
    results = page.locator("#search-results li a")
    results.first.wait_for()
    assert any("transformer_block" in (a.get_attribute("href") or "") for a in results.all())
    assert not log.errors and not log.refused
    context.close()


def test_internal_links_lead_somewhere(html: Path) -> None:
    ids = {
        path: set(re.findall(r'\bid="([^"]+)"', path.read_text(encoding="utf-8")))
        for path in html.rglob("*.html")
    }
    for path in (html / "book").glob("*.html"):
        text = re.sub(r"<script.*?</script>", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
        for link in re.findall(r'<a [^>]*?href="([^"]+)"', text):
            if re.match(r"[a-z]+:", link):
                continue
            file, _, anchor = link.partition("#")
            target = (path.parent / file).resolve() if file else path.resolve()
            assert target.exists(), f"{path.name}: {link}"
            if anchor and target in ids:
                assert anchor in ids[target], f"{path.name}: {link}"


@pytest.fixture(scope="module")
def another_tab(browser: Browser) -> Iterator[Page]:
    """A tab in which one chapter after the other is opened from the disk."""
    page = browser.new_page()
    yield page
    page.close()


@pytest.mark.parametrize("name", CHAPTERS)
def test_questions_answer(another_tab: Page, html: Path, name: str) -> None:
    page = another_tab
    page.goto((html / "book" / f"{name}.html").as_uri())  # as after a double click
    quizzes = page.locator(".Quiz").all()
    assert len(quizzes) >= 2
    for quiz in quizzes:
        for answer in quiz.locator("label.MCButton").all():
            answer.locator("input").focus()
            page.keyboard.press("Space")
            right = answer.get_attribute("data-correct") == "true"
            reply = quiz.locator(".Feedback")
            assert reply.inner_text() == answer.get_attribute("data-feedback")
            assert ("correct" in reply.get_attribute("class").split()) == right


def test_a_chapter_prints(browser: Browser, site: str) -> None:
    context, _ = open_context(browser, site)
    page = visit(context.new_page(), f"{site}book/loss_design.html")
    page.emulate_media(media="print")
    for part in (".bd-sidebar-primary", ".bd-header-article", "button.toggle-button"):
        assert not any(found.is_visible() for found in page.locator(part).all()), part
    drawn = page.locator("article img").count()
    assert page.pdf(format="A4").count(b"/Subtype /Image") >= drawn, "pictures are missing"
    context.close()


def contrast(picture: Image.Image, box: dict[str, float]) -> int:
    """Return the difference of the lightest and the darkest grey, of 255, inside a box."""
    x, y, width, height = (round(box[side]) for side in ("x", "y", "width", "height"))
    darkest, lightest = picture.convert("L").crop((x, y, x + width, y + height)).getextrema()
    return lightest - darkest


@pytest.fixture(scope="module", params=["desktop", "phone"])
def device(
    request: pytest.FixtureRequest, browser: Browser, site: str
) -> Iterator[tuple[str, Page]]:
    """A device, and a tab of its size."""
    size = {"desktop": DESKTOP, "phone": PHONE}[request.param]
    context, _ = open_context(browser, site, viewport=size, device_scale_factor=1)
    yield request.param, context.new_page()
    context.close()


@pytest.mark.parametrize("name", ["introduction", "vision_transformers", "loss_design"])
def test_a_page_begins_with_its_title_and_text_in_plain_sight(
    device: tuple[str, Page], site: str, name: str
) -> None:
    page, size = visit(device[1], f"{site}book/{name}.html"), device[1].viewport_size
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    place = SCREENSHOTS / f"{name}-{device[0]}.png"
    page.screenshot(path=place)
    with Image.open(place) as picture:
        assert picture.size == (size["width"], size["height"])
        for part in ("article h1", "article p"):
            box = page.locator(part).first.bounding_box()
            assert box["x"] >= 0 and box["x"] + box["width"] <= size["width"], part
            assert box["y"] >= 0 and box["y"] + box["height"] <= size["height"], part
            assert contrast(picture, box) > 128, f"{part} can't be seen"
