"""Texts that we did not write, on their way to a person: nothing in them commands a terminal."""

from __future__ import annotations

from itertools import chain

# What may stand in a text of several lines.
LAYOUT = "\n\t"

# Control characters (C0, DEL, C1), of which an escape sequence needs one; separators of lines that
# only some programs know; characters that turn the direction of what follows, so that it reads as
# something else; invisible ones (byte order mark, tags); halves of a character, which are what
# Python makes of bytes that are no text.
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
    """The text with `\\x1b` and its like written out; line ends and tabs stay. *Safe to repeat.*"""
    return text.replace("\r\n", "\n").translate(_IN_LINES)


def one_line(text: str) -> str:
    """As `visible`, and line ends and tabs are written out, too."""
    return text.translate(_VISIBLE)
