"""The tables of a page of the documentation."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tests.support.console_blocks import without_fenced

Head = tuple[str, ...]
_TABLE = re.compile(r"^(\|.*\|)\n\|[ :|-]+\|\n((?:\|.*\n)*)", re.MULTILINE)


def tables(text: str) -> Iterator[tuple[Head, list[list[str]]]]:
    """The titles and the rows of each table."""
    for head, body in _TABLE.findall(without_fenced(text)):
        yield tuple(_cells(head)), [_cells(line) for line in body.splitlines()]


def rows(text: str, *titles: str) -> list[list[str]]:
    """The cells of the table that has these titles."""
    (found,) = (body for head, body in tables(text) if head == titles)
    return found


def plain(cell: str) -> str:
    """A cell without its backquotes."""
    return cell.replace("`", "")


def quoted(cell: str) -> list[str]:
    """What stands in backquotes in a cell, as far as it is a name."""
    return re.findall(r"`(\*{0,2}[\w.-]+)", cell)


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
