"""What the documentation site has beyond the pages in docs/, as hooks of mkdocs.

Links that leave docs/ lead to the repository; pages of the reference are made from click, the
manifest's schema and the docstrings.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File

import hpcsweep
from hpcsweep.cli.manual import CommandEntry, entries
from tests.support import schema_page
from tests.support.docstrings import FOREIGN

REPOSITORY = Path(__file__).parents[2]
SOURCE_URL = "https://github.com/hpcsweep/hpcsweep/blob/main/"
LINK = re.compile(r"(?<=\])\((?P<path>[^()\s#:]+)(?P<anchor>#[^()\s]*)?\)")
# GitHub draws these; here that would take a library of 3 MB.
DIAGRAM = re.compile(r"^```mermaid\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE)
CHANGE = re.compile(r"^ +(\S+) --> (\w+)(?:: (.*))?$", re.MULTILINE)
# Public classes whose methods are in several classes, by what they do.
OF_SEVERAL_CLASSES = ("Logbook", "ParameterSource", "Sweep")
CODE_WITH_PIPES = re.compile(r"`[^`\n]*\\\|[^`\n]*`")


def on_files(files: Any, config: Any) -> None:
    """Add the pages of commands, of the manifest's schema and of public names."""
    made = {"commands": _commands(), "schema": schema_page.lines(), "names": _names()}
    for name, lines in made.items():
        text = "\n".join(lines)
        files.append(File.generated(config, f"reference/{name}.md", content=text))


def on_page_markdown(markdown: str, page: Any, **_: object) -> str:
    """The text of a page for Python-Markdown, which differs from GitHub's in three things."""
    folder = (REPOSITORY / "docs" / page.file.src_uri).parent
    markdown = LINK.sub(lambda link: _link(link, folder), markdown)
    markdown = DIAGRAM.sub(lambda diagram: _diagram(diagram["text"]), markdown)
    # In a table GitHub takes the backslash before a pipe away in code, too.
    return CODE_WITH_PIPES.sub(lambda code: code[0].replace("\\|", "|"), markdown)


def _diagram(text: str) -> str:
    """A diagram of states as a table; of another one the page has the table already."""
    if not text.startswith("stateDiagram"):
        return ""
    cells = {"[*]": "(new)"}
    rows = [
        f"| {cells.get(start, f'`{start}`')} | `{end}` | {how or ''} |"
        for start, end, how in CHANGE.findall(text)
    ]
    return "\n".join(["| from | to | when |", "|---|---|---|", *rows])


def _link(link: re.Match[str], folder: Path) -> str:
    """A link, or one into the repository if its file is there and outside of docs/."""
    path = Path(os.path.normpath(folder / link["path"]))
    if not path.exists() or path.is_relative_to(REPOSITORY / "docs"):
        return link[0]
    inside = path.relative_to(REPOSITORY)
    return f"({SOURCE_URL}{inside}{link['anchor'] or ''})"


def _commands() -> Iterator[str]:
    yield "# Commands\n"
    yield "What `--help` and `man` print; [the command line](cli.md) explains it.\n"
    for entry in list(entries())[1:]:
        yield from _command(entry)


def _command(entry: CommandEntry) -> Iterator[str]:
    """The section of one command."""
    yield f"## `{entry.name}`\n"
    yield f"```text\n{entry.name} {entry.usage}\n```\n"
    yield from (f"{paragraph}\n" for paragraph in entry.text)
    yield "```sh\n" + "\n".join(entry.examples) + "\n```\n"
    rows = entry.options + entry.commands
    yield "| option | meaning |\n|---|---|"
    for left, right in rows:
        yield f"| `{left}` | {schema_page.cell(right)} |"
    yield ""


def _names() -> Iterator[str]:
    """All public names, which mkdocstrings describes from their docstrings."""
    yield "# Public names\n"
    yield (
        "What the docstrings say; [Python](python.md) shows the names at work. In the examples "
        "`hs` is `hpcsweep`, `sweep` is the one of that page, `executor` is an `hs.Executor` that "
        "has made the calls `pow(2, 5)` and `pow(3, 2)`, `store` is an `hs.Store` of squares, and "
        "`log` is an `hs.Logbook`.\n"
    )
    for name in sorted(set(hpcsweep.__all__) - FOREIGN - {"sources"}, key=str.lower):
        yield f"::: hpcsweep.{name}"
        yield "    options: { inherited_members: true }\n" if name in OF_SEVERAL_CLASSES else ""
