"""The console blocks of a page: commands, each with the lines that it prints."""

from __future__ import annotations

import re
import subprocess
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

# Also in a list, where it is indented.
_FENCED = re.compile(
    r'^(?P<indent> *)```(?P<language>\w*)(?: title="(?P<name>[^"]+)")?\n'
    r"(?P<content>.*?)^(?P=indent)```$",
    re.DOTALL | re.MULTILINE,
)
# Columns of results that differ between two runs of one sweep.
_MEASURED = "wall_seconds|cpu_seconds|max_rss_bytes"
_COLUMN = re.compile(rf"(?<=  )(?:{_MEASURED})(?=  |$)")
_VALUE_BESIDE = re.compile(rf"^((?:{_MEASURED})  +)[\d.]+$")
# Stands for a measured number in a shown line.
_NUMBER = "\0"
# Longer than any command of a page takes on a loaded machine.
COMMAND_S = 120


@dataclass(frozen=True)
class Block:
    """A fenced block of a page; `name` is that of the file which the reader writes, or ""."""

    language: str
    name: str
    content: str


def fenced(text: str) -> Iterator[Block]:
    """All fenced blocks, without the indent of a list."""
    for found in _FENCED.finditer(text):
        content = textwrap.dedent(found["content"])
        yield Block(found["language"], found["name"] or "", content)


def without_fenced(text: str) -> str:
    """The text of a page between its blocks."""
    return _FENCED.sub("", text)


def blocks(text: str) -> list[tuple[str, str]]:
    """Language and content of all fenced blocks."""
    return re.findall(r"^```(\w*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def commands(block: str) -> Iterator[tuple[str, list[str]]]:
    """Each command of a console block with the lines that are shown below it."""
    for piece in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        command, *shown = piece.splitlines()
        yield command, shown


def looks_like(shown: list[str], printed: str) -> bool:
    """Whether the printed lines are the shown ones, every number the same.

    `…` stands for anything in its line and, alone, for any lines. Another run measures other
    values: a number below the name of a measured column, or beside it, is any number.
    """
    lines = (line.rstrip() for line in printed.splitlines())
    marked = [*_without_measured(shown), ""]
    pattern = "".join(_pattern(line, below) for line, below in pairwise(marked))
    return bool(re.fullmatch(pattern, "".join(f"{line}\n" for line in lines if line)))


def _without_measured(shown: list[str]) -> Iterator[str]:
    """The shown lines that are not empty, with a mark for each measured number."""
    columns: list[re.Match[str]] = []
    for line in shown:
        if not line.strip():
            columns = []  # the end of a table
            continue
        yield _VALUE_BESIDE.sub(rf"\1{_NUMBER}", _without_cells(line, columns)).rstrip()
        columns = list(_COLUMN.finditer(line)) or columns


def _without_cells(line: str, columns: list[re.Match[str]]) -> str:
    """A row of a table with a mark for the numbers of these columns, which are right-aligned."""
    for column in reversed(columns):
        start, end = column.span()
        cell = line[start:end]
        if cell.strip():
            line = f"{line[:start]}{_NUMBER}{line[end:]}"
    return line


def _pattern(line: str, below: str) -> str:
    if line == "…":
        return r"(?:.*\n)*"
    # The width of what differs decides that of its gaps, also in the head of its column.
    differs = any({"…", _NUMBER} & set(one) for one in (line, below) if one != "…")
    gap = r" +" if differs else None
    pieces = re.split(rf"(…|{_NUMBER}| +)", line)
    standing = {"…": ".*", _NUMBER: r" *-?\d+(?:\.\d+)?(?:e[+-]\d+)?"}
    return (
        "".join(
            standing.get(piece) or (gap if gap and piece.isspace() else re.escape(piece))
            for piece in pieces
        )
        + "\n"
    )


@dataclass(frozen=True)
class Page:
    """A page that a reader follows: files to write and commands to type, in their order."""

    text: str

    @property
    def has_commands(self) -> bool:
        """Whether there is something to type."""
        return "```console\n" in self.text

    def steps(self) -> Iterator[tuple[str, str]]:
        """Name and content of each file, and "" with each block of commands.

        A block whose first line ends with `title="NAME"` is a file that the reader writes.
        """
        for block in fenced(self.text):
            if block.name or block.language == "console":
                yield block.name, block.content

    def follow(self, directory: Path, env: Mapping[str, str]) -> None:
        """Write its files into a directory, type its commands there and compare what they print."""
        for name, content in self.steps():
            if name:
                path = directory / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(content)
                continue
            for command, shown in commands(content):
                printed = _type(command, directory, env)
                assert not shown or looks_like(shown, printed), f"$ {command}\n{printed}"


def _type(command: str, directory: Path, env: Mapping[str, str]) -> str:
    """What a command shows on a terminal: standard output and standard error."""
    done = subprocess.run(
        ["/bin/bash", "-c", command],
        cwd=directory,
        env=dict(env),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=COMMAND_S,
        check=False,
    )
    return done.stdout
