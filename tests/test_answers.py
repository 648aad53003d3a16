"""The exercises that answer on their page: as check() does, by keyboard, and remembered."""

from __future__ import annotations

import importlib
import json
import random
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
import torch
from playwright.sync_api import Browser, Locator, Page

import ippy.exercises
from ippy.exercises import EXERCISES, judge
from ippy.exercises.expressions import evaluate

from .accessibility import violations

BOOK = Path(__file__).resolve().parent.parent / "book"
JUDGE = BOOK / "_static" / "answers" / "judge.js"

RUBBISH = [
    "", " ", "\t\n", "...", "?", "b)", "zwei", "1,5", "1.234,5", "1e-3", "1e3", "1E400", "-1e400",
    "inf", "-Infinity", "+NaN", "+-inf", "0x10", "1_000", "5 %", "5%", "-", "+", ".", "1.", ".5",
    "e5", "1e", "--1", "+3", "−3", "٥", "３.５", "58 db", "58.9dB ", "58 DB", "58 m", "62 slices",
    "62 Slices", "62 slice", "1 000", "\u00a07\u2003", "\x1c7\x85", "\ufeff7", "½", "2²", "0", "-0",
    "1e-7", "123456.5", "1000005", "1234565", "0.0001234565", "1e16", "123456789", "-2000",
    "²", "a b", "1 2", "0.1.2", "“62”", "nan nan", "９９９９９９９９", "1e+5", "1e-5 x",
]  # fmt: skip
FORMULAS = [
    "", " ", "1,5", "1", "012.5", "1e999", "x", "sqrt", "sqrt()", "sqrt(2", "sqrt(2)) ", "abs(-2)",
    "log10(0)", "sqrt(-1)", "1/0", "1/(1/(1-1))", "9**9**9**9", "(-8)**(1/3)", "2**-1", "-2**2",
    "2**3**2", "--2", "2-+-3", "2(3)", "(2)(3)", "2sqrt(4)", "2 .5", "3 log10(7)(2)", "ab",
    "a,b", "1 , 2", "max(a,b)", "()", "(", ")", "*", "**", "2 **", "2*/3",
    "exp(1)", "abs(*2)", "1 2", "2^3", "2²", "3·4×5÷6", "7−2", "a=1", "2 3", "if", "1 if 1 else 2",
    "lambda: 1", "__import__('os')", "1_000", "0x1F", "1j", "1e", "1.5.2", "½", "√2", "2\n+3",
    "2\u00a0+ 3", "'1'", "[1]", "1;2", "1#2", "((((((1))))))", "+" * 150 + "1",
    "(" * 90 + "1" + ")" * 90,
    "1+" * 120 + "1", "log10(1000)", "1e-200*1e-200", "2\u200b", "µ", "10 % 3", "7 // 2", "🙂",
]  # fmt: skip


