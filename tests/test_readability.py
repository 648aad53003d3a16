"""The pages are easy to read for those whose first language is another."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest

made = runpy.run_path(str(Path(__file__).resolve().parent.parent / "book" / "readability.py"))

MARKED_UP = """\
# A heading is no sentence

The **mean** of $x_i$ is `x.mean()`,
see {ref}`the metrics <iqm>` and [this page](page.md) {cite}`a`:

```{math}
:label: eq
y = Kx
```

| a | table |
|---|---|
| of | words |

:::{admonition} Title
:class: tip

- A point of 0.5 dB
- D. Evangelista et al. wrote it!
:::

```python
print("code")
```
"""


@pytest.mark.parametrize("page", made["pages"]())
def test_a_page_is_quite_easy(page: str) -> None:
    score = made["eflaw"](made["source"](page))
    assert score <= made["HARDEST"], (
        f"{page}: EFLAW {score:.1f}, at most {made['HARDEST']}: see what is hard with "
        f"`python book/readability.py {page}`"
    )


def test_the_prose_is_what_is_left_without_markup_code_and_formulas() -> None:
    assert made["paragraphs"](MARKED_UP) == [
        "The mean of symbol is symbol, see the metrics and this page.",
        "A point of 05 dB.",
        "D Evangelista et al wrote it!",
    ]


def test_long_sentences_of_small_words_are_hard() -> None:
    easy = "The network restores the slice. It learned this from examples."
    hard = "It is as if it had to be in on it or to go at it by way of all of the rest of it."
    assert made["eflaw"](easy) < 10 < made["HARDEST"] < made["eflaw"](hard)


def test_the_command_has_a_row_a_page(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["readability.py", "introduction"])
    made["main"]()
    table, *paragraphs = capsys.readouterr().out.split("\n\n")
    assert sorted(line.split()[0] for line in table.splitlines()[1:]) == sorted(made["pages"]())
    assert len(paragraphs) == 10
    hardness = [int(text.split(":")[0]) for text in paragraphs]
    assert hardness == sorted(hardness, reverse=True)
