"""The standing campaign: kill every command at each of its calls, or let that call fail.

    python -m tests.faults.campaign [--each N] [--errors N] [--only WORD[,WORD…]]

Prints one row for each thing: how many calls it makes that change something, how many kills were
tried and struck, after how many the same command again ended right, and how many cases were lost
or, without need, executed twice. N kills or errors of each are tried, spread over its calls.
"""

from __future__ import annotations

import argparse
import dataclasses
import shutil
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from tests.faults.injecting import CHANGES, PROCESSES, READS, Call, Fault, calls_in, some_of

KILLED = -9
# Errors of the system, and the calls to which they happen; without calls: to all that change.
ERRORS: dict[str, tuple[str, ...]] = {
    "ENOSPC": ("create", "write", "mkdir", "rename", "link", "fsync", "truncate"),
    "EDQUOT": ("create", "write", "mkdir", "fsync"),
    "EIO": (*CHANGES, "read", "open"),
    "EACCES": (*CHANGES, "open", "list", "stat"),
    "ESTALE": (*CHANGES, *READS),
    "EMFILE": ("create", "open", "list", *PROCESSES),
    "ENOMEM": ("create", "open", "list", *PROCESSES),
    "EAGAIN": PROCESSES,
}


@dataclass(frozen=True, slots=True)
class Ended:
    """The exit code and output of a program."""

    code: int
    out: str
    err: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """The state after the same command ran again."""

    lost: int = 0
    twice: int = 0
    # Further problems; "" without any.
    wrong: str = ""


class Subject(Protocol):
    """A command, worker or service whose calls are killed or fail."""

    name: str
    # As in `Fault`: the programs and directories whose calls count.
    program: str
    role: str
    roots: tuple[Path, ...]

    def fresh(self) -> None:
        """Make the initial state."""

    def act(self, variables: dict[str, str]) -> Ended:
        """Run it with these environment variables."""

    def again(self) -> Ended:
        """Run it again, without faults."""

    def left(self) -> object:
        """The result of the last run, its output and files: equal for every complete run."""

    def found(self) -> Found:
        """Check the final state."""


@dataclass(slots=True)
class Row:
    """The results of one subject under one kind of fault."""

    name: str
    calls: int = 0
    tried: int = 0
    fired: int = 0
    # Of errors: runs that ended with another exit code than 0,
    told: int = 0
    # and runs that ended with 0 without doing their work.
    silent: int = 0
    recovered: int = 0
    lost: int = 0
    twice: int = 0
    tracebacks: int = 0
    problems: list[str] = field(default_factory=list)

    def add(self, other: Row) -> None:
        """Add the figures of another row."""
        for one in dataclasses.fields(Row):
            if one.name != "name":
                setattr(self, one.name, getattr(self, one.name) + getattr(other, one.name))