@pytest.fixture(scope="module")
def data() -> Iterator[Any]:
    """The module that packs the files for the page."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(BOOK / "_sphinx")
        yield importlib.import_module("answer_data")


@pytest.fixture(scope="module")
def content(data: Any) -> dict[str, Any]:
    return data.collect(BOOK)


@pytest.fixture(scope="module")
def empty_page(browser: Browser) -> Iterator[Page]:
    """A page with the judge and nothing else."""
    page = browser.new_page()
    page.add_script_tag(path=JUDGE)
    yield page
    page.close()


@pytest.fixture
def both(
    empty_page: Page, content: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> Callable[[str, list[str]], None]:
    """Give Python and the page the same answers, one after the other; they must say the same."""
    entries = {e["name"]: e for found in content["chapters"].values() for e in found}

    def compare(name: str, answers: list[str]) -> None:
        monkeypatch.setattr(ippy.exercises, "_wrong_tries", type(ippy.exercises._wrong_tries)())
        theirs = empty_page.evaluate(
            """([entry, answers, messages]) => {
                let tries = 0;
                return answers.map((answer) => {
                    const said = courseJudge.judge(entry, answer, tries, messages);
                    tries += said.verdict === "wrong";
                    return said;
                });
            }""",
            [entries[name], answers, content["messages"]],
        )
        for answer, said in zip(answers, theirs, strict=True):
            feedback = judge(name, answer)
            ours = {key: getattr(feedback, key) for key in ("verdict", "lead", "text", "hint")}
            if ours["verdict"] == "open":  # there is no cell to run on a page
                ours["text"] = content["messages"]["nothing"]
            ours["text"] = ours["text"].split(" In Python it stands in quotes")[0]
            assert said == ours, (name, answer)

    return compare


@pytest.fixture
def same_points(empty_page: Page, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Formulas are tried in the middle of their ranges, by both."""
    questions = importlib.import_module("ippy.exercises.questions")  # the name is a function's, too
    monkeypatch.setattr(questions, "fresh", lambda dtype: torch.tensor(0.5, dtype=dtype))
    monkeypatch.setattr(questions, "fresh_integer", lambda low, high: low + (high + 1 - low) // 2)
    empty_page.evaluate("() => { window.drawn = Math.random; Math.random = () => 0.5; }")
    yield
    empty_page.evaluate("() => { Math.random = window.drawn; }")


def named(kind: str) -> list[str]:
    return [name for name, exercise in EXERCISES.items() if exercise.kind == kind]


def mistakes(content: dict[str, Any], name: str) -> list[Any]:
    entry = next(e for found in content["chapters"].values() for e in found if e["name"] == name)
    return [entry["value"], *(mistake["value"] for mistake in entry["mistakes"])]


# --- the judge


@pytest.mark.parametrize("name", named("choice"))
def test_letters_are_judged_alike(name: str, both: Callable) -> None:
    both(name, ["a", "b", "c", "d", "A", "(b)", " c. ", "e", "?", "ab", "1", "a", "b", "c", "d"])


@pytest.mark.parametrize("name", named("number"))
def test_numbers_are_judged_alike(name: str, both: Callable, content: dict[str, Any]) -> None:
    known = [float(evaluate(value)) for value in mistakes(content, name)]
    shifts = (0, 1e-3, -1e-3, 0.02, -0.04, 0.3, -0.3, 4, -4, 1000)
    near = [repr(value + shift) for value in known for shift in shifts]
    entry = next(e for c in content["chapters"].values() for e in c if e["name"] == name)
    near += [repr(known[0] + share * entry["tolerance"]) for share in (0.9, 1.1, 9.5, -9.5, 10.5)]
    near += [f"-{number}" for number in near] + [f"{value:.3g} dB" for value in known]
    random.Random(0).shuffle(near)
    both(name, [*RUBBISH, *near])


@pytest.mark.parametrize("name", named("formula"))
def test_formulas_are_judged_alike(name: str, both: Callable, content: dict[str, Any]) -> None:
    known = [str(value) for value in mistakes(content, name)]
    both(name, [*known, *(f"1.1 * ({value})" for value in known), *(f"-({v})" for v in known)])
    both(
        name, [known[0].replace("**", "^"), f"({known[0]}) * 1.0000001", f"({known[0]}) * 1.00001"]
    )


@pytest.mark.parametrize("name", named("formula"))
def test_written_formulas_are_read_alike(
    name: str, both: Callable, same_points: None, content: dict[str, Any]
) -> None:
    symbols = re.findall(r"[a-zA-Z]\w*", " ".join(map(str, mistakes(content, name))))
    pieces = [*symbols, *"+-*/()()^²", "**", "2", "0.5", "1e2", "sqrt(", "abs(", "log10(", " ", "x"]
    drawn = random.Random(name)
    fuzz = ["".join(drawn.choices(pieces, k=drawn.randint(1, 7))) for _ in range(1500)]
    one = symbols[0]
    both(name, [*FORMULAS, one, f"2{one}", f"{one}(2)", f"1/({one}-{one})", f"-{one}**2", *fuzz])


def test_repeated_tries_bring_every_hint_and_then_the_last_again(both: Callable) -> None:
    both("step-size", ["1"] * 6)
    both("rounding", ["1", "zwei", "2", "58.9", "3", "", "4", "5"])
    both("residual-start", ["a", "a", "b", "c", "d"])


# --- what the page is given


def test_the_page_gets_what_the_files_say(data: Any, content: dict[str, Any], html: Path) -> None:
    stored = data.unpacked((html / data.SCRIPT).read_text(encoding="utf-8"))
    assert stored == content
    names = {entry["name"] for found in stored["chapters"].values() for entry in found}
    assert names == {name for name, exercise in EXERCISES.items() if exercise.kind != "code"}
    for path in html.rglob("*.js"):
        if path.parent.name == "answers":
            text = path.read_text(encoding="utf-8")
            assert not [e for e in EXERCISES.values() if e.kind != "code" and e.why in text], path


def test_students_get_hints_without_reasons(data: Any, content: dict[str, Any]) -> None:
    kept = data.unpacked(data.packed(data.without_reasons(content)))
    entries = [entry for found in kept["chapters"].values() for entry in found]
    assert len(entries) == 18
    assert all(entry["hints"] and "why" not in entry for entry in entries)
    assert all("why" in entry for found in content["chapters"].values() for entry in found)


def test_programs_lead_to_where_they_run(
    data: Any, monkeypatch: pytest.MonkeyPatch, html: Path
) -> None:
    places = importlib.import_module("answers")._places
    monkeypatch.delenv("GITHUB_REPOSITORY", raising=False)
    assert "://" not in places() and "jupyter lab book/exercises.ipynb" in places()
    page = (html / "book" / "exercises.html").read_text(encoding="utf-8")
    assert page.count(places()) == len(named("code")) == 16

    monkeypatch.setenv("GITHUB_REPOSITORY", "someone/course")
    monkeypatch.setenv("GITHUB_REF_NAME", "a/b")
    assert 'href="https://mybinder.org/v2/gh/someone/course/a%2Fb?' in places()
    assert "urlpath=lab/tree/book/exercises.ipynb" in places()
    colab = "https://colab.research.google.com/github/someone/course/blob/a/b/book/exercises.ipynb"
    assert f'href="{colab}"' in places()
    assert "## In the browser, with nothing installed" in (BOOK / "how_long.md").read_text(
        encoding="utf-8"
    ), "the place that the link for Colab leads to"


# --- the page


@pytest.fixture(params=["http", "file"])
def opened(
    request: pytest.FixtureRequest, browser: Browser, html: Path, site: str
) -> Iterator[Page]:
    """The page of exercises, from a server and from the disk, with nothing else in reach."""
    base = site if request.param == "http" else html.as_uri() + "/"
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page, errors, asked = context.new_page(), [], []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda said: said.type == "error" and errors.append(said.text))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{base}book/exercises.html")
    yield page
    assert not errors
    assert not [url for url in asked if not url.startswith((base, "data:"))]
    context.close()


