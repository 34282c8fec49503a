"""What the documentation site has beyond the pages in docs/, as hooks of mkdocs.

Links that leave docs/ lead to the repository; the reference of the command line is made from click.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[2]
SOURCE_URL = "https://github.com/hpcsweep/hpcsweep/blob/main/"
LINK = re.compile(r"(?<=\])\((?P<path>[^()\s#:]+)(?P<anchor>#[^()\s]*)?\)")
CODE_WITH_PIPES = re.compile(r"`[^`\n]*\\\|[^`\n]*`")


def on_page_markdown(markdown: str, page: Any, **_: object) -> str:
    """The text of a page for Python-Markdown, which differs from GitHub's in two things."""
    folder = (REPOSITORY / "docs" / page.file.src_uri).parent
    markdown = LINK.sub(lambda link: _link(link, folder), markdown)
    # In a table GitHub takes the backslash before a pipe away in code, too.
    return CODE_WITH_PIPES.sub(lambda code: code[0].replace("\\|", "|"), markdown)


def _link(link: re.Match[str], folder: Path) -> str:
    """A link, or one into the repository if its file is there and outside of docs/."""
    path = Path(os.path.normpath(folder / link["path"]))
    if not path.exists() or path.is_relative_to(REPOSITORY / "docs"):
        return link[0]
    inside = path.relative_to(REPOSITORY)
    return f"({SOURCE_URL}{inside}{link['anchor'] or ''})"
