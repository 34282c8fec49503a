"""A small table in HTML, for notebooks. Every text is escaped: values are the user's."""

from __future__ import annotations

import html
from collections.abc import Iterable


def facts_html(title: str, facts: Iterable[tuple[str, object]], lines: Iterable[str] = ()) -> str:
    """A title, rows of a name and a value, and lines below them; empty values are left out."""
    rows = "".join(
        f"<tr><th style='text-align:left'>{html.escape(name)}</th>"
        f"<td style='text-align:left'>{html.escape(str(value))}</td></tr>"
        for name, value in facts
        if value not in ("", None)
    )
    below = "".join(f"<div>{html.escape(line)}</div>" for line in lines)
    return f"<div><strong>{html.escape(title)}</strong><table>{rows}</table>{below}</div>"


def bar_html(done: int, total: int, text: str) -> str:
    """A bar of progress and a text beside it."""
    bar = f"<progress max='{total}' value='{done}' style='width:20em'></progress>"
    return f"<div>{bar} {done}/{total} {html.escape(text)}</div>"
