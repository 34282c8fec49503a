"""Hide passwords and keys: every string that may contain a database URL passes through here.

Hides too much rather than too little: a message with less detail does no harm.
"""

from __future__ import annotations

import re

HIDDEN = "***"
# Names of secrets. A bare `token` is excluded: many programs use the word for other things.
_NAMES = (
    "(?:password|passwd|passphrase|secret|api_?key|(?:access|secret|private)_?key|"
    "(?:access|api|auth|bearer|github|gitlab|hf|refresh)_?token)"
)
# RFC 3986's userinfo, up to the last `@` of the word: people do not escape passwords.
_USERINFO = re.compile(r"(://[^\s:/?#@]*:)\S+(?=@)")
# A URL's query, libpq's `keyword=value` form and variables; a quoted value may contain spaces.
_KEYWORD = re.compile(
    rf"""({_NAMES}\s*=\s*)('(?:[^'\\]|\\.)*'?|"(?:[^"\\]|\\.)*"?|[^\s&;,'"]+)""",
    re.IGNORECASE,
)
# The same in a printed mapping.
_ITEM = re.compile(
    rf"""({_NAMES}["']\s*:\s*)('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")""",
    re.IGNORECASE,
)
# A text without any of these has nothing to hide, and costs a hundredth.
_HINTS = ("://", "pass", "secret", "key", "token")


def redact(text: str) -> str:
    """Hide every password in a URL, a connection string or a mapping."""
    folded = text.casefold()
    if not any(hint in folded for hint in _HINTS):
        return text
    text = _USERINFO.sub(rf"\1{HIDDEN}", text)
    text = _KEYWORD.sub(rf"\1{HIDDEN}", text)
    return _ITEM.sub(rf"\1{HIDDEN}", text)