def form(page: Page, name: str) -> Locator:
    return page.locator(f'.answer-form[data-exercise="{name}"]')


def said(page: Page, name: str) -> str:
    return form(page, name).get_by_role("status").inner_text()


def test_a_letter_is_answered_by_keyboard(opened: Page) -> None:
    radios = form(opened, "residual-start").get_by_role("radio")
    assert radios.count() == 4
    assert form(opened, "residual-start").get_by_role("form").count() == 1, "it has a name"
    radios.first.focus()
    opened.keyboard.press("Space")
    opened.keyboard.press("Enter")
    assert "Zero is what the last layer puts out" in said(opened, "residual-start")
    assert "Hint 1 of 2" in said(opened, "residual-start")
    opened.keyboard.press("ArrowDown")
    opened.keyboard.press("Tab")
    opened.keyboard.press("Enter")  # the button
    assert "Hint 2 of 2" in said(opened, "residual-start")
    radios.nth(2).check()
    opened.keyboard.press("Enter")
    assert said(opened, "residual-start").startswith("Right. A residual network starts")
    assert form(opened, "residual-start").get_by_text("✓ Solved").is_visible()
    assert form(opened, "key-bias").locator(".katex").count() == 2, "formulas stay set"


def test_a_number_and_a_formula_are_answered(opened: Page) -> None:
    field = form(opened, "rounding").get_by_label("Your answer")
    for answer, words in {
        "": "Not answered yet.", "58,9": "Decimals are written with a point", "52.9": "Hint 1 of 3",
        "58.92 dB": "Right.",
    }.items():  # fmt: skip
        field.fill(answer)
        field.press("Enter")
        assert words in said(opened, "rounding")
    field = form(opened, "step-size").get_by_label("Your formula, with norm")
    field.fill("1/norm^2")
    field.press("Enter")
    assert "This is half of it" in said(opened, "step-size")
    field.fill("2/norm²")
    form(opened, "step-size").get_by_role("button", name="Check").click()
    assert said(opened, "step-size").startswith("Right.")


