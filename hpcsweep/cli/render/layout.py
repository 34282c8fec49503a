"""Tables on a terminal: a number, an id or a status is shown whole or not at all."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from hpcsweep.terminal_text import one_line, visible

# Characters between two columns.
GAP = 2
# Free text is cut, or wrapped beside the rest of its row, down to so many characters.
TEXT_MIN = 20
# What stands below the rest of its row begins here.
HANGING = 4

# A text, and the style that rich gives it.
Styled = tuple[str, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class LayoutColumn:
    """A column with all of its cells."""

    name: str
    cells: Sequence[str]
    right: bool = False
    # Free text, such as an error's message: what does not fit of it may be cut, visibly.
    may_be_cut: bool = False

    @property
    def natural(self) -> int:
        """The width of its widest cell."""
        return max(map(cell_len, (self.name, *self.cells)))

    @property
    def least(self) -> int:
        """The width below which it is not shown."""
        short = max(TEXT_MIN, cell_len(self.name))
        return min(self.natural, short) if self.may_be_cut else self.natural


def cleaned(column: LayoutColumn) -> LayoutColumn:
    """A column of texts that we did not write."""
    return LayoutColumn(
        name=one_line(column.name),
        cells=[one_line(cell) for cell in column.cells],
        right=column.right,
        may_be_cut=column.may_be_cut,
    )


def fitting(columns: Sequence[LayoutColumn], width: int) -> list[LayoutColumn]:
    """As many columns as fit beside each other, the first ones first; the first in any case."""
    chosen: list[LayoutColumn] = []
    used = -GAP
    for column in columns:
        if not chosen or used + GAP + column.least <= width:
            chosen.append(column)
            used += GAP + column.least
    return chosen


def lines(columns: Sequence[LayoutColumn], width: int) -> Iterator[Text]:
    """The lines of a table, its head first."""
    left = width - sum(GAP + column.least for column in columns) + GAP
    widths = []
    for column in columns:
        more = min(max(left, 0), column.natural - column.least)
        left -= more
        widths.append(column.least + more)
    places = list(zip(columns, widths, strict=True))
    yield Text(_joined(_cell(one.name, room, one.right) for one, room in places), style="bold")
    for cells in zip(*(one.cells for one in columns), strict=True):
        row = zip(cells, places, strict=True)
        yield Text(_joined(_cell(cell, room, one.right) for cell, (one, room) in row))


def _joined(cells: Iterator[str]) -> str:
    return (" " * GAP).join(cells).rstrip()


def _cell(text: str, width: int, right: bool) -> str:
    room = width - cell_len(text)
    if room < 0:
        return set_cell_size(text, width - 1) + "…"
    return " " * room + text if right else text + " " * room


def facts(rows: Sequence[Sequence[Styled]], width: int) -> Iterator[Text]:
    """Rows without a head, whose last cell is a text that is wrapped and never cut.

    Where hardly any room is left beside the rest of the row, the text stands below it.
    """
    shown = [[(one_line(text), style) for text, style in row[:-1]] for row in rows]
    widths = [max(cell_len(text) for text, _ in column) for column in zip(*shown, strict=True)]
    beside = sum(width + GAP for width in widths)
    fits = width - beside >= TEXT_MIN
    indent = beside if fits else HANGING
    for head, row in zip(shown, rows, strict=True):
        text, style = row[-1]
        line = Text()
        for (cell, its_style), room in zip(head, widths, strict=True):
            line.append(cell, its_style).append(" " * (room - cell_len(cell) + GAP))
        below = list(_wrapped(visible(text), width - indent))
        if fits and below:
            line.append(below.pop(0), style)
        line.rstrip()
        yield line
        yield from (Text(" " * indent).append(one, style) for one in below)


def _wrapped(text: str, width: int) -> Iterator[str]:
    """A text in lines; a word that is longer than a line stays whole, for whoever copies it."""
    for line in text.splitlines():
        yield from textwrap.wrap(
            line, max(width, 1), break_long_words=False, break_on_hyphens=False
        )
