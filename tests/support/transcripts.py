"""Transcripts of a real Slurm and a real OpenPBS, as commands and their answers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

TRANSCRIPTS = Path(__file__).parents[1] / "data" / "slurm-transcripts"
PBS = Path(__file__).parents[1] / "data" / "pbs-transcripts"


@dataclass
class Block:
    """One command of a transcript and its answer."""

    command: str
    out: list[str]
    err: list[str]
    rc: int

    @property
    def text(self) -> str:
        """Standard output as the program printed it."""
        return "".join(f"{line}\n" for line in self.out)

    def column(self, *names: str) -> str:
        """These columns of `sacct -o …`, in the format of our own query."""
        match = re.search(r"-o (\S+)", self.command)
        assert match, self.command
        heads = match[1].split(",")
        rows = [dict(zip(heads, line.split("|"), strict=True)) for line in self.out]
        rows = [row for row in rows if row["jobid"] != "JobID"]
        return "".join("|".join(row.get(name, "wrap") for name in names) + "\n" for row in rows)


def blocks(name: str, directory: Path = TRANSCRIPTS) -> Iterator[Block]:
    """The commands of a transcript."""
    block: Block | None = None
    for line in (directory / f"{name}.txt").read_text().splitlines():
        if line.startswith("$ "):
            block = Block(line[2:], [], [], 0)
        elif block and line.startswith("  out| "):
            # A long answer was cut in the middle of a line.
            text_of_line, cut, _ = line[7:].partition("  rc=")
            block.out.append(text_of_line)
            if cut:
                yield block
                block = None
        elif block and line.startswith("  err| "):
            block.err.append(line[7:])
        elif block and (match := re.match(r"  rc=(\d+)", line)):
            block.rc = int(match[1])
            yield block
            block = None


def found(name: str, pattern: str, directory: Path = TRANSCRIPTS) -> list[Block]:
    """The commands of a transcript that match a pattern; never none."""
    matching = [block for block in blocks(name, directory) if re.search(pattern, block.command)]
    assert matching, f"{name} has no {pattern}"
    return matching


def one(name: str, pattern: str, number: int = 0, directory: Path = TRANSCRIPTS) -> Block:
    return found(name, pattern, directory)[number]
