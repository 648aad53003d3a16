"""Launch buttons and "edit this page", where the book is built from a repository on GitHub.

GitHub's runners name the repository in their environment; a build at home has no such name, and
then no button leads nowhere.
"""

from __future__ import annotations

import os
import re

from sphinx.application import Sphinx
from sphinx.config import Config

ONLY_THERE = re.compile(r"^% only on GitHub\n.*?^% end\n", re.DOTALL | re.MULTILINE)
PLACEHOLDER = "https://github.com/OWNER/REPOSITORY"


def address() -> str | None:
    """Return the repository's address, or None outside of GitHub."""
    name = os.environ.get("GITHUB_REPOSITORY")
    return f"{os.environ.get('GITHUB_SERVER_URL', 'https://github.com')}/{name}" if name else None


def branch() -> str:
    """Return the branch that is built, on GitHub."""
    return os.environ.get("GITHUB_REF_NAME", "main")


def add_buttons(app: Sphinx, config: Config) -> None:
    """Tell the theme where the sources are and who can run them."""
    if repository := address():
        config.html_theme_options |= {
            "repository_url": repository,
            "repository_branch": branch(),
            "path_to_docs": "",
            "use_repository_button": True,
            "use_issues_button": True,
            "use_edit_page_button": True,
            "launch_buttons": {
                "binderhub_url": "https://mybinder.org",
                "colab_url": "https://colab.research.google.com",
                "notebook_interface": "jupyterlab",
            },
        }


def name_repository(app: Sphinx, page: str, source: list[str]) -> None:
    """Put the repository's address into commands that readers copy, or leave them out."""
    if repository := address():
        source[0] = source[0].replace(PLACEHOLDER, repository)
    else:
        source[0] = ONLY_THERE.sub("", source[0])


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect both to Sphinx."""
    app.connect("config-inited", add_buttons)
    app.connect("source-read", name_repository)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
