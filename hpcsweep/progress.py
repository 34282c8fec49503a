"""Draw the progress of a wait: a bar on a terminal and in a notebook, else lines of changes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING

from hpcsweep.html_table import bar_html
from hpcsweep.records import Status
from hpcsweep.state.remarks import waiting_lines
from hpcsweep.state.summary import Summary
from hpcsweep.terminal_text import visible

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import ProgressColumn

# Smallest and largest width of the bar, in characters.
BAR_WIDTHS = (10, 40)


@contextmanager
def progress_bar(
    console: Console | None = None, *, show: bool = True
) -> Iterator[Callable[[Summary], None]]:
    """Yield a function that takes each summary and shows on standard error what changed."""
    # 20 ms, which a program that never waits is spared.
    from rich.console import Console  # noqa: PLC0415

    console = console or Console(stderr=True, highlight=False)
    if not show:
        yield lambda _: None
    elif console.is_jupyter:
        yield _notebook_bar()
    elif not console.is_terminal:
        yield print_changes()
    else:
        from rich.progress import Progress  # noqa: PLC0415
        from rich.text import Text  # noqa: PLC0415

        with Progress(console=console) as bar:
            task = bar.add_task("", total=None)
            seen: set[str] = set()

            def update(summary: Summary) -> None:
                done = _done(summary)
                text = summary.counts_text
                # Again for each summary: the window may have another width by now.
                bar.columns = _columns(text, f"{done}/{summary.n_cases}", console.width)
                bar.update(task, total=summary.n_cases, completed=done, description=text)
                for sentence in new_sentences(summary, seen):
                    bar.console.print(Text(sentence), soft_wrap=True)

            yield update


def _notebook_bar() -> Callable[[Summary], None]:
    """A function that shows each summary in one output of a notebook's cell.

    In HTML: the bar of rich needs ipywidgets there, which few kernels have.
    """
    display = import_module("IPython.display")  # there, where a notebook is
    shown = display.display(display.HTML(""), display_id=True)

    def update(summary: Summary) -> None:
        text = "; ".join([summary.counts_text, *waiting_lines(summary)])
        shown.update(display.HTML(bar_html(_done(summary), summary.n_cases, text)))

    return update


def _done(summary: Summary) -> int:
    return sum(summary.counts.get(status, 0) for status in Status if status.is_final)


def _columns(text: str, done: str, width: int) -> tuple[ProgressColumn, ...]:
    """Columns for the counts, wrapped but never cut, and for a bar if there is room for one."""
    from rich.progress import (  # noqa: PLC0415  # as in `progress_bar`
        BarColumn,
        MofNCompleteColumn,
        TextColumn,
        TimeElapsedColumn,
    )
    from rich.table import Column  # noqa: PLC0415

    elapsed = TimeElapsedColumn(table_column=Column(no_wrap=True))
    room = width - len(f"{done} {text} 00:00:00 ")
    if room < min(BAR_WIDTHS):
        return TextColumn("{task.description}", table_column=Column(overflow="fold")), elapsed
    bar = BarColumn(bar_width=min(room, max(BAR_WIDTHS)))
    return bar, MofNCompleteColumn(), TextColumn("{task.description}"), elapsed


def new_sentences(summary: Summary, seen: set[str]) -> list[str]:
    """Why tasks wait, or a cluster is not asked, as far as it is not in `seen`; adds it there."""
    new = [sentence for sentence in waiting_lines(summary) if sentence not in seen]
    seen.update(new)
    return [visible(sentence) for sentence in new]


def print_changes() -> Callable[[Summary], None]:
    """A function that prints a line on standard error when a summary has something new."""
    last = ""
    seen: set[str] = set()

    def update(summary: Summary) -> None:
        nonlocal last
        text = summary.counts_text
        lines = [text] if text != last else []
        last = text
        for line in (*lines, *new_sentences(summary, seen)):
            sys.stderr.write(line + "\n")
            sys.stderr.flush()

    return update
