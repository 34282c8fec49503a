"""Passwords in what people write: found before they are written anywhere else (invariant 21)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from hpcsweep.manifest.mistakes import Mistakes, Where

_USERINFO = re.compile(r"://[^\s:/?#@]*:(?P<password>\S+)@")
_QUERY = re.compile(r"[?&](password|passwd|sslpassword)=(?P<password>[^&\s]+)")


def holds_password(text: str) -> bool:
    """Whether a URL in `text` holds a password; a variable or placeholder in its place is none."""
    if "://" not in text:
        return False
    return any(
        _is_secret(found["password"])
        for pattern in (_USERINFO, _QUERY)
        for found in pattern.finditer(text)
    )


def _is_secret(text: str) -> bool:
    # host:8080/path@version has a port and no password.
    port, slash, _ = text.partition("/")
    return not text.startswith(("$", "{")) and not (slash and port.isdigit())


def refuse_passwords(value: Any, mistakes: Mistakes) -> None:
    """Add a mistake for every text with a password in it, except the store, which has its own."""
    for path, text in _texts(value):
        if path != ("store",) and holds_password(text):
            mistakes.add(
                path,
                "holds a URL with a password, which would be written into files that stay",
                "Use a service file, a password file or an environment variable.",
            )


def _texts(value: Any) -> Iterator[tuple[Where, str]]:
    waiting: list[tuple[Where, Any]] = [((), value)]
    while waiting:
        path, item = waiting.pop()
        if isinstance(item, str):
            yield path, item
        elif isinstance(item, list):
            waiting += [((*path, i), part) for i, part in enumerate(item)]
        elif isinstance(item, dict):
            waiting += [((*path, key), part) for key, part in item.items()]
