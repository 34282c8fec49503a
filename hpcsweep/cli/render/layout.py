"""The layout of every table of text: a number, an id or a status is shown whole or not at all.

Text is wrapped inside its column.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest

from rich.cells import cell_len, chop_cells, set_cell_size

from hpcsweep.terminal_text import one_line, visible

# Characters between two columns.
GAP = 2
# Smallest width to which text is wrapped, in its column or beside the rest of its row.
TEXT_MIN = 20
# Lines of a wrapped cell; the last of more ends with an ellipsis.
CELL_LINES = 8
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
    # Text, such as an error's message, that is wrapped if it does not fit.
    may_wrap: bool = False

    @property
    def full_width(self) -> int:
        """The width of its widest cell."""
        return max(map(cell_len, (self.name, *self.cells)))

    @property
    def min_width(self) -> int:
        """The width below which it is not shown."""
        short = max(TEXT_MIN, cell_len(self.name))
        return min(self.full_width, short) if self.may_wrap else self.full_width


def cleaned(column: LayoutColumn) -> LayoutColumn:
    """The column with control characters escaped."""
    return replace(
        column, name=one_line(column.name), cells=[one_line(cell) for cell in column.cells]
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
    widths = _widths(columns, width - GAP * (len(columns) - 1))
    yield [(_joined([column.name for column in columns], columns, widths), "bold")]
    for cells in zip(*(column.cells for column in columns), strict=True):
        wrapped = [_in_cell(cell, room) for cell, room in zip(cells, widths, strict=True)]
        for parts in zip_longest(*wrapped, fillvalue=""):
            yield [(_joined(parts, columns, widths), "")]


def _widths(columns: Sequence[LayoutColumn], width: int) -> list[int]:
    """The width of each column: the room that is left goes to the narrowest wrapped ones first."""
    widths = [column.min_width for column in columns]
    left = width - sum(widths)
    wrapped = [at for at, column in enumerate(columns) if column.full_width > widths[at]]
    for count, at in enumerate(sorted(wrapped, key=lambda at: columns[at].full_width)):
        share = max(left, 0) // (len(wrapped) - count)
        more = min(share, columns[at].full_width - widths[at])
        widths[at] += more
        left -= more
    return widths


def _joined(parts: Sequence[str], columns: Sequence[LayoutColumn], widths: Sequence[int]) -> str:
    padded = []
    for text, column, width in zip(parts, columns, widths, strict=True):
        padding = " " * (width - cell_len(text))
        padded.append(padding + text if column.right else text + padding)
    return (" " * GAP).join(padded).rstrip()


def _in_cell(text: str, width: int) -> list[str]:
    """The lines of a cell: broken at spaces, and inside of words that are longer than a line."""
    if cell_len(text) <= width:
        return [text]
    texts = [""]
    for word in text.split():
        *full, rest = chop_cells(word, width)
        joined = f"{texts[-1]} {word}" if texts[-1] else word
        if cell_len(joined) <= width:
            texts[-1] = joined
        else:
            texts += [*full, rest]
    texts = list(filter(None, texts))
    if len(texts) > CELL_LINES:
        last = set_cell_size(texts[CELL_LINES - 1], width - 1).rstrip()
        texts[CELL_LINES - 1 :] = [f"{last}…"]
    return texts


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
