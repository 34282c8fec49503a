"""The console blocks of a page: commands, each with the lines that it prints."""

from __future__ import annotations

import re
from collections.abc import Iterator


def blocks(text: str) -> list[tuple[str, str]]:
    """Language and content of all fenced blocks."""
    return re.findall(r"^```(\w*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def commands(block: str) -> Iterator[tuple[str, list[str]]]:
    """Each command of a console block with the lines that are shown below it."""
    for piece in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        command, *shown = piece.splitlines()
        yield command, shown


def looks_like(shown: list[str], printed: str) -> bool:
    """Whether the printed lines are the shown ones.

    `…` stands for anything in its line and, alone, for any lines; a decimal fraction for any
    other; the width of gaps is no matter.
    """
    lines = [" ".join(line.split()) for line in printed.splitlines()]
    pattern = "".join(_pattern(" ".join(line.split())) for line in shown if line)
    return bool(re.fullmatch(pattern, "".join(f"{line}\n" for line in lines if line)))


def _pattern(line: str) -> str:
    if line == "…":
        return r"(?:.*\n)*"
    pieces = re.split(r"(…|\d+\.\d+)", line)
    for number in range(1, len(pieces), 2):
        pieces[number] = ".*" if pieces[number] == "…" else r"\d+(?:\.\d+)?(?:e[+-]\d+)?"
    pieces[::2] = map(re.escape, pieces[::2])
    return "".join(pieces) + "\n"
