"""Axe, which judges whether all readers can use a page, with contrast measured once a look."""

from __future__ import annotations

from typing import Any, Literal

from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Page

# Axe takes 5 ms for the contrast of one text, and a page has a thousand. Texts of the same colour
# and font on the same backgrounds have the same contrast: three of each suffice.
FEW_OF_EACH_LOOK = """(root) => {
    const PLAIN = "rgba(0, 0, 0, 0)|none|1|static|none|auto|none|normal";
    const numbers = new Map(), looks = new Map(), seen = new Map();
    const number = (key) => numbers.get(key) ?? numbers.set(key, numbers.size).get(key);
    const look = (element) => {
        if (!element) return "";
        if (!looks.has(element)) {
            const s = getComputedStyle(element);
            const own = [s.backgroundColor, s.backgroundImage, s.opacity, s.position, s.filter,
                s.clip, s.clipPath, s.mixBlendMode].join("|");
            const above = look(element.parentElement);
            looks.set(element, own === PLAIN ? above : number(`${above}|${own}`));
        }
        return looks.get(element);
    };
    const text = (element) => [...element.childNodes].filter((node) => node.nodeType === 3)
        .map((node) => node.data.trim()).join("");
    document.querySelectorAll("[data-contrast]").forEach((e) => delete e.dataset.contrast);
    for (const top of document.querySelectorAll(root)) {
        for (const element of [top, ...top.querySelectorAll("*")]) {
            const words = text(element);
            const control = element.matches("input, select, textarea, label, button");
            const visible = element.checkVisibility({ visibilityProperty: true });
            if (!visible || !(words || control)) continue;
            const s = getComputedStyle(element), plain = /[a-z0-9]{2}/i.test(words);
            const disabled = Boolean(element.closest(":disabled, [aria-disabled=true]"));
            const own = [s.color, s.fontSize, s.fontWeight, s.textShadow, s.webkitTextStroke];
            const key = [look(element), control, plain, disabled, ...own].join("|");
            seen.set(key, (seen.get(key) ?? 0) + 1);
            if (seen.get(key) <= 3) element.dataset.contrast = "";
        }
    }
    axe.configure({ rules: [{ id: "color-contrast", selector: "[data-contrast]" }] });
}"""


def violations(
    page: Page, within: str = "html", *, theme: Literal["light", "dark"] | None = None
) -> list[str]:
    """Return what axe finds in parts of a page, a line each: ``impact id: first elements``."""
    if theme:
        page.emulate_media(color_scheme=theme)
        page.evaluate("theme => { document.documentElement.dataset.theme = theme; }", theme)
        page.wait_for_timeout(300)  # colours fade
    if not page.evaluate("Boolean(window.axe)"):
        page.evaluate(AXE_SCRIPT)
    page.evaluate(FEW_OF_EACH_LOOK, within)
    found: dict[str, Any] = page.evaluate(
        "within => axe.run(within, { resultTypes: ['violations'] })", within
    )
    return [
        f"{v['impact']} {v['id']}: {[node['html'][:200] for node in v['nodes'][:4]]}"
        for v in found["violations"]
    ]


def grave(
    page: Page, within: str = "html", *, theme: Literal["light", "dark"] | None = None
) -> list[str]:
    """Return those of :func:`violations` that keep some readers out."""
    found = violations(page, within, theme=theme)
    return [line for line in found if line.startswith(("serious", "critical"))]