def test_what_is_solved_is_remembered_until_it_is_forgotten(
    browser: Browser, site: str, root: Path
) -> None:
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"{site}book/exercises.html")
    everything = page.locator(".course-progress").first
    assert "0 of 18 exercises that answer online" in everything.inner_text()
    assert "Kept in this browser only." in everything.inner_text()
    assert not everything.get_by_role("button").is_visible()
    form(page, "rounding").get_by_label("Your answer").fill("58.92")
    form(page, "rounding").get_by_role("button", name="Check").click()
    form(page, "many-tests").get_by_label("Your answer").fill("7")  # wrong
    form(page, "many-tests").get_by_role("button", name="Check").click()

    page.goto(f"{site}book/image_quality_metrics.html")
    line = page.locator(".course-progress")
    assert line.inner_text().startswith("Solved: 0 of 3 quick questions, 1 of 3 exercises")
    page.locator('.Quiz label[data-correct="false"] input').first.click(force=True)
    assert "0 of 3 quick" in line.inner_text()
    page.locator('.Quiz label[data-correct="true"] input').nth(1).click(force=True)
    assert "1 of 3 quick" in line.inner_text()
    assert [mark.is_visible() for mark in page.locator(".Quiz .course-solved").all()] == [
        False, True, False,
    ]  # fmt: skip

    line.get_by_role("link", name="exercises that answer online").click()
    page.wait_for_url("**/exercises.html#image-quality-metrics")
    assert "1 of 18 exercises" in everything.inner_text()
    metrics = page.locator("#image-quality-metrics > .course-progress")
    assert "1 of 3 quick questions, 1 of 3 exercises" in metrics.inner_text()
    assert form(page, "rounding").get_by_text("✓ Solved").is_visible()
    other = context.new_page()
    other.goto(f"{site}book/exercises.html")
    everything.get_by_role("button", name="Forget it").click()
    files = (root / "book" / "quizzes").glob("*.json")
    questions = sum(len(json.loads(path.read_text(encoding="utf-8"))) for path in files)
    other.get_by_text(f"Solved: 0 of {questions} quick questions, 0 of 18 exercises").wait_for()
    page.reload()
    assert "0 of 18 exercises" in everything.inner_text()
    assert not form(page, "rounding").get_by_text("✓ Solved").is_visible()
    context.close()


REFUSED = """Object.defineProperty(window, "localStorage", {
    get() { throw new DOMException("refused", "SecurityError"); } });"""
FULL = (
    "Storage.prototype.setItem = () => { throw new DOMException('full', 'QuotaExceededError'); };"
)
BROKEN = "localStorage.setItem('vision-transformers-course', '{broken');"


