"""The failures of cases in words, grouped by message: counts, an example, and suspicious params."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hpcsweep.indexset import IndexSet
from hpcsweep.records import Status, error_text
from hpcsweep.store import SweepIndex
from hpcsweep.store.column_kinds import parse_documents
from hpcsweep.terminal_text import one_line, visible

# Lines and characters of a program's standard error in a message, from its end.
LINES_MAX, CHARACTERS_MAX = 3, 600
# Failed rows that are read, and groups that are told. Params are compared in at most so many
# cases that ended.
ROWS_MAX, GROUPS_MAX, COMPARED_MAX = 5000, 5, 20_000
# A traceback in a message: its first line, or one of a frame. Ray writes frames alone.
_TRACEBACK = re.compile(r'\s*(Traceback \(most recent call last\)|File ".*", line \d+)')
# The place that PyYAML names, below what it did there and below what is wrong there.
_YAML_PLACE = re.compile(r'\s+in ".*", line \d+, column \d+')
# Characters of a headline that decide on its group.
HEAD_MAX = 200
# What differs between equal failures: ids in hex of 8 digits or more, and numbers.
_ID = re.compile(r"\b(?=[0-9a-f]*[0-9])(?:0x)?[0-9a-f]{8,}\b|0x[0-9a-f]+", re.IGNORECASE)
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?", re.IGNORECASE)


def error_message(text: str | None) -> str | None:
    """The message in a row's error, escaped; of a command with the last lines of its stderr."""
    return _told(text)[0] if text else None


def headline(text: str | None) -> str:
    """The line of a row's error that says what failed, escaped.

    The first line of an exception: advice and details follow it. The last line of a command's
    stderr.
    """
    message, has_stderr = _told(text) if text else ("", False)
    lines = _lines(message)
    if not lines:
        return ""
    return lines[-1] if has_stderr else _first_of_exception(lines)


def _told(text: str) -> tuple[str, bool]:
    """The message in an error, escaped, and whether it ends with lines of stderr."""
    error = json.loads(text)
    message = error_text(error)
    of_stderr = _lines(str(error.get("stderr") or ""))
    if of_stderr:
        last = "\n".join(of_stderr[-LINES_MAX:])[-CHARACTERS_MAX:]
        message = f"{message}: {last}"
    return visible(message), bool(of_stderr)


def _first_of_exception(lines: Sequence[str]) -> str:
    """The line that names the exception, also behind a traceback that a process pool sent."""
    frames = [at for at, line in enumerate(lines) if _TRACEBACK.match(line)]
    if frames:
        behind = lines[frames[-1] + 1 :]
        return next((line for line in behind if not line[0].isspace()), lines[-1])
    if any(map(_YAML_PLACE.match, lines)):
        return next((line for line in reversed(lines) if not line[0].isspace()), lines[0])
    return lines[0]


def _lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.strip()]


@dataclass(frozen=True, kw_only=True, slots=True)
class FailureGroup:
    """Failed cases with the same headline, but for numbers and ids."""

    reason: str
    # Of the example.
    message: str
    headline: str
    count: int
    # The first of them.
    index: int
    params: dict[str, Any]
    host: str | None
    # The value of a param with which most fail: `18 of 20 with dt=0.5`; None without one.
    suspect: str | None = None

    def to_json(self) -> dict[str, Any]:
        """The form in `status --json`."""
        return {
            "reason": self.reason,
            "message": self.message,
            "headline": self.headline,
            "count": self.count,
            "example": {"index": self.index, "params": self.params, "host": self.host},
            "suspect": self.suspect,
        }


def normalised(line: str) -> str:
    """What the headlines of equal failures have in common: all but numbers and ids."""
    return _NUMBER.sub("#", _ID.sub("#", line[:HEAD_MAX]))


def failure_groups(
    sweep_index: SweepIndex, failed: IndexSet, ended: IndexSet
) -> tuple[FailureGroup, ...]:
    """The largest groups of failed cases; `ended` are these and the complete ones.

    Reads the first `ROWS_MAX` failed cases; none for a sweep without failures.
    """
    if not failed:
        return ()
    rows: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    within = failed.slice(0, ROWS_MAX)
    for row in sweep_index.rows(within=within):
        if row["status"] == Status.FAILED.value:
            key = (row["reason"], normalised(headline(row["error"])))
            rows.setdefault(key, []).append(row)
    largest = sorted(rows.values(), key=len, reverse=True)[:GROUPS_MAX]
    totals: Counter[tuple[str, str]] = Counter()
    if ended.count <= COMPARED_MAX:
        for page in sweep_index.columns(["params"], within=ended):
            totals.update(_values(page["params"]))
    return tuple(_group(of_group, totals, ended.count) for of_group in largest)


def _group(
    rows: Sequence[Mapping[str, Any]], totals: Counter[tuple[str, str]], n_ended: int
) -> FailureGroup:
    first = rows[0]
    return FailureGroup(
        reason=first["reason"],
        message=error_message(first["error"]) or "",
        headline=headline(first["error"]),
        count=len(rows),
        index=first["idx"],
        params=json.loads(first["params"]),
        host=first["host"],
        suspect=suspect(_values([row["params"] for row in rows]), totals, len(rows), n_ended),
    )


def suspect(
    failed: Counter[tuple[str, str]], ended: Counter[tuple[str, str]], n_failed: int, n_ended: int
) -> str | None:
    """The value of a param with which most cases fail, above what its share would be. Pure.

    Both count cases by param and value, as JSON; None where no value has two failures and more
    than its share.
    """

    def above(value: tuple[str, str]) -> float:
        return failed[value] - ended[value] * n_failed / max(1, n_ended)

    # Too many cases have ended where `ended` is empty.
    some = [value for value in failed if 1 < failed[value] <= ended[value] < n_ended]
    some = [value for value in some if above(value) > 0]
    if not some:
        return None
    name, text = value = max(some, key=lambda value: (above(value), value))
    return f"{failed[value]} of {ended[value]} with {name}={text}"


def _values(texts: Sequence[str]) -> Counter[tuple[str, str]]:
    """How often each param has each value, which is a number, text or truth value."""
    return Counter(
        (name, json.dumps(value, ensure_ascii=False))
        for params in parse_documents(texts)
        for name, value in params.items()
        if not isinstance(value, dict | list)
    )


def failure_lines(group: FailureGroup) -> tuple[str, str]:
    """The group for people: its message, and its example."""
    params = ", ".join(
        f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in group.params.items()
    )
    node = f" on {group.host}" if group.host else ""
    more = f"; {group.suspect}" if group.suspect else ""
    text = one_line(group.headline)
    return f"{group.reason}: {text}", one_line(f"such as index {group.index}{node}: {params}{more}")
