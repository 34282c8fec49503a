"""The layout of every table of text: a number, an id or a status is shown whole or not at all."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.cells import cell_len, set_cell_size

from hpcsweep.terminal_text import one_line, visible

# Characters between two columns.
GAP = 2
# Smallest width to which free text is cut, or wrapped beside the rest of its row.
TEXT_MIN = 20
# Indent of a text below the rest of its row.
HANGING = 4

# A text and its style: a colour, "bold", or "" for none; and the texts of a line.
Styled = tuple[str, str]
StyledLine = list[Styled]


@dataclass(frozen=True, kw_only=True, slots=True)
class LayoutColumn:
    """A column with all of its cells."""

    name: str
    cells: Sequence[str]
    right: bool = False
    # Free text, such as an error's message: it is cut, with an ellipsis, if it does not fit.
    may_be_cut: bool = False

    @property
    def full_width(self) -> int:
        """The width of its widest cell."""
        return max(map(cell_len, (self.name, *self.cells)))

    @property
    def min_width(self) -> int:
        """The width below which it is not shown."""
        short = max(TEXT_MIN, cell_len(self.name))
        return min(self.full_width, short) if self.may_be_cut else self.full_width


def cleaned(column: LayoutColumn) -> LayoutColumn:
    """The column with control characters escaped."""
    return LayoutColumn(
        name=one_line(column.name),
        cells=[one_line(cell) for cell in column.cells],
        right=column.right,
        may_be_cut=column.may_be_cut,
    )


def fitting(columns: Sequence[LayoutColumn], width: int) -> list[LayoutColumn]:
    """The columns that fit beside each other, taken in order; always the first."""
    chosen: list[LayoutColumn] = []
    used = -GAP
    for column in columns:
        if not chosen or used + GAP + column.min_width <= width:
            chosen.append(column)
            used += GAP + column.min_width
    return chosen


def lines(columns: Sequence[LayoutColumn], width: int) -> Iterator[StyledLine]:
    """The lines of a table, beginning with its head."""
    left = width - sum(GAP + column.min_width for column in columns) + GAP
    widths = []
    for column in columns:
        more = min(max(left, 0), column.full_width - column.min_width)
        left -= more
        widths.append(column.min_width + more)
    places = list(zip(columns, widths, strict=True))
    yield [(_joined(_cell(column.name, room, column.right) for column, room in places), "bold")]
    for cells in zip(*(column.cells for column in columns), strict=True):
        row = zip(cells, places, strict=True)
        yield [(_joined(_cell(cell, room, column.right) for cell, (column, room) in row), "")]


def _joined(cells: Iterator[str]) -> str:
    return (" " * GAP).join(cells).rstrip()


def _cell(text: str, width: int, right: bool) -> str:
    room = width - cell_len(text)
    if room < 0:
        return set_cell_size(text, width - 1) + "…"
    return " " * room + text if right else text + " " * room


def facts(rows: Sequence[Sequence[Styled]], width: int) -> Iterator[StyledLine]:
    """Lines of a table without a head, whose last cell is a text that is wrapped and never cut.

    If less than `TEXT_MIN` is left beside the rest of the row, the text stands below it.
    """
    shown = [[(one_line(text), style) for text, style in row[:-1]] for row in rows]
    widths = [max(cell_len(text) for text, _ in column) for column in zip(*shown, strict=True)]
    beside = sum(width + GAP for width in widths)
    fits = width - beside >= TEXT_MIN
    indent = beside if fits else HANGING
    for head, row in zip(shown, rows, strict=True):
        text, style = row[-1]
        line: StyledLine = []
        for (cell, its_style), room in zip(head, widths, strict=True):
            line += [(cell, its_style), (" " * (room - cell_len(cell) + GAP), "")]
        below = list(_wrapped(visible(text), width - indent))
        if fits and below:
            line.append((below.pop(0), style))
        while line and not line[-1][0].strip():  # the gap before a text that is not beside it
            line.pop()
        yield line
        yield from ([(" " * indent, ""), (part, style)] for part in below)


def _wrapped(text: str, width: int) -> Iterator[str]:
    """Wrap a text; a word longer than a line stays whole, so that it can be copied."""
    for line in text.splitlines():
        yield from textwrap.wrap(
            line, max(width, 1), break_long_words=False, break_on_hyphens=False
        )
