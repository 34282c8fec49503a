"""Escape foreign text for a terminal: it cannot contain control sequences."""

from __future__ import annotations

from itertools import chain

# Allowed in a text of several lines.
LAYOUT = "\n\t"

# Control characters (C0, DEL, C1), which start escape sequences; line separators that only some
# programs know; bidirectional controls, which display a text in another order; invisible
# characters (byte order mark, tags); and surrogates, by which Python represents invalid UTF-8.
_COMMANDS = (
    range(0x20),
    range(0x7F, 0xA0),
    (0x061C, 0x200E, 0x200F),
    range(0x2028, 0x202F),
    range(0x2066, 0x206A),
    (0xFEFF,),
    range(0xD800, 0xE000),
    range(0xE0000, 0xE0080),
)
_VISIBLE = {code: ascii(chr(code))[1:-1] for code in chain(*_COMMANDS)}
_IN_LINES = {code: text for code, text in _VISIBLE.items() if chr(code) not in LAYOUT}


def visible(text: str) -> str:
    """Escape `\\x1b` and other control characters; keeps line ends and tabs. *Safe to repeat.*"""
    return text.replace("\r\n", "\n").translate(_IN_LINES)


def overprinted(text: str) -> str:
    """A text as a terminal leaves it: of a line with carriage returns, what follows the last one.

    A progress bar writes thousands of its states into one line.
    """
    lines = text.split("\n")
    return "\n".join(line.rstrip("\r").rpartition("\r")[2] for line in lines)


def one_line(text: str) -> str:
    """Like `visible`, but also escapes line ends and tabs."""
    return text.translate(_VISIBLE)