@pytest.mark.parametrize(
    ("script", "kept"), [(REFUSED, False), (FULL, False), (BROKEN, True)],
    ids=["refused", "full", "broken"],
)  # fmt: skip
def test_it_goes_on_where_nothing_can_be_remembered(
    browser: Browser, site: str, script: str, kept: bool
) -> None:
    context = browser.new_context()
    context.add_init_script(script)
    page, errors = context.new_page(), []
    page.on("pageerror", lambda error: errors.append(error.stack or ""))
    page.goto(f"{site}book/exercises.html")
    form(page, "rounding").get_by_label("Your answer").fill("58.92")
    form(page, "rounding").get_by_label("Your answer").press("Enter")
    line = page.locator(".course-progress").first
    assert "1 of 18 exercises" in line.inner_text()
    assert line.get_by_role("button").is_visible() == kept
    assert ("does not remember it" in line.inner_text()) != kept
    assert not [where for where in errors if "/answers/" in where], "the theme has its own troubles"
    context.close()


def test_answers_on_a_phone(browser: Browser, site: str) -> None:
    context = browser.new_context(viewport={"width": 360, "height": 780}, color_scheme="dark")
    page = context.new_page()
    page.goto(f"{site}book/exercises.html")
    for name, answer in {"rounding": "58.92", "many-tests": "7", "crossover": "1,5"}.items():
        form(page, name).get_by_label("Your answer").fill(answer)
        form(page, name).get_by_label("Your answer").press("Enter")
    form(page, "ambiguity").get_by_label("Your formula").fill("p+" * 200)
    form(page, "ambiguity").get_by_role("button").click()
    form(page, "key-bias").get_by_role("radio").last.check()
    form(page, "key-bias").get_by_role("button").click()
    form(page, "loss-values").get_by_role("button").click()  # no answer
    classes = page.locator(".answer-feedback:not(:empty)").evaluate_all(
        "boxes => boxes.map(box => box.className.split('answer-').at(-1))"
    )
    assert set(classes) == {"right", "wrong", "unusable", "open"}
    page.locator("details.answer-cells").first.locator("summary").click()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    controls = page.locator(".answer-form button, .answer-option, .answer-line input")
    boxes = controls.evaluate_all("""controls => controls.map((control) => {
        const { x, width, height } = control.getBoundingClientRect();
        return { x, width, height };
    })""")
    assert boxes
    for box in boxes:
        assert box["height"] >= 24 and box["x"] >= 0 and box["x"] + box["width"] <= 360
    parts = ".answer-form, .course-progress, .answer-elsewhere, .answer-cells"
    for theme in ("dark", "light"):
        assert not violations(page, parts, theme=theme)
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
    context.close()


def test_without_scripts_the_questions_and_cells_are_there(browser: Browser, html: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto((html / "book" / "exercises.html").as_uri())
    assert page.get_by_text("Exactly that of the measurement.").is_visible()
    assert page.locator("details.answer-cells summary").count() == 18
    assert page.locator("details.answer-cells .cell").count() == 36, "two cells in each"
    context.close()


def test_other_pages_load_nothing_of_it(html: Path) -> None:
    loaded = {
        path.stem: set(re.findall(r"answers/([\w.]+)\?", path.read_text(encoding="utf-8")))
        for path in (html / "book").glob("*.html")
    }
    with_quiz = {p.stem for p in (BOOK / "quizzes").glob("*.json")}
    line = {"progress.js", "answers.css"}
    for name, files in loaded.items():
        if name == "exercises":
            assert files == line | {"judge.js", "data.js", "forms.js"}
        else:
            assert files == (line if name in with_quiz else set()), name


def test_each_quiz_is_counted(content: dict[str, Any]) -> None:
    """The line finds its chapter by the cell that shows the questions."""
    for path in sorted(BOOK.glob("quizzes/*.json")):
        cells = nbformat.read(BOOK / f"{path.stem}.ipynb", as_version=4).cells
        assert sum(f'\nquiz("{path.stem}")' in cell.source for cell in cells) == 1
