"""Progress for people: a bar on a terminal, a line whenever the counts change elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Column
from rich.text import Text

from hpcsweep.records import Status
from hpcsweep.state.status import Summary
from hpcsweep.terminal_text import visible

# Characters of the bar: at least, and at most.
BAR_WIDTHS = (10, 40)


def counts_line(summary: Summary) -> str:
    """The counts in one line: `4 complete, 1 failed, 1 pending of 6`."""
    counts = ((summary.counts.get(status, 0), status) for status in Status)
    parts = [f"{number} {status.value}" for number, status in counts if number]
    return f"{', '.join(parts) or 'nothing'} of {summary.n_cases}"


@contextmanager
def progress_bar(
    console: Console | None = None, *, show: bool = True
) -> Iterator[Callable[[Summary], None]]:
    """A function to be called with every look; it shows, on standard error, what changed."""
    console = console or Console(stderr=True, highlight=False)
    if not show:
        yield lambda _: None
    elif not console.is_terminal:
        yield _lines()
    else:
        with Progress(console=console) as bar:
            task = bar.add_task("", total=None)
            seen: set[str] = set()

            def update(found: Summary) -> None:
                done = sum(found.counts.get(status, 0) for status in Status if status.is_final)
                text = counts_line(found)
                # Looked at every time: people change the size of their windows.
                bar.columns = _columns(text, f"{done}/{found.n_cases}", console.width)
                bar.update(task, total=found.n_cases, completed=done, description=text)
                for sentence in new_sentences(found, seen):
                    bar.console.print(Text(sentence), soft_wrap=True)

            yield update


def _columns(text: str, done: str, width: int) -> tuple[ProgressColumn, ...]:
    """The counts whole, and wrapped if need be; beside them a bar if there is room for one."""
    elapsed = TimeElapsedColumn(table_column=Column(no_wrap=True))
    room = width - len(f"{done} {text} 00:00:00 ")
    if room < min(BAR_WIDTHS):
        return TextColumn("{task.description}", table_column=Column(overflow="fold")), elapsed
    bar = BarColumn(bar_width=min(room, max(BAR_WIDTHS)))
    return bar, MofNCompleteColumn(), TextColumn("{task.description}"), elapsed


def new_sentences(found: Summary, seen: set[str]) -> list[str]:
    """What keeps tasks waiting that does not pass by itself, that is not in `seen`; adds it."""
    news = [visible(sentence) for sentence in found.stuck if sentence not in seen]
    seen.update(found.stuck)
    return news


def _lines() -> Callable[[Summary], None]:
    last = ""
    seen: set[str] = set()

    def update(found: Summary) -> None:
        nonlocal last
        text = counts_line(found)
        lines = [text] if text != last else []
        last = text
        for line in (*lines, *new_sentences(found, seen)):
            sys.stderr.write(line + "\n")
            sys.stderr.flush()

    return update
