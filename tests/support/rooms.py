"""The diagram and the table of docs/rooms.md, made from what the import linter enforces.

python -m tests.support.rooms        writes them into the page
"""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
PAGE = REPOSITORY / "docs" / "rooms.md"
BEGIN = "<!-- begin: made by `python -m tests.support.rooms` -->\n"
END = "<!-- end -->\n"


def floors() -> list[list[str]]:
    """The rooms of each floor, the highest floor first; those that are there."""
    with (REPOSITORY / "pyproject.toml").open("rb") as stream:
        contracts = tomllib.load(stream)["tool"]["importlinter"]["contracts"]
    (layers,) = (one["layers"] for one in contracts if one.get("containers") == ["hpcsweep"])
    named = [[room.strip(" ()") for room in layer.split("|")] for layer in layers]
    existing = [[room for room in floor if _file(room).exists()] for floor in named]
    return [floor for floor in existing if floor]


def drawn() -> str:
    """A Mermaid flow chart and a table, in Markdown."""
    boxes = [
        f'    f{number}["{" · ".join(floor)}"]' for number, floor in enumerate(floors(), start=1)
    ]
    arrows = " --> ".join(f"f{number}" for number in range(1, len(boxes) + 1))
    rows = [
        f"| {number} | `{room}` | {_first_line(room)} |"
        for number, floor in enumerate(floors(), start=1)
        for room in floor
    ]
    lines = ["```mermaid", "flowchart TB", *boxes, f"    {arrows}", "```", ""]
    lines += ["| floor | room | what it says of itself |", "|---|---|---|", *rows]
    return "\n".join(lines) + "\n"


def parts(page: str) -> tuple[str, str, str]:
    """The text before the generated part of the page, that part, and the text after it."""
    before, begin, rest = page.partition(BEGIN)
    made, end, after = rest.partition(END)
    assert all((begin, end)), f"{PAGE} has lost its marks"
    return before + begin, made, end + after


def _file(room: str) -> Path:
    package = REPOSITORY / "hpcsweep" / room
    return package / "__init__.py" if package.is_dir() else package.with_suffix(".py")


def _first_line(room: str) -> str:
    text = ast.get_docstring(ast.parse(_file(room).read_text())) or ""
    return text.splitlines()[0].replace("|", "\\|")


if __name__ == "__main__":
    head, _, tail = parts(PAGE.read_text())
    PAGE.write_text(head + drawn() + tail)
