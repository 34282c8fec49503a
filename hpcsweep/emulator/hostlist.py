"""Node lists: `n[1-3,7]`, `n1,gpu[01-04]`."""

from __future__ import annotations

import re
from collections.abc import Iterable

_NUMBERED = re.compile(r"(.*?)(\d+)")
_RANGE = re.compile(r"(\d+)(?:-(\d+))?")
# A range of more names is an error: no cluster has so many nodes.
_MOST = 65536


def fold(nodes: Iterable[str]) -> str:
    """The shortest text for these names, in their order: `n1,n2,x` is `n[1-2],x`."""
    runs: list[tuple[str, list[str]]] = []
    for name in nodes:
        match = _NUMBERED.fullmatch(name)
        prefix, number = (match[1], match[2]) if match else (name, "")
        if runs and number and runs[-1][0] == prefix and runs[-1][1][0]:
            runs[-1][1].append(number)
        else:
            runs.append((prefix, [number]))
    return ",".join(
        prefix + (f"[{_ranges(numbers)}]" if len(numbers) > 1 else numbers[0])
        for prefix, numbers in runs
    )


def expand_words(text: str) -> list[str]:
    """The names of a node list; of a text that is none, the text."""
    try:
        return expand(text)
    except ValueError:
        return [text]


def _ranges(numbers: list[str]) -> str:
    """Fold consecutive numbers of equal width: `01-03,7`."""
    parts: list[list[str]] = []
    for text in numbers:
        last = parts[-1][-1] if parts else ""
        if last and int(text) == int(last) + 1 and text == str(int(text)).zfill(len(last)):
            parts[-1] = [parts[-1][0], text]
        else:
            parts.append([text])
    return ",".join("-".join(part) for part in parts)


def expand(text: str) -> list[str]:
    """All names of a node list. *Raises* ValueError."""
    names: list[str] = []
    for part in re.split(r",(?![^\[]*\])", text):
        prefix, bracket, rest = part.partition("[")
        if not bracket:
            names += [part] * bool(part)
            continue
        inner, closed, suffix = rest.partition("]")
        if not closed:
            raise ValueError(text)
        for item in inner.split(","):
            match = _RANGE.fullmatch(item)
            if match is None or int(match[2] or match[1]) - int(match[1]) > _MOST:
                raise ValueError(text)
            first, last = match[1], match[2] or match[1]
            for number in range(int(first), int(last) + 1):
                names += expand(f"{prefix}{number:0{len(first)}}{suffix}")
    return names
