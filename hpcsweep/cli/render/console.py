"""Print a line, rows of facts, or a document.

Styles are click's: rich takes a tenth of the time of a `status` to import.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Sequence

import click

from hpcsweep.cli import streams
from hpcsweep.cli.render import layout
from hpcsweep.terminal_text import visible

# Without a terminal nothing is wrapped, cut or left out.
ANY_WIDTH = 1_000_000
# Terminals, by TERM, that show escape sequences as they are.
PLAIN_TERMINALS = frozenset({"dumb", "unknown"})
# `--on` sets it: what is a pipe on the other host ends in a terminal of so many columns.
COLUMNS = "HPCSWEEP_COLUMNS"


def width() -> int:
    """Characters of a line on standard output; unlimited when that is not a terminal."""
    if sys.stdout.isatty():
        return shutil.get_terminal_size().columns
    columns = os.environ.get(COLUMNS, "")
    return int(columns) if columns.isdecimal() and int(columns) else ANY_WIDTH


def print_line(*parts: str | layout.Styled) -> None:
    """Print a line of texts, each with or without a style; the terminal wraps it."""
    styled = [(part, "") if isinstance(part, str) else part for part in parts]
    print_texts([(visible(text), style) for text, style in styled])


def print_facts(rows: Sequence[Sequence[str | layout.Styled]]) -> None:
    """Print rows whose last cell is a text that is wrapped and never cut."""
    styled = [[(cell, "") if isinstance(cell, str) else cell for cell in row] for row in rows]
    print_texts(*layout.facts(styled, width()))


def print_document(value: object) -> None:
    """Print one JSON document; NaN and infinities, which JSON lacks, as texts."""
    try:
        text = json.dumps(value, indent=2, allow_nan=False)
    except ValueError:
        from hpcsweep.logbook.json_values import with_words  # noqa: PLC0415  # rarely needed

        text = json.dumps(with_words(value), indent=2)
    streams.document().write(text + "\n")


def print_texts(*lines: layout.StyledLine) -> None:
    """Print lines whose control characters are escaped already; the terminal wraps them."""
    out = streams.bare(sys.stdout)
    has_styles = _shows_styles()
    for line in lines:
        texts = (_styled(*part) if has_styles else part[0] for part in line)
        out.write("".join(texts) + "\n")


def _shows_styles() -> bool:
    """Whether colours and bold letters are shown, by the variables that are usual for that."""
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return sys.stdout.isatty() and os.environ.get("TERM") not in PLAIN_TERMINALS


def _styled(text: str, style: str) -> str:
    if not style:
        return text
    return click.style(text, bold=True) if style == "bold" else click.style(text, fg=style)
