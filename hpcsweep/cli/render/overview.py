"""Print the sweeps of a directory."""

from __future__ import annotations

from hpcsweep.cli.render.console import print_facts, print_line
from hpcsweep.cli.render.layout import Styled
from hpcsweep.quantities import duration, size_text
from hpcsweep.state.overview import EntryKind, Overview
from hpcsweep.state.summary import counts_text

HEAD = ("name", "cases", "age", "size", "state")
# From two days on an age is in days.
DAY_S = 86_400.0
_KINDS = {
    EntryKind.LOCAL: "runs of `hpcsweep run`",
    EntryKind.OTHER: "not a sweep",
    EntryKind.REMOVED: "left by a removal or copy that was interrupted",
}
_COLOURS = {EntryKind.DAMAGED: "red"}


def print_overviews(entries: list[Overview]) -> None:
    """Print a row for each entry, the state last: it is wrapped and never cut."""
    if not entries:
        print_line("no sweeps")
        return
    rows = [_cells(entry) for entry in entries]
    styles = ["bold", *(_COLOURS.get(entry.kind, "") for entry in entries)]
    columns = [
        _aligned(column) for column in zip(HEAD[:-1], *(row[:-1] for row in rows), strict=True)
    ]
    states = [HEAD[-1], *(row[-1] for row in rows)]
    lines: list[list[Styled]] = [
        [(cell, style) for cell in line]
        for *line, style in zip(*columns, states, styles, strict=True)
    ]
    print_facts(lines)


def _aligned(column: tuple[str, ...]) -> list[str]:
    """The names to the left, numbers to the right."""
    width = max(map(len, column))
    return list(column) if column[0] == HEAD[0] else [cell.rjust(width) for cell in column]


def _cells(entry: Overview) -> list[str]:
    state = _KINDS.get(entry.kind) or counts_text(entry.counts)
    return [
        entry.name,
        "" if entry.cases is None else str(entry.cases),
        "" if entry.age_s is None else _age(entry.age_s),
        "" if entry.size_bytes is None else size_text(entry.size_bytes),
        "; ".join(filter(None, (state, entry.note))),
    ]


def _age(seconds: float) -> str:
    return f"{seconds / DAY_S:.0f} d" if seconds >= 2 * DAY_S else duration(max(0.0, seconds))
