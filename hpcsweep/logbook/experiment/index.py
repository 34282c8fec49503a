"""`index.csv`: one row per run, built from marks that each process appends to its own file."""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import json
import os
import time
import weakref
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from hpcsweep.errors import HpcsweepError, SweepError
from hpcsweep.field_checks import OBJECT, TEXT, integer, matching, mismatch, schema
from hpcsweep.files import (
    names,
    open_file,
    open_regular,
    parse_json,
    token,
    unwritable,
)
from hpcsweep.journal import decode, encode
from hpcsweep.liveness import run_status
from hpcsweep.logbook.experiment.runs import Runs
from hpcsweep.logbook.json_values import metric_values, with_floats, with_words
from hpcsweep.logbook.libraries import csv_line
from hpcsweep.logbook.reader import LogReader
from hpcsweep.logbook.run_directory import METRICS, read_metadata
from hpcsweep.logbook.runfiles import FolderFiles
from hpcsweep.logbook.storage import DirectoryStorage, put, read_content

# Rebuild the index at most once per interval, and for less than 5 % of the time.
REFRESH_S = 2.0
SHARE_MAX = 0.05
_MARKS = ".index"
# Columns that exist only when a run has a value for them.
_REASONS = ("error_reason", "failure_reason")

RunMark = dict[str, Any]
_MARK = schema(
    {
        "run_id": TEXT,
        "at": integer(),
        "dir": matching("runs/.+", "a place"),
        "params": OBJECT,
        "status": TEXT,
    },
    {"metrics": OBJECT, "metrics_status": TEXT, "failure_reason": TEXT, "error_reason": TEXT},
)
RunRow = dict[str, Any]

_indexes: weakref.WeakSet[Index] = weakref.WeakSet()


class Index:
    """The index of the runs in one directory.

    A mark records what is known of a run: `run_id, at, dir, params, status`, and at its end also
    `metrics, metrics_status` and reasons. The latest mark of a run counts.
    """

    def __init__(self, directory: Path) -> None:
        self.file = directory / "index.csv"
        self._directory = directory
        self._storage = DirectoryStorage(directory)
        # The name of this process's marks file, and the owner's pid.
        self._own_marks = ("", 0)
        self._marks: dict[str, RunMark] = {}
        self._offsets: dict[str, int] = {}
        self._refreshed = -REFRESH_S
        self._cost = 0.0
        _indexes.add(self)

    @property
    def exists(self) -> bool:
        """Whether any marks exist."""
        return (self._directory / _MARKS).is_dir()

    def mark(self, state: RunMark) -> None:
        """Append what is known of a run now."""
        if self._own_marks[1] != os.getpid():
            self._own_marks = (f"{_MARKS}/{token()}.jsonl", os.getpid())
        self._storage.append(self._own_marks[0], encode({"at": time.time_ns(), **state}))
        # Rebuild the index at exit, even if the experiment is still referenced.
        _unwritten.add(self)

    def rows(self) -> list[RunRow]:
        """One row per existing run, in the order of the first mark; unmarked runs follow by id."""
        self._read_marks()
        present = set(names(self._directory / "runs"))
        marks = self._marks.values()
        marked = [self._row(mark) for mark in marks if mark["dir"].split("/")[1] in present]
        indexed = {row["run_id"] for row in marked}
        rows = [run_row(run) for run in Runs(self._directory).readers(indexed)]
        return sorted([*rows, *marked], key=_added_at) if marked else rows

    def _row(self, mark: RunMark) -> RunRow:
        if mark["status"] != "initialized":
            return mark
        # The mark may be outdated: the run went on, was killed, or wrote a later mark.
        path = self._directory / mark["dir"]
        if run_status(read_metadata(path), path) == "running":
            return mark
        return mark | run_row(LogReader(FolderFiles(path, mark["run_id"])))

    def _read_marks(self) -> None:
        """Read the marks that were appended since the last call."""
        for name in names(self._directory / _MARKS):
            if not name.endswith(".jsonl"):
                continue
            with contextlib.suppress(OSError):  # removed, or unreadable
                for mark in self._new_of(name):
                    latest = self._marks.get(mark["run_id"])
                    if latest is None or latest["at"] <= mark["at"]:
                        added = latest["added"] if latest else mark["at"]
                        self._marks[mark["run_id"]] = mark | {"added": added}

    def _new_of(self, name: str) -> Iterator[RunMark]:
        offset = self._offsets.get(name, 0)
        with open_regular(self._directory / _MARKS / name) as stream:
            stream.seek(offset)
            for line in stream:
                if not line.endswith(b"\n"):
                    break
                offset += len(line)
                mark = decode(line[:-1])
                # A torn line: its process was killed. Skip it and other invalid marks: a run
                # without a mark is read from its own files.
                if mark is not None and not mismatch(mark, _MARK):
                    yield mark
        self._offsets[name] = offset

    def refresh_if_due(self) -> None:
        """Rebuild `index.csv`, unless it was done recently or another process is doing it."""
        wait = max(REFRESH_S, self._cost / SHARE_MAX)
        if time.monotonic() - self._refreshed >= wait:
            self.refresh(wait=False)

    def refresh_if_behind(self) -> None:
        """Rebuild `index.csv` if marks were appended since."""
        marks = self._directory / _MARKS
        if not self.exists:
            return
        newest = max([(marks / name).stat().st_mtime_ns for name in names(marks)], default=0)
        if self in _unwritten or not self.file.exists() or newest > self.file.stat().st_mtime_ns:
            self.refresh()

    def refresh(self, *, wait: bool = True) -> list[RunRow]:
        """Rebuild `index.csv`; returns its rows. *Safe to repeat.* *Raises* SweepError."""
        rows: list[RunRow] = []
        if not (self.exists or names(self._directory / "runs")):
            return rows
        begun = time.monotonic()
        with self.exclusive(wait=wait) as alone:
            if alone:
                # Taken before the marks are read: later marks belong to the next rebuild.
                _unwritten.discard(self)
                rows = self.rows()
                put(str(self.file), csv_table(rows))
        self._refreshed = time.monotonic()
        self._cost = self._refreshed - begun
        return rows

    def read(self) -> list[RunRow]:
        """All rows, even without write permission; otherwise also rebuilds `index.csv`."""
        if not self.is_foreign:
            with contextlib.suppress(SweepError):  # a directory of another user, or a full disk
                return self.refresh()
        return self.rows()

    def text(self) -> str:
        """Like `read`, but as CSV; a file of another program is returned unchanged."""
        if self.is_foreign:
            return (read_content(str(self.file)) or b"").decode(errors="replace")
        rows = self.read()
        return csv_table(rows).decode() if rows else ""

    @property
    def is_foreign(self) -> bool:
        """Whether another program wrote `index.csv`."""
        return self.file.exists() and not self.exists

    @contextlib.contextmanager
    def exclusive(self, *, wait: bool = True) -> Iterator[bool]:
        """Lock the rebuild; yields whether that worked. An older index must not replace a newer.

        *Raises* SweepError if nothing can be written.
        """
        path = self._storage.path(f"{_MARKS}/lock")
        try:
            descriptor = open_file(path, os.O_WRONLY)
        except OSError as error:
            raise unwritable(path, error) from error
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError:
                yield False
                return
            except OSError:  # no locks on this file system: the last writer wins
                pass
            yield True
        finally:
            os.close(descriptor)


