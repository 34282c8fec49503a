"""Passwords and keys out of texts: every string that can hold a database's URL goes through here.

What is hidden is rather too much than too little: a message that says less does no harm.
"""

from __future__ import annotations

import re

HIDDEN = "***"
# What a secret is called; a bare `token` is a word of many programs that hide nothing.
_NAMES = (
    "(?:password|passwd|passphrase|secret|api_?key|(?:access|secret|private)_?key|"
    "(?:access|api|auth|bearer|github|gitlab|hf|refresh)_?token)"
)
# RFC 3986's userinfo. Up to the last `@` of the word, because people write passwords as they are.
_USERINFO = re.compile(r"(://[^\s:/?#@]*:)\S+(?=@)")
# A URL's query, libpq's `keyword=value` form and its variables; a quoted value may hold blanks.
_KEYWORD = re.compile(
    rf"""({_NAMES}\s*=\s*)('(?:[^'\\]|\\.)*'?|"(?:[^"\\]|\\.)*"?|[^\s&;,'"]+)""",
    re.IGNORECASE,
)
# The same as a mapping is printed.
_ITEM = re.compile(
    rf"""({_NAMES}["']\s*:\s*)('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")""",
    re.IGNORECASE,
)


def redact(text: str) -> str:
    """The text with every password in a URL, a connection string or a mapping hidden."""
    text = _USERINFO.sub(rf"\1{HIDDEN}", text)
    text = _KEYWORD.sub(rf"\1{HIDDEN}", text)
    return _ITEM.sub(rf"\1{HIDDEN}", text)