class Campaign:
    """Kills subjects, or lets their calls fail; `room` is a directory for logs."""

    def __init__(self, room: Path, turn: int = 0) -> None:
        self._room = room
        self._turn = turn
        self._number = 0
        # The result of a run without faults.
        self._whole: object = None

    def _fault(self, subject: Subject, calls: Iterable[str], **more: object) -> Fault:
        return Fault(
            roots=subject.roots,
            program=subject.program,
            role=subject.role,
            calls=calls,
            **more,  # type: ignore[arg-type]
        )

    def _log(self) -> Path:
        self._number += 1
        return self._room / f"log.{self._number}"

    def recorded(self, subject: Subject, calls: Iterable[str]) -> list[Call]:
        """The calls of a run without faults, of the process that makes most of them."""
        log = self._log()
        subject.fresh()
        ended = subject.act(self._fault(subject, calls).variables(log))
        assert ended.code == 0, f"{subject.name}: {ended}"
        self._whole = subject.left()
        by_process: dict[int, list[Call]] = {}
        for call in calls_in(log):
            by_process.setdefault(call.pid, []).append(call)
        return max(by_process.values(), key=len, default=[])

    def kills(self, subject: Subject, wanted: int) -> Row:
        """Kill it at so many of its calls."""
        calls = self.recorded(subject, CHANGES)
        row = Row(subject.name, len(calls))
        for at in some_of(len(calls), wanted, self._turn):
            where = f"{subject.name}, killed at {at}, {calls[at - 1].name} {calls[at - 1].path}"
            self._strike(row, subject, where, self._fault(subject, CHANGES, at=at))
        return row

    def errors(self, subject: Subject, error: str, wanted: int) -> Row:
        """Let so many calls fail: every second one alone, the others with all later calls."""
        calls = self.recorded(subject, ERRORS[error])
        row = Row(f"{error}: {subject.name}", len(calls))
        for turn, at in enumerate(some_of(len(calls), wanted, self._turn)):
            call, on = calls[at - 1], turn % 2 == 1
            where = f"{subject.name}, {error} at {at}{'+' * on}, {call.name} {call.path}"
            fault = self._fault(subject, ERRORS[error], at=at, error=error, on=on)
            self._strike(row, subject, where, fault)
        return row

    def _strike(self, row: Row, subject: Subject, where: str, fault: Fault) -> None:
        log = self._log()
        subject.fresh()
        row.tried += 1
        ended = subject.act(fault.variables(log))
        if not calls_in(log):
            return
        row.fired += 1
        row.told += bool(ended.code)
        wrong = [f"traceback: {ended.err[-1200:]}"] if "Traceback" in ended.err else []
        row.tracebacks += len(wrong)
        if ended.code == 0 and (left := subject.left()) != self._whole:
            row.silent += 1
            wrong.append(f"ended with 0 and left {left}, not {self._whole}: {ended.err[-400:]}")
        second = subject.again()
        if second.code or "Traceback" in second.err or subject.left() != self._whole:
            wrong.append(f"again: {second}, not {self._whole}")
        found = subject.found()
        row.lost += found.lost
        row.twice += found.twice
        if wrong or found.wrong or found.lost or found.twice:
            row.problems.append(f"{where}: ended {ended.code}; {found} {'; '.join(wrong)}")
        else:
            row.recovered += 1


def printed(title: str, rows: list[Row], *, errors: bool = False) -> str:
    """The rows as a table of Markdown."""
    names = ["calls", "tried", "fired"] + ["told", "silent"] * errors
    names += ["recovered", "lost", "twice"] + ["tracebacks"] * errors
    lines = [f"| {title} | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
    total = Row("all")
    for row in rows:
        total.add(row)
    lines += [
        f"| {row.name} | {' | '.join(str(getattr(row, name)) for name in names)} |"
        for row in [*rows, total]
    ]
    return "\n".join(lines)


def main(argv: list[str]) -> int:
    """Run the campaign and print the tables. Returns 1 if a run went wrong."""
    from tests.faults.commands import subjects  # noqa: PLC0415  # which import this module
    from tests.faults.lives import LIVES, rows_of_lives  # noqa: PLC0415

    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--each", type=int, default=1000, help="kills of each subject")
    parser.add_argument("--errors", type=int, default=10, help="errors of each kind and subject")
    parser.add_argument("--only", default="", help="subjects whose names hold one of these words")
    chosen = parser.parse_args(argv)
    words = chosen.only.split(",")
    room = Path(tempfile.mkdtemp(prefix="campaign-", dir="/tmp"))
    problems: list[str] = []

    def wanted(name: str) -> bool:
        return any(word in name for word in words)

    def told(rows: Iterator[Row]) -> list[Row]:
        done = []
        for row in rows:
            sys.stderr.write(f"{time.strftime('%X')} {row}\n")
            problems.extend(row.problems)
            done.append(row)
        return done

    try:
        with subjects(room / "subjects", wanted) as found:
            campaign = Campaign(room)
            killed = told(campaign.kills(one, chosen.each) for one in found)
            killed += told(rows_of_lives(room / "lives", filter(wanted, LIVES)))
            failed = told(_by_error(campaign, found, chosen.errors))
    finally:
        shutil.rmtree(room, ignore_errors=True)
    sys.stdout.write(printed("killed", killed) + "\n\n")
    sys.stdout.write(printed("errors", failed, errors=True) + "\n")
    sys.stdout.write("".join(f"\n{problem}\n" for problem in problems))
    return 1 if problems else 0


def _by_error(campaign: Campaign, found: list[Subject], wanted: int) -> Iterator[Row]:
    for error in ERRORS if wanted else ():
        row = Row(error)
        for subject in found:
            row.add(campaign.errors(subject, error, wanted))
        yield row


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