_unwritten: set[Index] = set()


@atexit.register
def _at_exit() -> None:
    for index in list(_unwritten | set(_indexes)):
        # The directory may be gone, or the disk full.
        with contextlib.suppress(OSError, RuntimeError, SweepError):
            index.refresh_if_behind()


# --- the table -----------------------------------------------------------------------------------


def _added_at(row: RunRow) -> int:
    """When a run was added, in nanoseconds; for an unmarked run, its recorded start."""
    if "added" in row:
        return int(row["added"])
    with contextlib.suppress(TypeError, ValueError):
        return int(datetime.fromisoformat(row["start_time"]).timestamp() * 1e9)
    return 0


def run_row(run: LogReader) -> RunRow:
    """A row from the run's own files."""
    try:
        metrics, metrics_status, problem = parse_metrics(run.files.read(METRICS), METRICS)
    except SweepError as error:
        metrics, metrics_status, problem = None, "error", str(error)
    status, meta = run.status, mapping_or_empty(run, "meta")
    return {
        "run_id": run.run_id,
        "params": mapping_or_empty(run, "params"),
        "status": "initialized" if status == "running" else status,
        "metrics": metrics,
        "metrics_status": metrics_status,
        "failure_reason": meta.get("failure_reason"),
        "start_time": meta.get("start_time"),
        "error_reason": problem,
    }


def parse_metrics(text: bytes | None, name: str) -> tuple[dict[str, Any] | None, str, str | None]:
    """The metrics in a file, their status, and what is wrong with them."""
    if text is None:
        return None, "missing", None
    try:
        metrics = metric_values(parse_json(text), name)
    except ValueError as error:
        return None, "error", f"{name} is not JSON: {error}"
    if not isinstance(metrics, dict):
        return None, "error", f"{name} holds no object of metrics by name"
    return metrics, "complete", None


def mapping_or_empty(run: LogReader, what: str) -> dict[str, Any]:
    """A mapping of the run; {} if it is damaged."""
    try:
        mapping: dict[str, Any] = getattr(run, what)
    except HpcsweepError:
        return {}
    return mapping


def columns(rows: Iterable[RunRow]) -> list[tuple[str, str, str]]:
    """Title, part of a row, and key there, of each column: the union over all rows.

    The title of a param named like a column of ours, or of a metric named like a param, gets
    its part as a prefix.
    """
    params: set[str] = set()
    metrics: set[str] = set()
    reasons: set[str] = set()
    for row in rows:
        params |= row["params"].keys()
        metrics |= (row.get("metrics") or {}).keys()
        reasons |= {name for name in _REASONS if row.get(name)}
    ours = ["status", "metrics_status", *sorted(reasons)]
    taken = {"run_id", "status", "metrics_status", *_REASONS}
    result = [("run_id", "", "run_id")]
    for name in sorted(params):
        title = f"param.{name}" if name in taken else name
        taken.add(title)
        result.append((title, "params", name))
    result += [(name, "", name) for name in ours]
    for name in sorted(metrics):
        title = f"metric.{name}" if name in taken else name
        taken.add(title)
        result.append((title, "metrics", name))
    return result


def column_value(row: RunRow, part: str, name: str) -> Any:
    """The value of a row in a column; None if it has none."""
    return with_floats((row.get(part) or {}).get(name)) if part else row.get(name)


def csv_table(rows: list[RunRow]) -> bytes:
    """The rows as CSV."""
    titled = columns(rows)
    lines = [csv_line([title for title, _, _ in titled])]
    lines += [
        csv_line([_cell(column_value(row, part, name)) for _, part, name in titled]) for row in rows
    ]
    return "".join(lines).encode()


def _cell(value: Any) -> Any:
    is_text = not isinstance(value, (dict, list))
    return value if is_text else json.dumps(with_words(value), ensure_ascii=False)
