"""Print a line, rows of facts, or a document."""

from __future__ import annotations

import errno
import json
import os
import sys
from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from hpcsweep.cli import streams
from hpcsweep.cli.render import layout
from hpcsweep.terminal_text import visible

# Without a terminal nothing is wrapped, cut or left out.
ANY_WIDTH = 1_000_000


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Raise it for the command line: rich would end the program here."""
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE), streams.STANDARD_OUTPUT)


def console(*, stderr: bool = False) -> Console:
    """Make a console; its width is unlimited when standard output is not a terminal."""
    stream = streams.bare(sys.stderr if stderr else sys.stdout)
    made = _Console(file=stream, highlight=False)
    return made if made.is_terminal else _Console(file=stream, highlight=False, width=ANY_WIDTH)


def print_line(*parts: str | layout.Styled) -> None:
    """Print a line of texts, each with or without a style; the terminal wraps it."""
    styled = [(part, "") if isinstance(part, str) else part for part in parts]
    print_texts(Text.assemble(*((visible(text), style) for text, style in styled)))


def print_facts(rows: Sequence[Sequence[str | layout.Styled]]) -> None:
    """Print rows whose last cell is a text that is wrapped and never cut."""
    styled = [[(one, "") if isinstance(one, str) else one for one in row] for row in rows]
    print_texts(*layout.facts(styled, console().width))


def print_document(value: object) -> None:
    """Print one JSON document."""
    streams.document().write(json.dumps(value, indent=2) + "\n")


def print_texts(*lines: Text) -> None:
    """Print lines whose control characters are escaped already."""
    out = console()
    for line in lines:
        out.print(line, soft_wrap=True)  # neither wrapped nor cropped
